// SPDX-License-Identifier: Apache-2.0
// One run of the latency harness: a bridge on one runner, a generator, and whoever watches for its ticks.
//
// Threading: the main thread; with a generator process, while there is no other.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/recording.h"
#include "bench/results.h"
#include "tools/commands.h"
#include "tools/config.h"
#include "tools/placement.h"
#include "tools/redis_client.h"
#include "tools/signals.h"

namespace tickbridge {

struct BenchSetup {
  Config config;       // its feeds and runners are replaced
  RedisTarget target;  // keys price:BENCH…:latest in it are removed first
  BenchOptions options;
  Placement placement;
  const Recording* recording = nullptr;  // null: a synthetic market
};

// The runner that turns everything: generator, feed and lanes.
RunnerConfig HarnessRunner(const BenchOptions& options);

// kCancelled: a signal came. What a server or a process did wrong, otherwise.
absl::StatusOr<BenchRun> RunBench(const BenchSetup& setup, double rate, uint32_t symbols, RedisClient* client,
                                  StopSignals* signals);

// The value of a line `name:value` in INFO; empty if there is none.
std::string InfoValue(std::string_view info, std::string_view name);

}  // namespace tickbridge
