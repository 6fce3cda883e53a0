// SPDX-License-Identifier: Apache-2.0
// The quotes that a RedisReader (sink/redis_reader.h) has read, each with the moment until which it may be served.
//
// A value in Redis is fresh or absent (README); so is one here. It is served until its key's own deadline and no
// longer, whatever has become of the connection meanwhile.
//
// Never back in time: what one server says comes in its order. Another server (a replica, the next primary) may lag
// behind the one that was read before. A value of it that is older than the one held, by `Sequence` where the class
// has it, else by `Timestamp`, is held back as long as the newer one lives. After that no server has the older one
// either, since it ends no later.
//
// Threading: one thread. Cost of Get: some nanoseconds. Memory: fixed but for the values' text, at most
// kValueBytesMax a symbol.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/tick.h"
#include "core/types.h"

namespace tickbridge {

enum class QuoteState : uint8_t {
  kCurrent,    // what Redis had at the last Poll, as far as a round trip can tell
  kHeld,       // not past its deadline, but there may be a newer one: it is read again, or Redis does not answer
  kExpired,    // the key was there, and is not any more: it ran out, or was deleted
  kNeverSeen,  // the key is not there, and this reader has not seen it
  kInvalid,    // what stands under the key is no quote
  kUnknown,    // nothing can be said: not read yet, or Redis does not answer and the last value ran out
};

class QuoteCache {
 public:
  static constexpr size_t kValueBytesMax = 1024;
  static constexpr MonoNs kNoDeadline{std::numeric_limits<int64_t>::max()};

  // `ttl_ns`: of the key class; 0: not known, then no age is told.
  QuoteCache(size_t symbols, int64_t ttl_ns) : ttl_ns_(ttl_ns), slots_(symbols) {}

  // `*quote` is set with kCurrent and kHeld, and null otherwise. It lives until the next Take or Forget.
  QuoteState Get(SymbolId id, MonoNs now, const Quote** quote) const noexcept {
    *quote = nullptr;
    if (Index(id) >= slots_.size()) return QuoteState::kUnknown;
    const Slot& slot = slots_[Index(id)];
    const bool confirmed = slot.confirmed && now < live_until_;
    // A key without an end is served only while Redis vouches for it.
    if (slot.holds == Holds::kQuote && now < slot.deadline && (confirmed || slot.deadline != kNoDeadline)) {
      *quote = &slot.quote;
      return confirmed ? QuoteState::kCurrent : QuoteState::kHeld;
    }
    if (!confirmed) return QuoteState::kUnknown;
    if (slot.holds == Holds::kInvalid) return QuoteState::kInvalid;
    return slot.seen ? QuoteState::kExpired : QuoteState::kNeverSeen;
  }

  // How long ago the bridge received the newest tick of the quote served, or, with `refresh`, last heard of its source:
  // the class's TTL less what is left of it. Needs no common clock. Too high by a round trip at most; too low by the
  // time that the write was on its way, and 10 ms. Nothing where that cannot be known.
  std::optional<int64_t> AgeNs(SymbolId id, MonoNs now) const noexcept;
  // Until when it may be served, by this host's clock; kNoDeadline for a key that has no end.
  std::optional<MonoNs> Deadline(SymbolId id) const noexcept;

  // What follows is the reader's.

  // What stood under a key: its text, null if it is absent; `oversize`, if it was too long to be looked at.
  struct Value {
    std::optional<std::string_view> text;
    bool oversize = false;
  };
  enum class Taken : uint8_t { kSame, kChanged, kHeldBack };
  // A key was read at `now` from the `server`th server. With kHeldBack it is not confirmed.
  Taken Take(uint32_t index, const Value& value, MonoNs deadline, uint32_t server, MonoNs now);
  // Whether it is what was taken last, and need not have its deadline looked up anew.
  bool IsSame(uint32_t index, const Value& value, MonoNs now) const noexcept;
  // It may have changed.
  void Unconfirm(uint32_t index) noexcept { slots_[index].confirmed = false; }
  // It is gone. Whether there was one.
  bool Forget(uint32_t index) noexcept;
  // Until when the server's silence means that nothing has changed.
  void SetLiveUntil(MonoNs until) noexcept { live_until_ = until; }
  MonoNs live_until() const noexcept { return live_until_; }

 private:
  enum class Holds : uint8_t { kNothing, kQuote, kInvalid };
  struct Slot {
    MonoNs deadline;
    Holds holds = Holds::kNothing;
    bool confirmed = false;
    bool seen = false;
    uint32_t server = 0;
    Quote quote;
    MonoNs renew_at;   // when half of its life was over as it was known at the read
    std::string text;  // as it stood in Redis
  };

  int64_t ttl_ns_;
  MonoNs live_until_;
  std::vector<Slot> slots_;
};

}  // namespace tickbridge
