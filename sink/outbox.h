// SPDX-License-Identifier: Apache-2.0
// What a lane has sent and not yet seen answered (the window), and the bytes that the socket has not taken yet.
//
// Threading: the lane's thread. Memory: fixed at construction.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/limits.h"
#include "core/types.h"

namespace tickbridge {

// One place of the window, in the order of sending, which is the order of the replies.
struct InFlight {
  enum class Kind : uint8_t {
    kPrice,     // SETEX / PSETEX of a quote, or its part of an MSETEX: `id` is a symbol
    kDocument,  // set or UNLINK of a document: `id` is a document
    kPublish,
    kBeacon,  // feed:{name}:alive
    kPing,
    kReadBack,  // GETRANGE of a quote before its symbol's first write: `id` is a symbol
    kTime,      // TIME
    // No command: a value too old to be sent. It keeps its place, so that what was sent before it is settled before it.
    kPriceExpired,
    kDocumentExpired,
  };
  Kind kind = Kind::kPing;
  // Keys of the command that begins here, each in a place of its own; one reply settles them all. 0: not the first.
  uint16_t keys = 1;
  uint32_t id = 0;
  uint64_t sequence = 0;  // of the value sent
  MonoNs newest;          // when the value's newest record was received
  MonoNs oldest;          // when the oldest record that it covers was received
  MonoNs sent;
  uint32_t bytes = 0;

  bool AwaitsReply() const { return kind < Kind::kPriceExpired; }
  // A command of one price.
  bool IsOnePrice() const { return kind == Kind::kPrice && keys == 1; }
};

class Outbox {
 public:
  // `commands_max`: commands in the window, where one of many keys counts as so many: that is what it costs the server.
  // `bytes_max`: bytes of them; a single command may exceed it when it is alone.
  Outbox(uint32_t commands_max, size_t bytes_max)
      : commands_max_(commands_max),
        bytes_max_(bytes_max),
        ring_(
            std::bit_ceil(size_t{commands_max} * 2 + 3)),  // twice: places without a command take no part in the limit
        buffer_(kUnsentBytesMax + kRoomBytes) {}

  // True if one more command may be encoded: the window has room, and the socket keeps up. Bytes that wait in here
  // would only grow older, while a value that waits in its slot stays the newest.
  // `gathered`: keys that will come, in one command, before it.
  bool HasRoom(uint32_t gathered = 0) const noexcept {
    return commands_ + gathered < commands_max_ && bytes_in_flight_ < bytes_max_ && end_ - begin_ < kUnsentBytesMax &&
           count_ + gathered + 3 <= ring_.size();  // a value and its PUBLISH, and a PING or TIME
  }
  uint32_t commands() const noexcept { return commands_; }
  size_t count() const noexcept { return count_; }
  size_t bytes_in_flight() const noexcept { return bytes_in_flight_; }

  // Where the next command's bytes go. After HasRoom there is room for a document of the largest size, and for the
  // PUBLISH of the same that may follow it.
  char* Begin() noexcept {
    if (begin_ == end_) begin_ = end_ = 0;
    if (begin_ != 0 && buffer_.size() - end_ < kRoomBytes) {
      std::copy(buffer_.begin() + static_cast<ptrdiff_t>(begin_), buffer_.begin() + static_cast<ptrdiff_t>(end_),
                buffer_.begin());
      end_ -= begin_;
      begin_ = 0;
    }
    return buffer_.data() + end_;
  }
  // Takes the command whose bytes end at `end` into the window.
  void Commit(InFlight entry, const char* end) noexcept {
    const size_t bytes = static_cast<size_t>(end - (buffer_.data() + end_));
    end_ += bytes;
    entry.bytes = static_cast<uint32_t>(bytes);
    bytes_in_flight_ += bytes;
    commands_ += entry.AwaitsReply() ? 1 : 0;
    ring_[(head_ + count_++) & (ring_.size() - 1)] = entry;
  }
  // Takes a whole command, made elsewhere, into the window.
  void Put(const InFlight& entry, std::string_view command) noexcept {
    char* const begin = Begin();
    std::copy(command.begin(), command.end(), begin);
    Commit(entry, begin + command.size());
  }
  // Takes a place that sends nothing.
  void CommitNothing(const InFlight& entry) noexcept { Commit(entry, buffer_.data() + end_); }

  std::span<const char> Unsent() const noexcept { return {buffer_.data() + begin_, end_ - begin_}; }
  void MarkSent(size_t bytes) noexcept { begin_ += bytes; }

  bool empty() const noexcept { return count_ == 0; }
  const InFlight& Front() const noexcept { return ring_[head_]; }
  InFlight Pop() noexcept {
    const InFlight entry = ring_[head_];
    head_ = (head_ + 1) & (ring_.size() - 1);
    --count_;
    bytes_in_flight_ -= entry.bytes;
    commands_ -= entry.AwaitsReply() ? 1 : 0;
    return entry;
  }
  // Forgets the unsent bytes, with the connection they were for. The window's places are still to be popped.
  void DropUnsent() noexcept { begin_ = end_ = 0; }

 private:
  static constexpr size_t kUnsentBytesMax = size_t{64} << 10;
  // Around a document: verb, key, lifetime, frames.
  static constexpr size_t kCommandOverheadBytes = 4096;
  static_assert(kCommandOverheadBytes > 4 * limits::kKeyBytesMax);
  static constexpr size_t kRoomBytes = 2 * (limits::kDocumentBytesMax + kCommandOverheadBytes);

  const uint32_t commands_max_;
  const size_t bytes_max_;
  std::vector<InFlight> ring_;
  size_t head_ = 0;
  size_t count_ = 0;
  uint32_t commands_ = 0;
  size_t bytes_in_flight_ = 0;
  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace tickbridge
