// SPDX-License-Identifier: Apache-2.0
//
// Decimal text by SIMD within a register: up to 8 (16) digits are handled as the bytes of one 64-bit (128-bit) word,
// first digit in the lowest byte. Taking out or putting in the decimal point is then a shift, and so is dropping
// trailing zeros, so that the length of the number costs no branches. Where the compiler may use SSE4.1, reading is
// done in one of its registers.

#include "core/decimal.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstring>

#if defined(__SSE4_1__)
#include <immintrin.h>
#endif

namespace tickbridge {
namespace {

static_assert(std::endian::native == std::endian::little, "the first character must be the lowest byte of a word");

__extension__ using Uint128 = unsigned __int128;
__extension__ using Int128 = __int128;

constexpr uint64_t kOnes = 0x0101'0101'0101'0101;
constexpr uint64_t kAsciiZeros = kOnes * '0';

// 10^19 is the largest power of ten in 64 bits.
constexpr std::array<uint64_t, 20> kPow10 = [] {
  std::array<uint64_t, 20> powers{};
  uint64_t power = 1;
  for (uint64_t& entry : powers) {
    entry = power;
    power *= 10;  // wraps once, after the last entry
  }
  return powers;
}();

uint64_t LoadWord(const char* p) noexcept {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

void StoreWord(char* p, uint64_t word) noexcept { std::memcpy(p, &word, sizeof word); }

// A number below 10^8 to eight digit bytes.
uint64_t ToDigits(uint64_t value) noexcept {
  const uint64_t high = value / 10'000;
  const uint64_t fours = high | ((value - high * 10'000) << 32U);
  const uint64_t hundreds = ((fours * 10'486) >> 20U) & 0x0000'007F'0000'007F;  // n / 100 for n < 10^4
  const uint64_t twos = ((fours - hundreds * 100) << 16U) + hundreds;
  const uint64_t tens = ((twos * 103) >> 10U) & 0x000F'000F'000F'000F;  // n / 10 for n < 100
  return ((twos - tens * 10) << 8U) + tens;
}

int64_t WithSign(uint64_t magnitude, bool negative) noexcept {
  const uint64_t mask = negative ? ~uint64_t{0} : 0;
  return static_cast<int64_t>((magnitude ^ mask) - mask);
}

uint64_t Magnitude(int64_t value) noexcept {
  return value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
}

bool IsDigit(char c) noexcept { return c >= '0' && c <= '9'; }

// Whole JSON grammar, any length, reads nothing past `end`.
DecimalError ParseSlow(const char* p, const char* end, Decimal* out) noexcept {
  const bool negative = p != end && *p == '-';
  p += negative;
  if (p == end || !IsDigit(*p)) {
    return DecimalError::kSyntax;
  }
  if (*p == '0' && end - p > 1 && IsDigit(p[1])) {
    return DecimalError::kSyntax;
  }

  // Zeros are pending until a later digit makes them significant; those that stay pending only move the exponent.
  uint64_t mantissa = 0;
  int64_t digits = 0;
  int64_t zeros_pending = 0;
  bool too_long = false;
  const auto take_digits = [&] {
    const char* const first = p;
    for (; p != end && IsDigit(*p); ++p) {
      if (*p == '0') {
        ++zeros_pending;
        continue;
      }
      digits += mantissa == 0 ? 1 : zeros_pending + 1;
      if (digits > kMaxDecimalDigits) {
        too_long = true;
      } else {
        const int64_t shift = mantissa == 0 ? 1 : zeros_pending + 1;
        mantissa = mantissa * kPow10[static_cast<size_t>(shift)] + static_cast<uint64_t>(*p - '0');
      }
      zeros_pending = 0;
    }
    return p - first;
  };

  take_digits();
  int64_t exponent = 0;
  if (p != end && *p == '.') {
    ++p;
    const int64_t fraction_digits = take_digits();
    if (fraction_digits == 0) {
      return DecimalError::kSyntax;
    }
    exponent = -fraction_digits;
  }
  if (p != end && (*p == 'e' || *p == 'E')) {
    ++p;
    const bool exponent_negative = p != end && *p == '-';
    p += p != end && (*p == '-' || *p == '+');
    if (p == end || !IsDigit(*p)) {
      return DecimalError::kSyntax;
    }
    constexpr int64_t kSaturated = 1'000'000'000'000;  // more than any text has digits to make up for
    int64_t written = 0;
    for (; p != end && IsDigit(*p); ++p) {
      written = std::min(written * 10 + (*p - '0'), kSaturated);
    }
    exponent += exponent_negative ? -written : written;
  }
  if (p != end) {
    return DecimalError::kSyntax;
  }
  if (too_long) {
    return DecimalError::kTooLong;
  }
  if (mantissa == 0) {
    *out = Decimal{};
    return DecimalError::kNone;
  }
  exponent += zeros_pending;
  if (exponent > 0) {
    const int64_t shift = std::min<int64_t>(exponent, kMaxDecimalDigits - digits);
    mantissa *= kPow10[static_cast<size_t>(shift)];
    exponent -= shift;
  }
  if (exponent < kMinExponent || exponent > kMaxExponent) {
    return DecimalError::kTooLong;
  }
  *out = Decimal{WithSign(mantissa, negative), static_cast<int8_t>(exponent)};
  return DecimalError::kNone;
}

#if defined(__SSE4_1__)

// 1…16 characters behind the sign.
template <bool kNeedsPoint>
bool ParseFast(const char* p, unsigned chars, bool negative, Decimal* out) noexcept {
  const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i digits = _mm_sub_epi8(text, _mm_set1_epi8('0'));
  const __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digits, _mm_set1_epi8(9)), digits);
  const __m128i is_point = _mm_cmpeq_epi8(text, _mm_set1_epi8('.'));
  const unsigned used = (1U << chars) - 1;
  const unsigned others = ~static_cast<unsigned>(_mm_movemask_epi8(is_digit)) & used;
  const unsigned points = static_cast<unsigned>(_mm_movemask_epi8(is_point));
  const unsigned zeros = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(digits, _mm_setzero_si128())));
  // Behind the last character if there is none.
  const unsigned point = static_cast<unsigned>(std::countr_zero(others | (1U << chars)));
  const unsigned bad = (others & (others - 1)) | (others & ~points) | (others >> (chars - 1)) |
                       static_cast<unsigned>(point == 0) | (zeros & static_cast<unsigned>(point > 1) & 1U) |
                       static_cast<unsigned>(kNeedsPoint && others == 0);
  if (bad != 0) [[unlikely]] {
    return false;
  }
  // Up to the last digit that is not zero, and never into the whole part.
  const unsigned significant = used & ~zeros & ~others;
  const unsigned end = std::max(32 - static_cast<unsigned>(std::countl_zero(significant)), point);
  const unsigned fraction_digits = end - point - static_cast<unsigned>(end > point);
  const int shift = static_cast<int>(point + fraction_digits) - 16;
  // Byte i of the result is digit i + shift, one further behind the point; negative indices make zeros.
  const __m128i index = _mm_add_epi8(_mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                                     _mm_set1_epi8(static_cast<char>(shift)));
  const __m128i behind_point = _mm_cmpgt_epi8(index, _mm_set1_epi8(static_cast<char>(point - 1)));
  const __m128i aligned = _mm_shuffle_epi8(digits, _mm_sub_epi8(index, behind_point));
  const __m128i twos = _mm_maddubs_epi16(aligned, _mm_set1_epi16(10 | (1 << 8)));
  const __m128i fours = _mm_madd_epi16(twos, _mm_set1_epi32(100 | (1 << 16)));
  const __m128i eights = _mm_madd_epi16(_mm_packus_epi32(fours, fours), _mm_set1_epi32(10'000 | (1 << 16)));
  const auto halves = static_cast<uint64_t>(_mm_cvtsi128_si64(eights));
  const uint64_t magnitude = (halves & 0xFFFF'FFFF) * 100'000'000 + (halves >> 32U);
  *out = Decimal{WithSign(magnitude, negative), static_cast<int8_t>(-static_cast<int>(fraction_digits))};
  return true;
}

#else

constexpr uint64_t kHighBits = kOnes * 0x80;

// The high bit of each byte that is more than 9.
uint64_t NonDigits(uint64_t word) noexcept { return (((word & ~kHighBits) + kOnes * (0x80 - 10)) | word) & kHighBits; }

// Eight digit bytes (0…9, the first in the lowest byte) to their number.
uint64_t FromDigits(uint64_t digits) noexcept {
  constexpr uint64_t kPairs = 0x0000'00FF'0000'00FF;
  digits = digits * 10 + (digits >> 8U);
  return ((digits & kPairs) * (100 + (1'000'000ULL << 32U)) + ((digits >> 16U) & kPairs) * (1 + (10'000ULL << 32U))) >>
         32U;
}

// 1…8 characters behind the sign.
bool ParseWord(const char* p, size_t chars, bool negative, Decimal* out) noexcept {
  // The characters move to the top of the word, so that the last is the highest byte; zero bytes come in below.
  const unsigned empty_bits = static_cast<unsigned>(8 - chars) * 8;
  const uint64_t word = (LoadWord(p) ^ kAsciiZeros) << empty_bits;
  const uint64_t others = NonDigits(word);
  const bool has_point = others != 0;
  const unsigned point_bit = has_point ? static_cast<unsigned>(std::countr_zero(others)) - 7 : 56;
  const uint64_t below_point = (uint64_t{1} << point_bit) - 1;
  const uint64_t above_point = ~below_point << 8U;  // at the top byte: nothing
  const bool ok =
      (others & (others - 1)) == 0 &&
      (!has_point || (((word >> point_bit) & 0xFF) == ('.' ^ '0') && point_bit > empty_bits && point_bit < 56)) &&
      !(p[0] == '0' && chars > 1 && p[1] != '.');
  if (!ok) [[unlikely]] {
    return false;
  }
  uint64_t digits = has_point ? (word & above_point) | ((word & below_point) << 8U) : word;
  const unsigned fraction_bits = has_point ? 56 - point_bit : 0;
  const unsigned zero_bits = std::min(static_cast<unsigned>(std::countl_zero(digits)) & ~7U, fraction_bits);
  digits <<= zero_bits;
  const uint64_t magnitude = FromDigits(digits);
  const int exponent = -static_cast<int>((fraction_bits - zero_bits) / 8);
  *out = Decimal{WithSign(magnitude, negative), static_cast<int8_t>(magnitude == 0 ? 0 : exponent)};
  return true;
}

// 9…16 characters behind the sign; the same in two words.
bool ParseTwoWords(const char* p, size_t chars, bool negative, Decimal* out) noexcept {
  const unsigned empty_bits = static_cast<unsigned>(16 - chars) * 8;
  const Uint128 text = (Uint128{LoadWord(p + 8) ^ kAsciiZeros} << 64U) | (LoadWord(p) ^ kAsciiZeros);
  const Uint128 word = text << empty_bits;
  const uint64_t others_low = NonDigits(static_cast<uint64_t>(word));
  const uint64_t others_high = NonDigits(static_cast<uint64_t>(word >> 64U));
  const bool has_point = (others_low | others_high) != 0;
  const unsigned others_bit = others_low != 0 ? static_cast<unsigned>(std::countr_zero(others_low))
                                              : 64 + static_cast<unsigned>(std::countr_zero(others_high));
  const unsigned point_bit = has_point ? others_bit - 7 : 120;
  const Uint128 below_point = (Uint128{1} << point_bit) - 1;
  const Uint128 above_point = ~below_point << 8U;
  const bool ok = std::popcount(others_low) + std::popcount(others_high) <= 1 &&
                  (!has_point || (static_cast<uint8_t>(word >> point_bit) == ('.' ^ '0') && point_bit > empty_bits &&
                                  point_bit < 120)) &&
                  !(p[0] == '0' && p[1] != '.');
  if (!ok) [[unlikely]] {
    return false;
  }
  Uint128 digits = has_point ? (word & above_point) | ((word & below_point) << 8U) : word;
  const unsigned fraction_bits = has_point ? 120 - point_bit : 0;
  const uint64_t high = static_cast<uint64_t>(digits >> 64U);
  const unsigned leading = high != 0 ? static_cast<unsigned>(std::countl_zero(high))
                                     : 64 + static_cast<unsigned>(std::countl_zero(static_cast<uint64_t>(digits)));
  const unsigned zero_bits = std::min(leading & ~7U, fraction_bits);
  digits <<= zero_bits;
  const uint64_t magnitude =
      FromDigits(static_cast<uint64_t>(digits)) * 100'000'000 + FromDigits(static_cast<uint64_t>(digits >> 64U));
  const int exponent = -static_cast<int>((fraction_bits - zero_bits) / 8);
  *out = Decimal{WithSign(magnitude, negative), static_cast<int8_t>(magnitude == 0 ? 0 : exponent)};
  return true;
}

template <bool kNeedsPoint>
bool ParseFast(const char* p, unsigned chars, bool negative, Decimal* out) noexcept {
  if (kNeedsPoint && std::memchr(p, '.', chars) == nullptr) {
    return false;
  }
  return chars <= 8 ? ParseWord(p, chars, negative, out) : ParseTwoWords(p, chars, negative, out);
}

#endif

// Any value of the range.
char* PrintSlow(char* out, Decimal value, bool always_point) noexcept {
  uint64_t magnitude = Magnitude(value.mantissa);
  if (magnitude == 0) {
    *out++ = '0';
    if (always_point) {
      *out++ = '.';
      *out++ = '0';
    }
    return out;
  }
  if (value.mantissa < 0) {
    *out++ = '-';
  }
  // 24 digits with leading zeros: the units digit is the last.
  std::array<char, 24> text;
  const uint64_t top = magnitude / 10'000'000'000'000'000;
  magnitude -= top * 10'000'000'000'000'000;
  const uint64_t middle = magnitude / 100'000'000;
  StoreWord(text.data(), ToDigits(top) | kAsciiZeros);
  StoreWord(text.data() + 8, ToDigits(middle) | kAsciiZeros);
  StoreWord(text.data() + 16, ToDigits(magnitude - middle * 100'000'000) | kAsciiZeros);

  const int fraction_digits_given = std::max(0, -value.exponent);
  const char* const point = text.data() + (24 - fraction_digits_given);
  const char* first = text.data();
  while (*first == '0' && first < point - 1) {
    ++first;
  }
  const char* last = text.data() + text.size();
  while (last > point && last[-1] == '0') {
    --last;
  }
  const size_t whole_chars = static_cast<size_t>(point - first);
  std::memcpy(out, first, whole_chars);
  out += whole_chars;
  const size_t zeros = static_cast<size_t>(std::max<int>(0, value.exponent));
  std::memset(out, '0', zeros);
  out += zeros;
  const size_t fraction_chars = static_cast<size_t>(last - point);
  if (fraction_chars > 0) {
    *out++ = '.';
    std::memcpy(out, point, fraction_chars);
    out += fraction_chars;
  } else if (always_point) {
    *out++ = '.';
    *out++ = '0';
  }
  return out;
}

// Up to 16 digits and up to 15 of them behind the point; the same as below in two words.
template <bool kAlwaysPoint>
char* PrintTwoWords(char* out, uint64_t magnitude, unsigned fraction_bits) noexcept {
  constexpr Uint128 kZeros = (Uint128{kAsciiZeros} << 64U) | kAsciiZeros;
  const uint64_t high = magnitude / 100'000'000;
  const uint64_t first = ToDigits(high);
  const uint64_t second = ToDigits(magnitude - high * 100'000'000);
  const Uint128 digits = (Uint128{second} << 64U) | first;
  const unsigned leading = first != 0 ? static_cast<unsigned>(std::countr_zero(first))
                                      : 64 + static_cast<unsigned>(std::countr_zero(second));
  const unsigned trailing = second != 0 ? static_cast<unsigned>(std::countl_zero(second))
                                        : 64 + static_cast<unsigned>(std::countl_zero(first));
  const unsigned skipped_bits = std::min(leading & ~7U, 120 - fraction_bits);
  const unsigned zero_bits = std::min(trailing & ~7U, fraction_bits);
  const unsigned whole_chars = (128 - fraction_bits - skipped_bits) / 8;
  const unsigned fraction_chars = (fraction_bits - zero_bits) / 8;
  const Uint128 whole = (digits | kZeros) >> skipped_bits;
  const Uint128 fraction = ((digits >> (120 - fraction_bits)) >> 8U) | kZeros;

  // The second words only where they are text, to stay within the scratch.
  StoreWord(out, static_cast<uint64_t>(whole));
  if (whole_chars > 8) {
    StoreWord(out + 8, static_cast<uint64_t>(whole >> 64U));
  }
  out += whole_chars;
  *out = '.';
  const unsigned point_chars = kAlwaysPoint || fraction_chars != 0 ? 1 : 0;
  out += point_chars;
  StoreWord(out, static_cast<uint64_t>(fraction));
  if (fraction_chars > 8) {
    StoreWord(out + 8, static_cast<uint64_t>(fraction >> 64U));
  }
  return out + (kAlwaysPoint ? std::max(fraction_chars, 1U) : fraction_chars);
}

template <bool kAlwaysPoint>
char* Print(char* out, Decimal value) noexcept {
  assert(Magnitude(value.mantissa) <= static_cast<uint64_t>(kMaxMantissa));
  assert(value.exponent >= kMinExponent && value.exponent <= kMaxExponent);
  const uint64_t magnitude = Magnitude(value.mantissa);
  const unsigned fraction_digits = static_cast<unsigned>(-value.exponent);
  if (magnitude >= 100'000'000 || fraction_digits > 7) {
    if (magnitude >= 10'000'000'000'000'000 || fraction_digits > 15) [[unlikely]] {
      return PrintSlow(out, value, kAlwaysPoint);
    }
    *out = '-';
    return PrintTwoWords<kAlwaysPoint>(out + (value.mantissa < 0), magnitude, fraction_digits * 8);
  }
  *out = '-';
  out += value.mantissa < 0;

  const uint64_t digits = ToDigits(magnitude);
  const uint64_t text = digits | kAsciiZeros;
  const unsigned fraction_bits = fraction_digits * 8;
  // One digit stands before the point even if it is zero.
  const unsigned skipped_bits = std::min(static_cast<unsigned>(std::countr_zero(digits)) & ~7U, 56 - fraction_bits);
  const unsigned zero_bits = std::min(static_cast<unsigned>(std::countl_zero(digits)) & ~7U, fraction_bits);
  const unsigned whole_chars = (64 - fraction_bits - skipped_bits) / 8;
  const unsigned fraction_chars = (fraction_bits - zero_bits) / 8;
  // In two steps, since a shift by 64 is undefined; the zeros that fill it up serve as the fraction of a whole price.
  const uint64_t fraction = ((digits >> (56 - fraction_bits)) >> 8U) | kAsciiZeros;

  StoreWord(out, text >> skipped_bits);
  out += whole_chars;
  *out = '.';
  if constexpr (kAlwaysPoint) {
    StoreWord(out + 1, fraction);
    return out + 1 + std::max(fraction_chars, 1U);
  } else {
    const unsigned point_chars = fraction_chars != 0 ? 1 : 0;
    StoreWord(out + point_chars, fraction);
    return out + point_chars + fraction_chars;
  }
}

}  // namespace

DecimalError ParseDecimalPadded(const char* begin, const char* end, Decimal* out) noexcept {
  const bool negative = *begin == '-';  // may be the padding of an empty text, whose length is then caught below
  const char* const p = begin + negative;
  const size_t chars = static_cast<size_t>(end - p);
  if (chars - 1 < 16) [[likely]] {
    if (ParseFast<false>(p, static_cast<unsigned>(chars), negative, out)) [[likely]] {
      return DecimalError::kNone;
    }
  } else if (chars - 17 < 8 && (LoadWord(p + 16) ^ kAsciiZeros) << (24 - chars) * 8 == 0) {
    // What goes beyond the register is zeros, which count for nothing behind a point ("0.250000000000000000").
    if (ParseFast<true>(p, 16, negative, out)) {
      return DecimalError::kNone;
    }
  }
  return ParseSlow(begin, end, out);
}

DecimalError ParseDecimal(std::string_view text, Decimal* out) noexcept {
  constexpr size_t kFastChars = 24;
  if (text.size() > kFastChars) {
    return ParseSlow(text.data(), text.data() + text.size(), out);
  }
  std::array<char, kFastChars + kDecimalParsePadding> padded{};
  std::copy(text.begin(), text.end(), padded.begin());
  return ParseDecimalPadded(padded.data(), padded.data() + text.size(), out);
}

std::strong_ordering decimal_internal::CompareUnequalExponents(Decimal a, Decimal b) noexcept {
  const int sign_a = (a.mantissa > 0) - (a.mantissa < 0);
  const int sign_b = (b.mantissa > 0) - (b.mantissa < 0);
  if (sign_a != sign_b || sign_a == 0) {
    return sign_a <=> sign_b;
  }
  // Same sign, neither zero. Ten to the 19th exceeds any mantissa, so from there on the exponents decide, and below it
  // the scaled mantissa is under 2^63 × 10^18 < 2^123.
  const bool a_coarser = a.exponent > b.exponent;
  const Decimal coarse = a_coarser ? a : b;
  const Decimal fine = a_coarser ? b : a;
  const int shift = coarse.exponent - fine.exponent;
  const Uint128 coarse_scaled = Uint128{Magnitude(coarse.mantissa)} * kPow10[static_cast<size_t>(std::min(shift, 18))];
  const std::strong_ordering coarse_to_fine =
      shift >= 19 ? std::strong_ordering::greater : coarse_scaled <=> Uint128{Magnitude(fine.mantissa)};
  const bool flip = a_coarser == (sign_a < 0);
  return flip ? 0 <=> coarse_to_fine : coarse_to_fine;
}

bool decimal_internal::AddUnequalExponents(Decimal a, Decimal b, Decimal* sum) noexcept {
  const Decimal coarse = a.exponent > b.exponent ? a : b;
  const Decimal fine = a.exponent > b.exponent ? b : a;
  const int shift = coarse.exponent - fine.exponent;
  if (shift > 18 && coarse.mantissa != 0) {
    return false;
  }
  const Int128 total =
      Int128{coarse.mantissa} * static_cast<Int128>(kPow10[static_cast<size_t>(std::min(shift, 18))]) + fine.mantissa;
  if (total > kMaxMantissa || total < -kMaxMantissa) {
    return false;
  }
  *sum = Decimal{static_cast<int64_t>(total), fine.exponent};
  return true;
}

char* PrintPrice(char* out, Decimal value) noexcept { return Print<true>(out, value); }
char* PrintSize(char* out, Decimal value) noexcept { return Print<false>(out, value); }

}  // namespace tickbridge
