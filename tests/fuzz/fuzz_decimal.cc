// SPDX-License-Identifier: Apache-2.0
// Goal: decimal text is read and written exactly, and whatever is no JSON number is refused.
//
// Method: against a model that holds a number as a string of digits and knows nothing of machine words; through both
// parsers, the padded one in a block that ends with its padding, before bytes that would change the number if they were
// taken for part of it; and through the code for processors without SSE4.1. What was read is printed, and read again.
//
// Input: a number a line. Neighbours are compared and added.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/decimal.h"
#include "tests/fuzz/decimal_portable.h"
#include "tests/fuzz/fuzz.h"

namespace tickbridge::fuzz {
namespace {

// value = ± digits × 10^exponent. Normal: no zeros at either end, zero is "" × 10^0 without a sign.
struct Model {
  bool negative = false;
  std::string digits;
  int64_t exponent = 0;

  bool operator==(const Model&) const = default;
  void Normalize() {
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
    while (!digits.empty() && digits.back() == '0') {
      digits.pop_back();
      ++exponent;
    }
    if (digits.empty()) *this = Model{};
  }
};

// RFC 8259, section 6, a rule at a time: each takes what is its own from the front of the text.
class ModelReader {
 public:
  explicit ModelReader(std::string_view text) : rest_(text) {}

  std::optional<Model> Number() {
    Model model;
    model.negative = Take('-');
    const std::string whole = Digits();
    if (whole.empty() || (whole.size() > 1 && whole[0] == '0')) return std::nullopt;
    std::string fraction;
    if (Take('.')) {
      fraction = Digits();
      if (fraction.empty()) return std::nullopt;
    }
    model.exponent = -static_cast<int64_t>(fraction.size());
    if (Take('e') || Take('E')) {
      const bool down = Take('-');
      if (!down) Take('+');
      std::string power = Digits();
      if (power.empty()) return std::nullopt;
      power.erase(0, std::min(power.find_first_not_of('0'), power.size() - 1));
      // No text has so many digits that it could make up for more.
      const int64_t size = power.size() > 12 ? 1'000'000'000'000 : std::stoll(power);
      model.exponent += down ? -size : size;
    }
    if (!rest_.empty()) return std::nullopt;
    model.digits = whole + fraction;
    model.Normalize();
    return model;
  }

 private:
  bool Take(char c) {
    const bool there = rest_.starts_with(c);
    rest_.remove_prefix(there ? 1 : 0);
    return there;
  }
  std::string Digits() {
    const size_t count = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
    std::string digits(rest_.substr(0, count));
    rest_.remove_prefix(count);
    return digits;
  }

