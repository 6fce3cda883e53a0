// SPDX-License-Identifier: Apache-2.0
//
// An exact decimal number: value = mantissa × 10^exponent. Prices and sizes stay as the venue quoted them; no binary
// floating point on the way.
//
// Range: |mantissa| ≤ 999'999'999'999'999'999 (18 digits), exponent −18…+18. Functions here take only such values
// (asserted); ParseDecimal yields only such values, and always the same representation for one value: no trailing zero
// in a fraction, no positive exponent unless the mantissa has all 18 digits. Others may hold any representation:
// equality is by value. Threading: all functions are pure. The struct is trivially copyable, but not one atomic word.
// Errors: a small enum or a bool; nothing throws, allocates or depends on the locale.
// Cost: measured by bench/; a parse or print of up to 8 digits is a few nanoseconds, without loops and without branches
// on the data but for the choice of the path.

#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace tickbridge {

struct Decimal {
  int64_t mantissa = 0;
  int8_t exponent = 0;
};

static_assert(sizeof(Decimal) == 16 && std::is_trivially_copyable_v<Decimal>);

inline constexpr int kMaxDecimalDigits = 18;
inline constexpr int64_t kMaxMantissa = 999'999'999'999'999'999;
inline constexpr int kMinExponent = -18;
inline constexpr int kMaxExponent = 18;

// The longest text that PrintPrice makes: '-', 18 digits of the mantissa, 18 zeros of the exponent, ".0". With a
// negative exponent it is shorter: '-', "0.", and 18 digits, or '-', '.', and 18 digits.
inline constexpr size_t kMaxDecimalChars = 1 + kMaxDecimalDigits + kMaxExponent + 2;
static_assert(kMaxDecimalChars == 39);
static_assert(kMaxDecimalChars >= 1 + 2 + static_cast<size_t>(-kMinExponent));

// How far past the returned end PrintPrice and PrintSize may write, so that they can store whole words.
inline constexpr size_t kDecimalPrintScratch = 8;

// How far past the end of the text ParseDecimalPadded may read.
inline constexpr size_t kDecimalParsePadding = 16;

enum class DecimalError : uint8_t {
  kNone,
  kSyntax,   // not a JSON number
  kTooLong,  // a JSON number of more than 18 significant digits, or outside of the exponent's range
};

// Reads a JSON number (RFC 8259, section 6) that is the whole of `text`: optional '-', no '+', no leading zeros, digits
// on both sides of a '.', an optional exponent. Leading zeros and trailing zeros of the fraction are not significant,
// nor are those of an integer where the exponent can hold them: "1000000000000000000000" is exact. "-0" and "0e999" are
// 0. Where both errors apply it is kSyntax. On an error *out is left as it was.
DecimalError ParseDecimal(std::string_view text, Decimal* out) noexcept;

// The same for [begin, end), begin ≤ end, of which the kDecimalParsePadding bytes behind `end` can be read, too. What
// they hold does not matter.
DecimalError ParseDecimalPadded(const char* begin, const char* end, Decimal* out) noexcept;

namespace decimal_internal {
std::strong_ordering CompareUnequalExponents(Decimal a, Decimal b) noexcept;
bool AddUnequalExponents(Decimal a, Decimal b, Decimal* sum) noexcept;
}  // namespace decimal_internal

// By value, exact for all pairs of exponents.
inline std::strong_ordering Compare(Decimal a, Decimal b) noexcept {
  if (a.exponent == b.exponent) [[likely]] {
    return a.mantissa <=> b.mantissa;
  }
  return decimal_internal::CompareUnequalExponents(a, b);
}

inline bool operator==(Decimal a, Decimal b) noexcept { return Compare(a, b) == 0; }
inline std::strong_ordering operator<=>(Decimal a, Decimal b) noexcept { return Compare(a, b); }

// *sum = a + b at the finer of both exponents. False, and *sum as it was, when that takes more than 18 digits.
inline bool AddAtFinest(Decimal a, Decimal b, Decimal* sum) noexcept {
  if (a.exponent != b.exponent) [[unlikely]] {
    return decimal_internal::AddUnequalExponents(a, b, sum);
  }
  const int64_t total = a.mantissa + b.mantissa;  // under 2 × 10^18
  if (total > kMaxMantissa || total < -kMaxMantissa) return false;
  *sum = Decimal{total, a.exponent};
  return true;
}

// Append the shortest exact text in plain notation at `out` and return its end: at most kMaxDecimalChars. Up to
// kDecimalPrintScratch bytes behind the returned end may be overwritten. Zero never has a sign.
// A price always has a decimal point, so that every JSON reader makes a float of it: "21000.0", "0.5", "-3.25".
char* PrintPrice(char* out, Decimal value) noexcept;
// A size has one only when it is not whole: "12345", "0.002".
char* PrintSize(char* out, Decimal value) noexcept;

}  // namespace tickbridge
