// SPDX-License-Identifier: Apache-2.0
#include "tools/units.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tickbridge {
namespace {

struct Unit {
  std::string_view name;
  int64_t factor;
};

// Longest first where one ends with another; the first that divides is the shortest to print.
constexpr std::array<Unit, 6> kTimes = {{{"h", 3'600'000'000'000},
                                         {"m", 60'000'000'000},
                                         {"s", 1'000'000'000},
                                         {"ms", 1'000'000},
                                         {"us", 1'000},
                                         {"ns", 1}}};
constexpr std::array<Unit, 4> kSizes = {{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// `number` times `factor`: exact, whole, within int64; or nothing.
std::optional<int64_t> Scaled(std::string_view number, int64_t factor) {
  absl::int128 mantissa = 0;
  absl::int128 divisor = 1;
  bool digits = false;
  bool point = false;
  for (const char c : number) {
    if (c == '.' && !point) {
      point = true;
      continue;
    }
    if (!IsDigit(c) || mantissa > std::numeric_limits<int64_t>::max()) return {};
    digits = true;
    mantissa = mantissa * 10 + (c - '0');
    if (point) divisor *= 10;
  }
  const absl::int128 product = mantissa * factor;
  if (!digits || !IsDigit(number.front()) || !IsDigit(number.back()) || product % divisor != 0) return {};
  const absl::int128 result = product / divisor;
  if (result > std::numeric_limits<int64_t>::max()) return {};
  return static_cast<int64_t>(result);
}

std::pair<std::string_view, std::string_view> NumberAndUnit(std::string_view text) {
  const size_t end = text.find_first_not_of("0123456789.");
  if (end == std::string_view::npos) return {text, ""};
  return {text.substr(0, end), absl::StripLeadingAsciiWhitespace(text.substr(end))};
}

template <size_t N>
std::string Formatted(uint64_t value, const std::array<Unit, N>& units, std::string_view unit_of_zero) {
  if (value == 0) return absl::StrCat("0", unit_of_zero);
  for (const Unit& unit : units) {
    if (value % static_cast<uint64_t>(unit.factor) == 0)
      return absl::StrCat(value / static_cast<uint64_t>(unit.factor), unit.name);
  }
  return absl::StrCat(value);
}

absl::Status Bad(std::string_view text, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not ", what));
}

// Insertions, deletions, substitutions and swaps of neighbours.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

absl::StatusOr<int64_t> ParseDuration(std::string_view text) {
  const auto [number, name] = NumberAndUnit(text);
  if (number == "0" && name.empty()) return 0;
  for (const Unit& unit : kTimes) {
    if (name != unit.name) continue;
    if (const std::optional<int64_t> ns = Scaled(number, unit.factor)) return *ns;
  }
  return Bad(text, "a duration: write a number and a unit (ns us ms s m h), such as 250us, 1.5s or 2m");
}

std::string FormatDuration(int64_t ns) { return Formatted(static_cast<uint64_t>(ns), kTimes, "s"); }

absl::StatusOr<uint64_t> ParseSize(std::string_view text) {
  const auto [number, name] = NumberAndUnit(text);
  for (const Unit& unit : kSizes) {
    if (name != unit.name && !(name.empty() && unit.factor == 1)) continue;
    if (const std::optional<int64_t> bytes = Scaled(number, unit.factor)) return static_cast<uint64_t>(*bytes);
  }
  return Bad(text, "a size: write a number of bytes, or one with KiB, MiB or GiB, such as 64KiB");
}

std::string FormatSize(uint64_t bytes) { return Formatted(bytes, kSizes, "B"); }

absl::StatusOr<double> ParseRate(std::string_view text) {
  const auto [number, name] = NumberAndUnit(text);
  const double factor = name.empty() ? 1 : name == "k" ? 1e3 : name == "M" ? 1e6 : 0;
  double rate = 0;
  if (factor != 0 && absl::SimpleAtod(number, &rate) && std::isfinite(rate) && rate > 0) return rate * factor;
  return Bad(text, "a rate: write a number, or one with k or M, such as 10k or 2.5M");
}

std::string FormatRate(double rate) {
  if (rate >= 1e6) return absl::StrCat(rate / 1e6, "M");
  return rate >= 1e3 ? absl::StrCat(rate / 1e3, "k") : absl::StrCat(rate);
}

absl::StatusOr<double> ParseSpeed(std::string_view text) {
  if (text == "max") return 0.0;
  if (text == "real") return 1.0;
  double factor = 0;
  if (text.ends_with('x') && IsDigit(text.front()) && absl::SimpleAtod(text.substr(0, text.size() - 1), &factor) &&
      std::isfinite(factor) && factor > 0) {
    return factor;
  }
  return Bad(text, "a speed: write max, real, or a factor such as 10x");
}

std::string_view Nearest(std::string_view word, std::span<const std::string> candidates) {
  std::string_view best;
  // Beyond a third of the word it is no slip but another word.
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  // Or one is short for the other: "warning".
  for (const std::string& candidate : candidates) {
    const size_t shorter = std::min(candidate.size(), word.size());
    if (best.empty() && shorter >= 3 && word.substr(0, shorter) == candidate.substr(0, shorter)) best = candidate;
  }
  return best;
}

}  // namespace tickbridge
