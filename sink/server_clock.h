// SPDX-License-Identifier: Apache-2.0
// The server's clock beside ours, for deadlines that are sent as the server's time (`expiry = "absolute"`).
//
// An answer to TIME tells the server's time at some moment between asking and hearing. That bounds the offset of its
// clock from ours on both sides; several answers bound it closer, as long as they agree. Deadlines are reckoned by the
// lower bound, so that a value never outlives its deadline: it may run out early, by one round trip at most.
//
// Threading: the lane's thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/types.h"

namespace tickbridge {

class ServerClock {
 public:
  // TIME was asked at `sent` and heard at `received` (ours), and said `unix_us`. Returns by how much it contradicts
  // what was known, 0 if it does not: clocks drift apart by a little, and jump when somebody sets them.
  int64_t OnTime(MonoNs sent, MonoNs received, int64_t unix_us) noexcept {
    const int64_t server_ns = unix_us * kNsPerUs;
    const int64_t low = server_ns - received.value;
    const int64_t high = server_ns + kNsPerUs - sent.value;  // microseconds are floored
    int64_t contradiction = 0;
    if (!known_ || low > high_ns_ || high < low_ns_) {
      if (known_) contradiction = low > high_ns_ ? low - high_ns_ : high - low_ns_;
      low_ns_ = low;
      high_ns_ = high;
    } else {
      low_ns_ = std::max(low_ns_, low);
      high_ns_ = std::min(high_ns_, high);
    }
    known_ = true;
    return contradiction;
  }
  void Forget() noexcept { known_ = false; }
  // By how much another reckoning of the same clock contradicts this one.
  int64_t GapTo(const ServerClock& other) const noexcept {
    if (!known_ || !other.known_) return 0;
    return other.low_ns_ > high_ns_   ? other.low_ns_ - high_ns_
           : other.high_ns_ < low_ns_ ? other.high_ns_ - low_ns_
                                      : 0;
  }
  bool known() const noexcept { return known_; }
  // What the server's clock shows at our `time`, at the earliest.
  UnixMs At(MonoNs time) const noexcept { return ToUnixMs(UnixNs{time.value + low_ns_}); }
  int64_t uncertainty_ns() const noexcept { return high_ns_ - low_ns_; }

 private:
  bool known_ = false;
  int64_t low_ns_ = 0;  // server's Unix time − our monotonic time, at least
  int64_t high_ns_ = 0;
};

}  // namespace tickbridge
