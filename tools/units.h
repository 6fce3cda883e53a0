// SPDX-License-Identifier: Apache-2.0
// Durations, sizes and speeds as people write them, and the nearest of the words they may have meant.
//
// Errors: kInvalidArgument; the message quotes the text and says which units there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tickbridge {

// "250us", "1.5s", "2m": nanoseconds, whole, not negative. Units: ns us ms s m h. "0" needs none.
absl::StatusOr<int64_t> ParseDuration(std::string_view text);
// The shortest exact form that ParseDuration reads: "1500ms", "5s", "0s".
std::string FormatDuration(int64_t ns);

// "8MiB", "64KiB", "1GiB", "512B" or "512": bytes.
absl::StatusOr<uint64_t> ParseSize(std::string_view text);
std::string FormatSize(uint64_t bytes);

// "10000", "10k", "2.5M": a positive number of anything.
absl::StatusOr<double> ParseRate(std::string_view text);
// The shortest of these forms: "10k", "2.5M".
std::string FormatRate(double rate);

// "max" is 0 (as fast as possible), "real" is 1, "10x" is 10, "0.5x" is a half.
absl::StatusOr<double> ParseSpeed(std::string_view text);

// The candidate that `word` is most likely a slip of, or "" when none is near.
std::string_view Nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace tickbridge
