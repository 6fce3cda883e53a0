// SPDX-License-Identifier: Apache-2.0
// How long a value that is sent now may live: its class's lifetime, less its age. A value younger than 10 ms gets the
// whole of it.
#pragma once

#include <cstdint>

#include "core/types.h"

namespace tickbridge {

struct Lifetime {
  enum class Kind : uint8_t {
    kFullSeconds,   // SETEX with the class's whole seconds
    kMilliseconds,  // PSETEX with `ms`
    kNone,          // nothing remains: do not send
  };
  Kind kind;
  int64_t ms;  // always set, 0 for kNone
};

inline constexpr int64_t kYoungNs = 10 * kNsPerMs;

inline Lifetime LifetimeOf(int64_t ttl_ns, int64_t age_ns) noexcept {
  if (age_ns < kYoungNs) {
    return {ttl_ns % kNsPerSec == 0 ? Lifetime::Kind::kFullSeconds : Lifetime::Kind::kMilliseconds, ttl_ns / kNsPerMs};
  }
  const int64_t ms = (ttl_ns - age_ns) / kNsPerMs;  // floored where positive; PSETEX 0 is an error
  if (ttl_ns <= age_ns || ms == 0) return {Lifetime::Kind::kNone, 0};
  return {Lifetime::Kind::kMilliseconds, ms};
}

}  // namespace tickbridge
