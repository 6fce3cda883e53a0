// SPDX-License-Identifier: Apache-2.0
// How long a value that is sent now may live: its class's lifetime, less its age.
//
// Relative (the default): the rest is sent; a value younger than 10 ms gets the whole of it. A server that stalls with
// the command in its buffer adds the time of the stall. Absolute: the deadline itself is sent, as the server's time,
// and a stall adds nothing.
#pragma once

#include <cstdint>

#include "core/types.h"
#include "sink/server_clock.h"

namespace tickbridge {

struct Lifetime {
  enum class Kind : uint8_t {
    kFullSeconds,   // SETEX with the class's whole seconds
    kMilliseconds,  // PSETEX with `ms`
    kDeadline,      // SET … PXAT with `deadline`
    kNone,          // nothing remains: do not send
  };
  Kind kind;
  int64_t ms;       // what is left; 0 for kNone
  UnixMs deadline;  // the server's time; kDeadline only
  bool young;       // it has, within 10 ms, the whole of the class's
};

inline constexpr int64_t kYoungNs = 10 * kNsPerMs;

// `server_clock`: for absolute expiry; null or not known: relative.
inline Lifetime LifetimeOf(int64_t ttl_ns, int64_t age_ns, const ServerClock* server_clock, MonoNs now) noexcept {
  const int64_t left_ms = (ttl_ns - age_ns) / kNsPerMs;  // floored where positive; PSETEX 0 is an error
  if (ttl_ns <= age_ns || left_ms == 0) return {Lifetime::Kind::kNone, 0, {}, false};
  const bool young = age_ns < kYoungNs;
  if (server_clock != nullptr && server_clock->known()) {
    return {Lifetime::Kind::kDeadline, left_ms, server_clock->At(now + (ttl_ns - age_ns)), young};
  }
  if (!young) return {Lifetime::Kind::kMilliseconds, left_ms, {}, false};
  const bool whole = ttl_ns % kNsPerSec == 0;
  return {whole ? Lifetime::Kind::kFullSeconds : Lifetime::Kind::kMilliseconds, ttl_ns / kNsPerMs, {}, true};
}

}  // namespace tickbridge