  std::string_view rest_;
};

// 18 digits and an exponent of −18…18 hold it.
bool Fits(const Model& model) {
  const auto size = static_cast<int64_t>(model.digits.size());
  return size <= kMaxDecimalDigits && model.exponent >= kMinExponent &&
         model.exponent - (kMaxDecimalDigits - size) <= kMaxExponent;
}

Model ModelOf(Decimal value) {
  Model model{value.mantissa < 0, std::to_string(value.mantissa), value.exponent};
  model.digits.erase(0, model.negative ? 1 : 0);
  model.Normalize();
  return model;
}

std::string Printed(const Model& model, bool price) {
  std::string whole = model.digits;
  std::string fraction;
  if (model.exponent >= 0) {
    whole.append(static_cast<size_t>(model.exponent), '0');
  } else {
    const auto behind = static_cast<size_t>(-model.exponent);
    if (whole.size() < behind) whole.insert(0, behind - whole.size(), '0');
    fraction = whole.substr(whole.size() - behind);
    whole.resize(whole.size() - behind);
  }
  if (whole.empty()) whole = "0";
  if (fraction.empty() && price) fraction = "0";
  return absl::StrCat(model.negative ? "-" : "", whole, fraction.empty() ? "" : ".", fraction);
}

// ---- Sums of strings of digits ----

void Align(std::string* a, std::string* b) {
  const size_t size = std::max(a->size(), b->size());
  a->insert(0, size - a->size(), '0');
  b->insert(0, size - b->size(), '0');
}

std::string Sum(std::string a, std::string b) {
  Align(&a, &b);
  int carry = 0;
  for (size_t i = a.size(); i-- > 0;) {
    const int digit = (a[i] - '0') + (b[i] - '0') + carry;
    a[i] = static_cast<char>('0' + digit % 10);
    carry = digit / 10;
  }
  return (carry != 0 ? "1" : "") + a;
}

// a ≥ b.
std::string Difference(std::string a, std::string b) {
  Align(&a, &b);
  int borrow = 0;
  for (size_t i = a.size(); i-- > 0;) {
    const int digit = (a[i] - '0') - (b[i] - '0') - borrow;
    a[i] = static_cast<char>('0' + (digit + 10) % 10);
    borrow = digit < 0 ? 1 : 0;
  }
  return a;
}

// Both at the finer exponent, so that strings of one length compare as their numbers.
std::pair<std::string, std::string> AtFinest(Decimal a, Decimal b) {
  const int finest = std::min(int{a.exponent}, int{b.exponent});
  const auto scaled = [&](Decimal value) {
    std::string digits = std::to_string(value.mantissa);
    if (digits[0] == '-') digits.erase(0, 1);
    return digits + std::string(static_cast<size_t>(value.exponent - finest), '0');
  };
  std::pair<std::string, std::string> both{scaled(a), scaled(b)};
  Align(&both.first, &both.second);
  return both;
}

void CheckPair(Decimal a, Decimal b) {
  const auto [left, right] = AtFinest(a, b);
  const bool left_negative = a.mantissa < 0;
  const bool right_negative = b.mantissa < 0;
  const auto detail = [&] {
    return absl::StrCat(a.mantissa, "e", int{a.exponent}, " ", b.mantissa, "e", int{b.exponent});
  };

  int order = left.compare(right) < 0 ? -1 : static_cast<int>(left != right);
  if (left_negative != right_negative) {
    order = left_negative ? -1 : 1;
  } else if (left_negative) {
    order = -order;
  }
  if (Compare(a, b) != (order <=> 0) || Compare(b, a) != (0 <=> order)) Fail("Compare is exact", detail());

  bool negative = left_negative;
  std::string sum;
  if (left_negative == right_negative) {
    sum = Sum(left, right);
  } else {
    const bool left_larger = left >= right;
    sum = left_larger ? Difference(left, right) : Difference(right, left);
    negative = left_larger ? left_negative : right_negative;
  }
  sum.erase(0, std::min(sum.find_first_not_of('0'), sum.size() - 1));
  const Decimal untouched{4711, 11};
  Decimal result = untouched;
  const bool added = AddAtFinest(a, b, &result);
  if (added != (sum.size() <= kMaxDecimalDigits)) Fail("AddAtFinest refuses what takes more than 18 digits", detail());
  const Decimal expected =
      added ? Decimal{std::stoll((negative ? "-" : "") + sum), std::min(a.exponent, b.exponent)} : untouched;
  if (result.mantissa != expected.mantissa || result.exponent != expected.exponent) {
    Fail("AddAtFinest is exact", detail());
  }
}

// ---- Reading and writing ----

std::string Print(char* (*print)(char*, Decimal), Decimal value) {
  // So long that a sanitizer sees any byte too many, and filled, so that we see what it must not write.
  constexpr size_t kBytes = kMaxDecimalChars + kDecimalPrintScratch;
  const auto block = std::make_unique<char[]>(kBytes);
  std::fill_n(block.get(), kBytes, '#');
  const auto size = static_cast<size_t>(print(block.get(), value) - block.get());
  Require(size <= kMaxDecimalChars, "no text is longer than kMaxDecimalChars");
  const size_t scratch_end = size + kDecimalPrintScratch;
  Require(std::all_of(block.get() + scratch_end, block.get() + kBytes, [](char c) { return c == '#'; }),
          "no more than the scratch is overwritten");
  return {block.get(), size};
}

void CheckPrinted(Decimal value) {
  const Model model = ModelOf(value);
  for (const bool price : {true, false}) {
    const std::string text = Print(price ? &PrintPrice : &PrintSize, value);
    if (text != Printed(model, price)) {
      Fail("the text is the shortest exact one", absl::StrCat(value.mantissa, "e", int{value.exponent}, ": ", text));
    }
    Decimal back;
    if (ParseDecimal(text, &back) != DecimalError::kNone || ModelOf(back) != model) {
      Fail("what is printed is read as the same number", text);
    }
  }
}

using PaddedParser = DecimalError (*)(const char*, const char*, Decimal*) noexcept;

DecimalError ParsePortable(const char* begin, const char* end, Decimal* out) noexcept {
  const PortableResult result = ParsePaddedPortable(begin, end, out->mantissa, out->exponent);
  *out = {result.mantissa, result.exponent};
  return static_cast<DecimalError>(result.error);
}

// `error` and `value`: what ParseDecimal made of it.
void CheckPadded(PaddedParser parse, std::string_view text, DecimalError error, Decimal value) {
  const size_t bytes = text.size() + kDecimalParsePadding;
  const auto block = std::make_unique<char[]>(bytes);
  std::copy(text.begin(), text.end(), block.get());
  for (const char filler : {'0', '9', '.', '-', 'e', ',', '\0', '\xFF'}) {
    std::fill(block.get() + text.size(), block.get() + bytes, filler);
    Decimal padded{4711, 11};
    if (parse(block.get(), block.get() + text.size(), &padded) != error || padded.mantissa != value.mantissa ||
        padded.exponent != value.exponent) {
      Fail("all parsers come to the same", absl::StrCat(Shown(text), " before ", Shown({&filler, 1})));
    }
  }
}

// The same number as it is, with as few digits as it can have, and with up to `zeros` more.
std::array<Decimal, 3> Representations(Decimal value, size_t zeros) {
  Decimal fewest = value;
  while (fewest.mantissa % 10 == 0 && fewest.exponent < kMaxExponent) {
    fewest.mantissa /= 10;
    ++fewest.exponent;
  }
  Decimal more = value;
  for (; zeros > 0 && more.exponent > kMinExponent && std::abs(more.mantissa) <= kMaxMantissa / 10; --zeros) {
    more.mantissa *= 10;
    --more.exponent;
  }
  return {value, fewest, more};
}

// Nothing where the text is no number that a Decimal holds.
std::optional<Decimal> CheckText(std::string_view text) {
  const std::optional<Model> model = ModelReader(text).Number();
  const DecimalError expected = !model         ? DecimalError::kSyntax
                                : Fits(*model) ? DecimalError::kNone
                                               : DecimalError::kTooLong;
  const Decimal untouched{4711, 11};
  Decimal value = untouched;
  // In a block of its own, so that a sanitizer sees a read past its end.
  const auto block = std::make_unique<char[]>(text.size());
  std::copy(text.begin(), text.end(), block.get());
  const DecimalError error = ParseDecimal({block.get(), text.size()}, &value);
  if (error != expected) Fail("it takes what the model takes", Shown(text));
  CheckPadded(&ParseDecimalPadded, text, error, value);
  CheckPadded(&ParsePortable, text, error, value);
  if (error != DecimalError::kNone) {
    Require(value.mantissa == untouched.mantissa && value.exponent == untouched.exponent,
            "an error leaves the number as it was");
    return std::nullopt;
  }
  if (ModelOf(value) != *model) Fail("it reads what the model reads", Shown(text));
  const bool full = std::to_string(value.mantissa).size() == size_t{kMaxDecimalDigits} + (value.mantissa < 0 ? 1 : 0);
  if ((value.exponent < 0 && value.mantissa % 10 == 0) || (value.exponent > 0 && !full)) {
    Fail("one value has one representation", Shown(text));
  }
  for (const auto print : {&PrintPrice, &PrintSize}) {
    const std::string printed = Print(print, value);
    Decimal back;
    if (ParseDecimal(printed, &back) != DecimalError::kNone || back.mantissa != value.mantissa ||
        back.exponent != value.exponent) {
      Fail("parse, print, parse is the identity", printed);
    }
  }
  for (const Decimal& same : Representations(value, text.size())) {
    CheckPrinted(same);
    CheckPair(value, same);
  }
  return value;
}

void Run(std::string_view input) {
  std::optional<Decimal> before;
  for (;;) {
    const size_t end = std::min(input.find('\n'), input.size());
    const std::optional<Decimal> value = CheckText(input.substr(0, end));
    if (before && value) {
      for (const Decimal& left : Representations(*before, end)) {
        for (const Decimal& right : Representations(*value, end)) CheckPair(left, right);
      }
    }
    before = value;
    if (end == input.size()) return;
    input.remove_prefix(end + 1);
  }
}

}  // namespace
}  // namespace tickbridge::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  tickbridge::fuzz::Run(tickbridge::fuzz::AsText(data, bytes));
  return 0;
}
