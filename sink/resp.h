// SPDX-License-Identifier: Apache-2.0
// Commands in the Redis serialization protocol (RESP2, arrays of bulk strings), written straight into a flat buffer.
// Source of the format: Redis documentation, "Redis serialization protocol specification".
//
// Every function writes at `out`, which must have room, and returns the new end.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace tickbridge::resp {

// Room for one bulk string's frame: `$`, up to 10 digits, two line ends.
inline constexpr size_t kBulkFrameBytes = 16;

char* PutUnsigned(char* out, uint64_t value) noexcept;
char* PutBulk(char* out, std::string_view text) noexcept;
// A bulk string that is the decimal text of a number.
char* PutBulkNumber(char* out, uint64_t value) noexcept;

// A whole command; for those off the hot path.
void AppendCommand(std::string* out, std::span<const std::string_view> words);
inline void AppendCommand(std::string* out, std::initializer_list<std::string_view> words) {
  AppendCommand(out, std::span(words.begin(), words.size()));
}

}  // namespace tickbridge::resp
