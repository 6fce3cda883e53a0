// SPDX-License-Identifier: Apache-2.0
// `tickbridge run`: the bridge, until SIGINT or SIGTERM.
#include <cstdio>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/log.h"
#include "tools/commands.h"
#include "tools/json.h"
#include "tools/log.h"
#include "tools/output.h"
#include "tools/paths.h"
#include "tools/quotes.h"
#include "tools/session.h"

namespace tickbridge {
namespace {

// "1 feed", "2 feeds"
std::string Count(size_t count, std::string_view one, std::string_view more) {
  return absl::StrCat(count, " ", count == 1 ? one : more);
}

std::string ErrorJson(const ConfigError& error) {
  return absl::StrCat("{\"file\":", JsonString(error.file),
                      ",\"line\":", error.line > 0 ? absl::StrCat(error.line) : "null",
                      ",\"message\":", JsonString(error.message), "}");
}

// What the file alone does not show: a variable of the environment, the password's file, certificates.
absl::Status CheckRedis(const RedisConfig& redis) {
  const absl::StatusOr<RedisTarget> target = ResolveTarget(redis);
  if (!target.ok() || !target->tls) return target.status();
  return TlsContext::Create(target->tls_options).status();
}

int CheckConfig(const GlobalOptions& global) {
  LoadResult loaded = LoadConfigOf(global);
  if (loaded.ok()) {
    if (absl::Status status = CheckRedis(loaded.config.redis); !status.ok()) {
      loaded.errors.push_back({"redis", 0, std::string(status.message())});
    }
  }
  const Config& config = loaded.config;
  std::string text;
  if (global.json && loaded.ok()) {
    text = absl::StrCat("{\"ok\":true,\"instance\":", JsonString(config.instance), ",\"feeds\":", config.feeds.size(),
                        ",\"runners\":", config.runners.size(), ",\"classes\":", config.classes.size(), "}\n");
  } else if (global.json) {
    const auto append = [](std::string* out, const ConfigError& error) { out->append(ErrorJson(error)); };
    text = absl::StrCat("{\"ok\":false,\"errors\":[", absl::StrJoin(loaded.errors, ",", append), "]}\n");
  } else if (loaded.ok()) {
    text = absl::StrCat("ok: instance ", config.instance, ", ", Count(config.feeds.size(), "feed", "feeds"), ", ",
                        Count(config.runners.size(), "runner", "runners"), ", ",
                        Count(config.classes.size(), "key class", "key classes"), "\n");
  } else {
    for (const ConfigError& error : loaded.errors) std::fprintf(stderr, "%s\n", error.ToString().c_str());
  }
  if (!PrintOrExplain(text)) return kExitFailed;
  return loaded.ok() ? kExitOk : kExitUsage;
}

std::string PlaceOf(const FeedConfig& feed) {
  if (feed.type == "synth") return absl::StrCat(feed.symbols, " symbols, ", feed.rate, " ticks/s");
  const std::string& place = feed.type == "tcp"    ? feed.address
                             : feed.type == "udp"  ? feed.a
                             : feed.folder.empty() ? feed.path
                                                   : feed.folder;
  return absl::StrCat(place, feed.interface.empty() ? "" : absl::StrCat(" through ", feed.interface));
}

void LogStart(const Config& config, const RedisTarget& target) {
  Log(LogLevel::kInfo, absl::StrCat("instance ", config.instance, " starts: Redis ", target.Display(), ", ",
                                    Count(config.redis.lanes, "lane", "lanes")));
  for (const FeedConfig& feed : config.feeds) {
    Log(LogLevel::kInfo, absl::StrCat("feed.", feed.name, ": ", feed.type, ", ", PlaceOf(feed)));
  }
  for (const RunnerConfig& runner : config.runners) {
    Log(LogLevel::kInfo,
        absl::StrCat("runner.", runner.name, ": ", runner.cpu < 0 ? "not pinned" : absl::StrCat("CPU ", runner.cpu),
                     runner.priority > 0 ? absl::StrCat(", priority ", runner.priority) : "", ", idle ", runner.idle,
                     ": ", absl::StrJoin(runner.agents, ", ")));
  }
}

}  // namespace

int CommandRun(const GlobalOptions& global, const RunOptions& options) {
  if (options.check_config) return CheckConfig(global);
  std::optional<Config> config = LoadConfigOrExplain(global);
  if (!config) return kExitUsage;
  if (config->feeds.empty()) {
    return ExplainStart(
        absl::InvalidArgumentError("no feed is configured; add a [feed.NAME] table to the configuration"));
  }
  Placement placement = TakePlaces(*config);  // before anything else has a thread
  StopSignals signals;
  std::optional<RedisPlace> redis = ResolveRedisOrExplain(*config);
  if (!redis) return kExitUsage;
  const Logging logging(config->log_level);
  const int64_t drain_timeout_ns = config->drain_timeout_ns;
  const std::string instance = config->instance;
  WarnOfTarget(redis->target);

  Bridge::Options setup;
  LogStart(*config, redis->target);
  WarnOfPlacement(placement);
  setup.placement = std::move(placement);
  setup.counters_path = CountersPath(config->instance);
  if (const std::string table = SharedTableName(*config); !table.empty()) setup.table_path = TablePath(table);
  setup.config = *std::move(config);
  setup.target = redis->target;
  auto bridge = Bridge::Create(std::move(setup));
  if (!bridge.ok()) return ExplainStart(bridge.status());
  if (absl::Status status = (*bridge)->Start(); !status.ok()) return ExplainStart(status);

  const MonoNs end = SystemClock::ReadMonotonic() + static_cast<int64_t>(options.for_seconds * kNsPerSec);
  absl::Status refused;
  const bool signalled = TurnUntil(bridge->get(), &signals, [&] {
    refused = (*bridge)->refused();
    return !refused.ok() || (options.for_seconds > 0 && SystemClock::ReadMonotonic() >= end);
  });
  (*bridge)->StopFeeds();
  DrainEnd drained = DrainEnd::kGaveUp;
  if (refused.ok()) drained = Drain(bridge->get(), {drain_timeout_ns, drain_timeout_ns, signalled});
  (*bridge)->Stop();
  const Summary summary = (*bridge)->Summarize();
  Log(LogLevel::kInfo,
      absl::StrCat("instance ", instance, " stopped after ", FormatAge(static_cast<int64_t>(summary.elapsed_s * 1000)),
                   ": ", summary.records, " records, ", summary.pending, " keys not delivered"));
  const bool printed = PrintSummary(summary, global.json);
  if (!refused.ok()) return ExplainStart(refused);
  return drained == DrainEnd::kDelivered && summary.pending == 0 && printed ? kExitOk : kExitFailed;
}

}  // namespace tickbridge
