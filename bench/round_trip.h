// SPDX-License-Identifier: Apache-2.0
// The least that a tick can take: one SETEX of encoded bytes, sent when it is due, its answer waited for by spinning.
//
// As open loop as a bridge's run: what is due while an answer is awaited is sent after it, and counts from when it was
// due. Threading: the thread that calls.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "core/histogram.h"
#include "sink/redis_target.h"

namespace tickbridge {

struct RoundTripOptions {
  uint32_t symbols = 1000;
  size_t value_bytes = 115;
  double rate = 10'000;
  int64_t warmup_ns = 0;
  int64_t for_ns = 0;
  int cpu = -1;  // −1: as the thread is
};

// `latency` also keeps what it held. Errors: those of connecting; a server that goes away.
absl::Status MeasureRoundTrips(const RedisTarget& target, const RoundTripOptions& options, Histogram* latency);

}  // namespace tickbridge
