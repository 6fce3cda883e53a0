// SPDX-License-Identifier: Apache-2.0
// What `run` and `replay` share: from options to a configuration and a Redis, and how a run is brought to its end.
#pragma once

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

// The configuration of the options. Nothing, with every error on stderr, if it is not valid.
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

// Keeps the bridge going until `until` says so or a signal comes. True if a signal came.
bool TurnUntil(Bridge* bridge, StopSignals* signals, const std::function<bool()>& until);

// Waits until nothing is pending: at most `total_ns`, and at most `stuck_ns` without progress. Another signal ends the
// wait.
void Drain(Bridge* bridge, int64_t total_ns, int64_t stuck_ns);

// The summary on stdout.
void PrintSummary(const Summary& summary, bool json);

}  // namespace tickbridge
