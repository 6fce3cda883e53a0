// SPDX-License-Identifier: Apache-2.0
// `tickbridge run`: the bridge, until SIGINT or SIGTERM.
#include <cstdio>

#include "tools/commands.h"
#include "tools/log.h"
#include "tools/paths.h"
#include "tools/session.h"

namespace tickbridge {

int CommandRun(const GlobalOptions& global, const RunOptions& options) {
  std::optional<Config> config = LoadConfigOrExplain(global);
  if (!config) return kExitUsage;
  if (options.check_config) {
    const absl::StatusOr<RedisTarget> target = ResolveTarget(config->redis);
    if (!target.ok()) return ExplainStart(target.status());
    if (target->tls) {
      if (auto tls = TlsContext::Create(target->tls_options); !tls.ok()) return ExplainStart(tls.status());
    }
    std::printf("ok: instance %s, %zu feeds, %zu runners, %zu key classes\n", config->instance.c_str(),
                config->feeds.size(), config->runners.size(), config->classes.size());
    return kExitOk;
  }
  if (config->feeds.empty()) {
    return ExplainStart(
        absl::InvalidArgumentError("no feed is configured; add a [feed.NAME] table to the configuration"));
  }
  StopSignals signals;
  std::optional<RedisPlace> redis = ResolveRedisOrExplain(*config);
  if (!redis) return kExitUsage;
  const Logging logging(config->log_level);
  const int64_t drain_timeout_ns = config->drain_timeout_ns;

  Bridge::Options setup;
  setup.counters_path = CountersPath(config->instance);
  setup.config = *std::move(config);
  setup.target = redis->target;
  auto bridge = Bridge::Create(std::move(setup));
  if (!bridge.ok()) return ExplainStart(bridge.status());
  if (absl::Status status = (*bridge)->Start(); !status.ok()) return ExplainStart(status);

  const MonoNs end = SystemClock::ReadMonotonic() + static_cast<int64_t>(options.for_seconds * kNsPerSec);
  absl::Status refused;
  TurnUntil(bridge->get(), &signals, [&] {
    refused = (*bridge)->refused();
    return !refused.ok() || (options.for_seconds > 0 && SystemClock::ReadMonotonic() >= end);
  });
  (*bridge)->StopFeeds();
  if (refused.ok()) Drain(bridge->get(), drain_timeout_ns, drain_timeout_ns);
  (*bridge)->Stop();
  const Summary summary = (*bridge)->Summarize();
  PrintSummary(summary, global.json);
  if (!refused.ok()) return ExplainStart(refused);
  return summary.pending == 0 ? kExitOk : kExitFailed;
}

}  // namespace tickbridge
