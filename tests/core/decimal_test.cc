// SPDX-License-Identifier: Apache-2.0
//
// Decimal against hand-picked cases, and against a model that holds a number as a string of digits and knows nothing of
// machine words. The seed of the random tests is printed; TICKBRIDGE_TEST_SEED repeats one.

#include "core/decimal.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tickbridge {
namespace {

uint64_t Seed() {
  const char* const given = std::getenv("TICKBRIDGE_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "seed " << seed << "\n";
  return seed;
}

std::string Price(Decimal value) {
  std::string buffer(kMaxDecimalChars + kDecimalPrintScratch, '#');
  char* const end = PrintPrice(buffer.data(), value);
  EXPECT_LE(end - buffer.data(), static_cast<ptrdiff_t>(kMaxDecimalChars));
  buffer.resize(static_cast<size_t>(end - buffer.data()));
  return buffer;
}

std::string Size(Decimal value) {
  std::string buffer(kMaxDecimalChars + kDecimalPrintScratch, '#');
  char* const end = PrintSize(buffer.data(), value);
  EXPECT_LE(end - buffer.data(), static_cast<ptrdiff_t>(kMaxDecimalChars));
  buffer.resize(static_cast<size_t>(end - buffer.data()));
  return buffer;
}

// The model: value = 0.digits × 10^point, digits without zeros at either end, "" for zero.
struct Model {
  bool negative = false;
  std::string digits;
  int64_t point = 0;

  bool operator==(const Model&) const = default;
};

Model Normal(bool negative, std::string digits, int64_t point) {
  const size_t first = digits.find_first_not_of('0');
  if (first == std::string::npos) {
    return Model{};
  }
  digits.erase(0, first);
  point -= static_cast<int64_t>(first);
  digits.erase(digits.find_last_not_of('0') + 1);
  return Model{negative, digits, point};
}

Model ModelOf(Decimal value) {
  std::string digits = std::to_string(value.mantissa);
  const bool negative = digits[0] == '-';
  digits.erase(0, negative ? 1 : 0);
  const auto point = static_cast<int64_t>(digits.size()) + value.exponent;
  return Normal(negative, std::move(digits), point);
}

std::pair<DecimalError, Model> ModelParse(std::string_view text) {
  const std::pair<DecimalError, Model> bad{DecimalError::kSyntax, {}};
  size_t i = 0;
  const auto at = [&](size_t k) { return k < text.size() ? text[k] : '\0'; };
  const auto digit = [&](size_t k) { return at(k) >= '0' && at(k) <= '9'; };
  const bool negative = at(i) == '-';
  i += negative ? 1 : 0;
  if (!digit(i) || (at(i) == '0' && digit(i + 1))) {
    return bad;
  }
  std::string digits;
  while (digit(i)) {
    digits += at(i++);
  }
  auto point = static_cast<int64_t>(digits.size());
  if (i < text.size() && at(i) == '.') {
    ++i;
    if (!digit(i)) {
      return bad;
    }
    while (digit(i)) {
      digits += at(i++);
    }
  }
  if (at(i) == 'e' || at(i) == 'E') {
    ++i;
    const bool minus = at(i) == '-';
    i += at(i) == '-' || at(i) == '+' ? 1 : 0;
    if (!digit(i)) {
      return bad;
    }
    int64_t exponent = 0;
    while (digit(i)) {
      exponent = std::min<int64_t>(exponent * 10 + (at(i++) - '0'), 1'000'000'000);
    }
    point += minus ? -exponent : exponent;
  }
  if (i != text.size()) {
    return bad;
  }
  Model model = Normal(negative, digits, point);
  // The last digit has the weight point − digits; up to the 18-digit limit it can be written with zeros behind it.
  const auto size = static_cast<int64_t>(model.digits.size());
  if (size > 18 || model.point - size < -18 || model.point > 36) {
    return {DecimalError::kTooLong, {}};
  }
  return {DecimalError::kNone, model};
}

std::string ModelPrint(const Model& model, bool price) {
  if (model.digits.empty()) {
    return price ? "0.0" : "0";
  }
  std::string digits = model.digits;
  int64_t point = model.point;
  while (point < 1) {
    digits.insert(digits.begin(), '0');
    ++point;
  }
  while (point > static_cast<int64_t>(digits.size())) {
    digits += '0';
  }
  std::string text = (model.negative ? "-" : "") + digits.substr(0, static_cast<size_t>(point));
  const std::string fraction = digits.substr(static_cast<size_t>(point));
  if (!fraction.empty()) {
    text += "." + fraction;
  } else if (price) {
    text += ".0";
  }
  return text;
}

// Compares by writing both at the same width.
int ModelCompare(const Model& a, const Model& b) {
  const auto sign = [](const Model& m) { return m.digits.empty() ? 0 : (m.negative ? -1 : 1); };
  if (sign(a) != sign(b)) {
    return sign(a) < sign(b) ? -1 : 1;
  }
  const auto wide = [](const Model& m) {
    std::string text(static_cast<size_t>(60 - m.point), '0');
    text += m.digits;
    text.resize(160, '0');
    return text;
  };
  const int magnitude = wide(a).compare(wide(b));
  return (magnitude > 0) - (magnitude < 0) == 0 ? 0 : (magnitude > 0 ? 1 : -1) * sign(a);
}

int Sign(std::strong_ordering order) { return order < 0 ? -1 : (order > 0 ? 1 : 0); }

Decimal RandomDecimal(std::mt19937_64& random) {
  const int digits = static_cast<int>(random() % 19);
  int64_t mantissa = 0;
  for (int i = 0; i < digits; ++i) {
    mantissa = mantissa * 10 + static_cast<int64_t>(random() % 3 == 0 ? 0 : random() % 10);
  }
  return Decimal{random() % 2 == 0 ? mantissa : -mantissa, static_cast<int8_t>(static_cast<int>(random() % 37) - 18)};
}

// The plain call, and the padded one between bytes that would change the number if they were taken for part of it.
DecimalError ParseBothWays(std::string_view text, Decimal* out) {
  const Decimal untouched{4711, 11};
  *out = untouched;
  const DecimalError error = ParseDecimal(text, out);
  for (const char filler : {'0', '9', '.', '-', 'e', ',', '\0', '\xFF'}) {
    std::string buffer(text);
    buffer.append(kDecimalParsePadding, filler);
    Decimal padded = untouched;
    EXPECT_EQ(ParseDecimalPadded(buffer.data(), buffer.data() + text.size(), &padded), error)
        << text << " before " << filler;
    EXPECT_EQ(padded.mantissa, out->mantissa) << text << " before " << filler;
    EXPECT_EQ(padded.exponent, out->exponent) << text << " before " << filler;
  }
  if (error != DecimalError::kNone) {
    EXPECT_EQ(out->mantissa, untouched.mantissa) << text;
    EXPECT_EQ(out->exponent, untouched.exponent) << text;
  }
  return error;
}

TEST(ParseDecimal, YieldsTheCanonicalForm) {
  struct Case {
    std::string_view text;
    int64_t mantissa;
    int exponent;
  };
  for (const Case& c : std::vector<Case>{
           {"0", 0, 0},
           {"-0", 0, 0},
           {"-0.0", 0, 0},
           {"0.000", 0, 0},
           {"0e999", 0, 0},
           {"0.0e-99999999999999999999", 0, 0},
           {"1", 1, 0},
           {"-1", -1, 0},
           {"21000", 21000, 0},
           {"21000.0", 21000, 0},
           {"21000.25", 2100025, -2},
           {"61837.63000000", 6183763, -2},
           {"97123.10000000", 971231, -1},
           {"0.00200000", 2, -3},
           {"-0.5", -5, -1},
           {"1.000000000000000000000000", 1, 0},
           {"0.000000000000000001", 1, -18},
           {"0.0000000000000000010000", 1, -18},
           {"12345678", 12345678, 0},
           {"123456789", 123456789, 0},
           {"1234567.8", 12345678, -1},
           {"1.2345678", 12345678, -7},
           {"-1234567.8", -12345678, -1},
           {"1234567890123456", 1234567890123456, 0},
           {"12345678.1234567", 123456781234567, -7},
           {"1234567.12345678", 123456712345678, -8},
           {"999999999999999999", 999999999999999999, 0},
           {"-999999999999999999", -999999999999999999, 0},
           {"0.999999999999999999", 999999999999999999, -18},
           {"1000000000000000000000", 100000000000000000, 4},
           {"999999999999999999000000000000000000", 999999999999999999, 18},
           {"1e2", 100, 0},
           {"1E+2", 100, 0},
           {"1.25e1", 125, -1},
           {"1.25e2", 125, 0},
           {"1e-18", 1, -18},
           {"10e-19", 1, -18},
           {"1e35", 100000000000000000, 18},
           {"-1e18", -100000000000000000, 1},
       }) {
    Decimal value;
    EXPECT_EQ(ParseBothWays(c.text, &value), DecimalError::kNone) << c.text;
    EXPECT_EQ(value.mantissa, c.mantissa) << c.text;
    EXPECT_EQ(value.exponent, c.exponent) << c.text;
  }
}

TEST(ParseDecimal, RefusesWhatJsonRefuses) {
  for (const std::string_view text : {"",
                                      "-",
                                      "+1",
                                      "--1",
                                      "01",
                                      "-01",
                                      "00",
                                      "00.5",
                                      ".5",
                                      "-.5",
                                      "1.",
                                      "-1.",
                                      "1.e5",
                                      "1e",
                                      "1e+",
                                      "1e-",
                                      "1.5e",
                                      "e5",
                                      "1..2",
                                      "1.2.3",
                                      "1 ",
                                      " 1",
                                      "1,2",
                                      "1_000",
                                      "0x10",
                                      "NaN",
                                      "nan",
                                      "Infinity",
                                      "-inf",
                                      "1e5.0",
                                      "1e1e1",
                                      "12345678.",
                                      "123456789.",
                                      "1234567890123456.",
                                      "123456789012345678901.",
                                      "1-",
                                      "1-2",
                                      "\xB1",
                                      "1\xB2",
                                      "1/2",
                                      "1:",
                                      "12345678:",
                                      "123456789012345:",
                                      "1234567890123456789x",
                                      "null",
                                      "\"1\""}) {
    Decimal value;
    EXPECT_EQ(ParseBothWays(text, &value), DecimalError::kSyntax) << text;
  }
  Decimal value;
  EXPECT_EQ(ParseBothWays(std::string_view("1\0", 2), &value), DecimalError::kSyntax);
}

TEST(ParseDecimal, RefusesWhatIsTooLong) {
  for (const std::string_view text :
       {"1234567890123456789", "1000000000000000001", "0.1000000000000000001", "0.0000000000000000001",
        "1.0000000000000000001", "1e36", "1e-19", "1e99999999999999999999", "1e-99999999999999999999",
        "9999999999999999990000000000000000000"}) {
    Decimal value;
    EXPECT_EQ(ParseBothWays(text, &value), DecimalError::kTooLong) << text;
  }
}

TEST(ParseDecimal, ReadsNothingPastTheView) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* const pages = mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  char* const guard = static_cast<char*>(pages) + page;
  ASSERT_EQ(mprotect(guard, page, PROT_NONE), 0);
  for (size_t size = 0; size < 64; ++size) {
    std::string text(size, '1');
    if (size > 18) {
      std::fill(text.begin() + 18, text.end(), '0');
    }
    std::memcpy(guard - size, text.data(), size);
    Decimal value;
    const DecimalError error = ParseDecimal(std::string_view(guard - size, size), &value);
    EXPECT_EQ(error, size == 0 ? DecimalError::kSyntax : (size > 36 ? DecimalError::kTooLong : DecimalError::kNone))
        << size;
    // The padded call, with no more than the padding it asks for.
    char* const padded = guard - kDecimalParsePadding - size;
    std::memset(padded + size, '0', kDecimalParsePadding);
    std::memcpy(padded, text.data(), size);
    EXPECT_EQ(ParseDecimalPadded(padded, padded + size, &value), error) << size;
  }
  munmap(pages, 2 * page);
}

TEST(ParseDecimal, AgreesWithModelOnRandomText) {
  std::mt19937_64 random(Seed());
  const auto digits = [&](std::string& text, uint64_t count) {
    const bool sparse = random() % 2 == 0;
    for (uint64_t i = 0; i < count; ++i) {
      text += static_cast<char>('0' + (sparse && random() % 4 != 0 ? 0 : random() % 10));
    }
  };
  for (int round = 0; round < 300'000; ++round) {
    std::string text;
    if (random() % 4 == 0) {
      text += '-';
    }
    digits(text, 1 + random() % (random() % 8 == 0 ? 40 : 8));
    if (random() % 4 != 0) {
      text += '.';
      digits(text, 1 + random() % (random() % 8 == 0 ? 40 : 8));
    }
    if (random() % 8 == 0) {
      text += random() % 2 == 0 ? 'e' : 'E';
      text += std::array<std::string_view, 3>{"", "+", "-"}[random() % 3];
      digits(text, 1 + random() % 2);
    }
    if (random() % 4 == 0) {  // leave JSON, mostly
      constexpr std::string_view kBytes = "0019.-+eE,: /\x80\xFF\x1E";
      text[random() % text.size()] = kBytes[random() % kBytes.size()];
    }
    const auto [error, model] = ModelParse(text);
    Decimal value;
    ASSERT_EQ(ParseBothWays(text, &value), error) << text;
    if (error == DecimalError::kNone) {
      ASSERT_EQ(ModelOf(value), model) << text;
    }
  }
}

TEST(PrintDecimal, WritesTheShortestPlainForm) {
  struct Case {
    Decimal value;
    std::string_view price;
    std::string_view size;
  };
  for (const Case& c : std::vector<Case>{
           {{0, 0}, "0.0", "0"},
           {{0, -9}, "0.0", "0"},
           {{0, 18}, "0.0", "0"},
           {{21000, 0}, "21000.0", "21000"},
           {{2100000, -2}, "21000.0", "21000"},
           {{2100025, -2}, "21000.25", "21000.25"},
           {{5, -1}, "0.5", "0.5"},
           {{-325, -2}, "-3.25", "-3.25"},
           {{12345, 0}, "12345.0", "12345"},
           {{2, -3}, "0.002", "0.002"},
           {{12, 2}, "1200.0", "1200"},
           {{-1, 0}, "-1.0", "-1"},
           {{99999999, 0}, "99999999.0", "99999999"},
           {{100000000, 0}, "100000000.0", "100000000"},
           {{99999999, -7}, "9.9999999", "9.9999999"},
           {{99999999, -8}, "0.99999999", "0.99999999"},
           {{21000250000000, -9}, "21000.25", "21000.25"},
           {{21000000000000, -9}, "21000.0", "21000"},
           {{1, -18}, "0.000000000000000001", "0.000000000000000001"},
           {{-999999999999999999, -18}, "-0.999999999999999999", "-0.999999999999999999"},
           {{-999999999999999999, 18},
            "-999999999999999999000000000000000000.0",
            "-999999999999999999000000000000000000"},
           {{-999999999999999999, -9}, "-999999999.999999999", "-999999999.999999999"},
       }) {
    EXPECT_EQ(Price(c.value), c.price);
    EXPECT_EQ(Size(c.value), c.size);
  }
}

TEST(PrintDecimal, StaysWithinTheScratch) {
  std::mt19937_64 random(Seed());
  for (int round = 0; round < 100'000; ++round) {
    const Decimal value = RandomDecimal(random);
    std::string buffer(128, '#');
    for (const auto print : {PrintPrice, PrintSize}) {
      std::fill(buffer.begin(), buffer.end(), '#');
      const auto used = static_cast<size_t>(print(buffer.data(), value) - buffer.data());
      ASSERT_EQ(buffer.find_first_not_of('#', used + kDecimalPrintScratch), std::string::npos) << buffer;
    }
  }
}

TEST(PrintDecimal, AgreesWithModelAndParsesBack) {
  std::mt19937_64 random(Seed());
  for (int round = 0; round < 300'000; ++round) {
    const Decimal value = RandomDecimal(random);
    const Model model = ModelOf(value);
    ASSERT_EQ(Price(value), ModelPrint(model, true)) << value.mantissa << "e" << int{value.exponent};
    ASSERT_EQ(Size(value), ModelPrint(model, false)) << value.mantissa << "e" << int{value.exponent};
    Decimal back;
    ASSERT_EQ(ParseDecimal(Price(value), &back), DecimalError::kNone);
    ASSERT_EQ(back, value);
    ASSERT_EQ(ParseDecimal(Size(value), &back), DecimalError::kNone);
    ASSERT_EQ(back, value);
  }
}

TEST(PrintDecimal, AgreesWithModelOnEveryShortMantissa) {
  for (int64_t mantissa = -20'100; mantissa <= 20'100; ++mantissa) {
    for (int exponent = -9; exponent <= 2; ++exponent) {
      const Decimal value{mantissa, static_cast<int8_t>(exponent)};
      ASSERT_EQ(Price(value), ModelPrint(ModelOf(value), true));
      ASSERT_EQ(Size(value), ModelPrint(ModelOf(value), false));
    }
  }
}

TEST(CompareDecimal, IsExactForAllExponents) {
  EXPECT_EQ((Decimal{10, -1}), (Decimal{1, 0}));
  EXPECT_EQ((Decimal{0, 18}), (Decimal{0, -18}));
  EXPECT_LT((Decimal{999999999999999999, -18}), (Decimal{1, 18}));
  EXPECT_GT((Decimal{-999999999999999999, -18}), (Decimal{-1, 18}));
  EXPECT_LT((Decimal{-1, 18}), (Decimal{1, -18}));
  EXPECT_LT((Decimal{0, 18}), (Decimal{1, -18}));
  EXPECT_EQ((Decimal{1, 0}), (Decimal{100000000000000000, -17}));
  EXPECT_GT((Decimal{1, 0}), (Decimal{999999999999999999, -18}));

  std::mt19937_64 random(Seed());
  for (int round = 0; round < 300'000; ++round) {
    const Decimal a = RandomDecimal(random);
    Decimal b = RandomDecimal(random);
    if (random() % 4 == 0) {  // near each other, so that equality occurs
      b = a;
      if (b.mantissa % 10 == 0 && b.exponent < kMaxExponent) {
        b.mantissa /= 10;
        ++b.exponent;
      }
      b.mantissa += static_cast<int64_t>(random() % 3) - 1;
      b.mantissa = std::clamp(b.mantissa, -kMaxMantissa, kMaxMantissa);
    }
    const int expected = ModelCompare(ModelOf(a), ModelOf(b));
    ASSERT_EQ(Sign(Compare(a, b)), expected)
        << a.mantissa << "e" << int{a.exponent} << " " << b.mantissa << "e" << int{b.exponent};
    ASSERT_EQ(Sign(Compare(b, a)), -expected);
  }
}

TEST(AddAtFinest, KeepsTheFinerExponentAndRefusesOverflow) {
  Decimal sum{7, 7};
  ASSERT_TRUE(AddAtFinest({12345, 0}, {2, -3}, &sum));
  EXPECT_EQ(sum.mantissa, 12345002);
  EXPECT_EQ(sum.exponent, -3);
  ASSERT_TRUE(AddAtFinest({2, -3}, {-12345, 0}, &sum));
  EXPECT_EQ(sum.mantissa, -12344998);
  ASSERT_TRUE(AddAtFinest({999'999'999'999'999'998, 0}, {1, 0}, &sum));
  EXPECT_EQ(sum.mantissa, kMaxMantissa);
  EXPECT_FALSE(AddAtFinest({kMaxMantissa, 0}, {1, 0}, &sum));
  EXPECT_FALSE(AddAtFinest({-kMaxMantissa, 0}, {-1, 0}, &sum));
  EXPECT_FALSE(AddAtFinest({1, 18}, {1, -18}, &sum));
  EXPECT_FALSE(AddAtFinest({1, 0}, {0, -18}, &sum));
  EXPECT_EQ(sum.mantissa, kMaxMantissa);
  ASSERT_TRUE(AddAtFinest({0, 18}, {3, -18}, &sum));
  EXPECT_EQ(sum.mantissa, 3);
  EXPECT_EQ(sum.exponent, -18);
  ASSERT_TRUE(AddAtFinest({1, 0}, {-999'999'999'999'999'999, -18}, &sum));
  EXPECT_EQ(sum.mantissa, 1);
}

TEST(AddAtFinest, AgreesWithWideArithmetic) {
  __extension__ using Wide = __int128;
  std::mt19937_64 random(Seed());
  for (int round = 0; round < 200'000; ++round) {
    const Decimal a = RandomDecimal(random);
    Decimal b = RandomDecimal(random);
    if (random() % 2 == 0) {
      b.exponent = static_cast<int8_t>(
          std::clamp<int>(a.exponent + static_cast<int>(random() % 5) - 2, kMinExponent, kMaxExponent));
    }
    const int finest = std::min(a.exponent, b.exponent);
    const auto scaled = [&](Decimal d, bool* fits) {
      Wide wide = d.mantissa;
      for (int i = d.exponent; i > finest; --i) {
        wide *= 10;
        if (wide > Wide{kMaxMantissa} * 100 || wide < Wide{-kMaxMantissa} * 100) {
          *fits = false;  // too far for the other, at most 18 digits, to bring it back
          return Wide{0};
        }
      }
      return wide;
    };
    bool fits = true;
    const Wide total = scaled(a, &fits) + scaled(b, &fits);
    fits = fits && total <= kMaxMantissa && total >= -kMaxMantissa;
    Decimal sum;
    ASSERT_EQ(AddAtFinest(a, b, &sum), fits);
    if (fits) {
      ASSERT_EQ(sum.mantissa, static_cast<int64_t>(total));
      ASSERT_EQ(sum.exponent, finest);
    }
  }
}

}  // namespace
}  // namespace tickbridge
