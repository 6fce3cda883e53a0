// SPDX-License-Identifier: Apache-2.0
// `tickbridge replay`: a recording through the same pipeline as live feeds, until its latest values are acknowledged.
#include <cstdio>
#include <limits>

#include "absl/strings/str_cat.h"
#include "tools/commands.h"
#include "tools/log.h"
#include "tools/session.h"
#include "tools/units.h"

namespace tickbridge {

int CommandReplay(const GlobalOptions& global, const ReplayOptions& options) {
  if (options.format != "auto" && options.format != "ndjson") {
    return ExplainStart(absl::InvalidArgumentError("--format " + options.format + ": this version reads ndjson"));
  }
  if (const auto speed = ParseSpeed(options.speed); !speed.ok()) {
    return ExplainStart(absl::InvalidArgumentError(absl::StrCat("--speed: ", speed.status().message())));
  }
  std::optional<Config> config = LoadConfigOrExplain(global);
  if (!config) return kExitUsage;
  // The recording takes the place of the configured feeds; everything else is as configured.
  FeedConfig feed;
  feed.name = "replay";
  feed.type = "file";
  feed.path = options.path;
  feed.speed = options.speed;
  config->feeds = {feed};
  for (RunnerConfig& runner : config->runners) {
    std::erase_if(runner.agents, [](const std::string& agent) { return agent.starts_with("feed."); });
  }
  config->runners[0].agents.insert(config->runners[0].agents.begin(), "feed.replay");

  Placement placement = TakePlaces(*config);  // before anything else has a thread
  StopSignals signals;
  std::optional<RedisPlace> redis = ResolveRedisOrExplain(*config);
  if (!redis) return kExitUsage;
  const Logging logging(config->log_level);
  WarnOfTarget(redis->target);
  WarnOfPlacement(placement);
  Bridge::Options setup;
  setup.placement = std::move(placement);
  setup.config = *std::move(config);
  setup.target = redis->target;
  setup.replay = true;
  auto bridge = Bridge::Create(std::move(setup));
  if (!bridge.ok()) return ExplainStart(bridge.status());
  if (absl::Status status = (*bridge)->Start(); !status.ok()) return ExplainStart(status);

  absl::Status refused;
  bool interrupted = TurnUntil(bridge->get(), &signals, [&] {
    refused = (*bridge)->refused();
    return !refused.ok() || (*bridge)->feeds_done();
  });
  (*bridge)->StopFeeds();
  DrainEnd drained = DrainEnd::kGaveUp;
  if (refused.ok()) {
    const DrainLimits limits{std::numeric_limits<int64_t>::max(), options.timeout_ns, interrupted};
    drained = Drain(bridge->get(), limits);
    if (drained == DrainEnd::kInterrupted) {
      interrupted = true;
    } else if (interrupted) {
      std::fputs("tickbridge: interrupted: the rest of the recording was not read\n", stderr);
    }
  }
  (*bridge)->Stop();
  const Summary summary = (*bridge)->Summarize();
  const bool printed = PrintSummary(summary, global.json);
  if (!refused.ok()) return ExplainStart(refused);
  if (absl::Status read = (*bridge)->feed_status(); !interrupted && !read.ok()) return ExplainStart(read);
  const bool whole = drained == DrainEnd::kDelivered && summary.pending == 0 && summary.failed == 0 &&
                     summary.expired == 0 && !interrupted;
  // Another format, or a table that knows newer ones: nothing of it went anywhere.
  const bool in_vain = summary.rejected_total() != 0 && summary.accepted == 0;
  return whole && !in_vain && printed ? kExitOk : kExitFailed;
}

}  // namespace tickbridge
