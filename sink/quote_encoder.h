// SPDX-License-Identifier: Apache-2.0
// A quote as strategies read it: one JSON object, its members in the order of the configuration.
//
// Form:
// `{"Last":21000.25,"Bid":21000.0,"Ask":21000.5,"Volume":12345,"High":21100.0,"Low":20950.0,"Timestamp":1700000000000}`.
//   Prices always have a decimal point, sizes only where needed; a field never given, or cleared, is null.
// Threading: one thread an object.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/decimal.h"
#include "core/key_class.h"
#include "core/tick.h"

namespace tickbridge {

class QuoteEncoder {
 public:
  explicit QuoteEncoder(std::span<const QuoteMember> members);

  // Writes the JSON text at `out` and returns its end. `out` needs bytes_max() of room.
  // `received` and `sent` fill ReceivedNs and SentNs.
  char* Encode(char* out, const Quote& quote, UnixNs received, UnixNs sent) noexcept;

  size_t bytes_max() const noexcept { return bytes_max_; }

 private:
  // The text before a member's value, padded so that it is copied as one fixed-size block.
  static constexpr size_t kNameBytes = 16;
  struct Member {
    char name[kNameBytes];
    uint8_t name_bytes;
    QuoteMember member;
    Field field;  // for members that are fields of the quote
  };

  char* PrintTimestamp(char* out, int64_t unix_ms) noexcept;

  std::vector<Member> members_;
  size_t bytes_max_;
  // The text of the last second printed: a thousand Timestamps share it.
  int64_t second_ = 0;
  char second_text_[20] = {};
  size_t second_bytes_ = 0;
};

}  // namespace tickbridge
