// SPDX-License-Identifier: Apache-2.0
// What `run` and `replay` share: from options to a configuration and a Redis, and how a run is brought to its end.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "tools/bridge.h"
#include "tools/commands.h"
#include "tools/embedded_redis.h"
#include "tools/signals.h"

namespace tickbridge {

// Exit codes of every command.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

// The configuration of the options, or what is wrong with it.
LoadResult LoadConfigOf(const GlobalOptions& options);
// The same. Nothing, with every error on stderr, if it is not valid.
std::optional<Config> LoadConfigOrExplain(const GlobalOptions& options);

// The Redis of the configuration, started here if it is `embedded`. Nothing, with the error on stderr, if there is
// none.
struct RedisPlace {
  RedisTarget target;
  std::unique_ptr<EmbeddedRedis> embedded;
};
absl::StatusOr<RedisTarget> ResolveTarget(const RedisConfig& config);
std::optional<RedisPlace> ResolveRedisOrExplain(const Config& config);

// The exit code for an error that kept a bridge from being made or started; says it on stderr.
int ExplainStart(const absl::Status& status);

// What an operator should know before the first value is sent, in the log.
void WarnOfTarget(const RedisTarget& target);
void WarnOfPlacement(const Placement& placement);

// Keeps the bridge going until `until` says so or a signal comes. True if a signal came.
bool TurnUntil(Bridge* bridge, StopSignals* signals, const std::function<bool()>& until);

// Waits until nothing is pending or under way: at most `total_ns`, and at most `stuck_ns` without progress. Another
// signal ends the wait. One that ends early says so, and why, in a line on stderr; so does one that `stopping` began,
// if it takes a noticeable time.
enum class DrainEnd : uint8_t { kDelivered, kGaveUp, kInterrupted };
struct DrainLimits {
  int64_t total_ns = 0;
  int64_t stuck_ns = 0;
  bool stopping = false;  // a signal, and not the end of the input, is why
};
DrainEnd Drain(Bridge* bridge, const DrainLimits& limits);

// The summary on stdout. False, with the error on stderr, if that fails.
bool PrintSummary(const Summary& summary, bool json);

}  // namespace tickbridge
