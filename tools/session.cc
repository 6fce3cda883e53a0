// SPDX-License-Identifier: Apache-2.0
#include "tools/session.h"

#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/log.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/units.h"

namespace tickbridge {
namespace {

constexpr int64_t kLookIntervalNs = 20 * kNsPerMs;
// While draining, the end is looked for more closely: a short replay should not take 20 ms longer than it must.
constexpr int64_t kDrainLookNs = kNsPerMs;
// A drain that is over within it is not worth a line.
constexpr int64_t kNoticeableNs = 100 * kNsPerMs;

// Not by the log: these lines are shown whatever its level.
void Say(std::string_view line) {
  std::fprintf(stderr, "tickbridge: %.*s\n", static_cast<int>(line.size()), line.data());
}

std::string Records(uint64_t count) { return absl::StrCat(count, count == 1 ? " record" : " records"); }

// `how`, and if something is left, how much, and what each lane that is not up suffers from.
void SayGaveUp(const Bridge& bridge, const Summary& summary, std::string how) {
  if (summary.pending == 0) return Say(how);
  absl::StrAppend(&how, "; ", Records(summary.pending), " pending");
  for (const std::unique_ptr<Lane>& lane : bridge.lanes()) {
    if (lane->state() == Lane::State::kUp) continue;
    const std::string error = lane->last_error();
    absl::StrAppend(&how, "; ", lane->name(), ": ", error.empty() ? LaneStateName(lane->state()) : error);
  }
  Say(how);
}

}  // namespace

LoadResult LoadConfigOf(const GlobalOptions& options) {
  std::vector<ConfigOverride> overrides;
  if (!options.redis.empty()) overrides.push_back({"--redis", "redis.url", options.redis});
  return LoadConfig(options.config, options.sets, overrides);
}

std::optional<Config> LoadConfigOrExplain(const GlobalOptions& options) {
  LoadResult loaded = LoadConfigOf(options);
  if (loaded.ok()) return std::move(loaded.config);
  for (const ConfigError& error : loaded.errors) std::fprintf(stderr, "%s\n", error.ToString().c_str());
  return std::nullopt;
}

absl::StatusOr<RedisTarget> ResolveTarget(const RedisConfig& config) {
  absl::StatusOr<RedisTarget> target = ResolveRedisTarget(config.url, config.password_file);
  if (!target.ok() || !target->tls) return target;
  target->tls_options = {config.tls_ca, config.tls_cert, config.tls_key, config.tls_verify != "none"};
  return target;
}

std::optional<RedisPlace> ResolveRedisOrExplain(const Config& config) {
  RedisPlace place;
  auto target = ResolveTarget(config.redis);
  if (!target.ok()) {
    ExplainStart(target.status());
    return std::nullopt;
  }
  place.target = *std::move(target);
  if (place.target.kind != RedisTarget::Kind::kEmbedded) return place;
  auto embedded = EmbeddedRedis::Start();
  if (!embedded.ok()) {
    ExplainStart(embedded.status());
    return std::nullopt;
  }
  place.embedded = *std::move(embedded);
  place.target = place.embedded->target();
  return place;
}

int ExplainStart(const absl::Status& status) {
  std::fprintf(stderr, "tickbridge: %s\n", std::string(status.message()).c_str());
  const bool usage = absl::IsInvalidArgument(status) || absl::IsUnimplemented(status);
  return usage ? kExitUsage : kExitFailed;
}

void WarnOfTarget(const RedisTarget& target) {
  if (target.tls && !target.tls_options.verify) {
    Log(LogLevel::kWarn,
        "redis.tls_verify is \"none\": the server's certificate is not looked at, so anybody on the "
        "way may pose as it, and read the password");
  }
}

void WarnOfPlacement(const Placement& placement) {
  for (const std::string& warning : placement.warnings) Log(LogLevel::kWarn, warning);
}

bool TurnUntil(Bridge* bridge, StopSignals* signals, const std::function<bool()>& until) {
  Progress progress(bridge);
  while (!until()) {
    bridge->Maintain();
    progress.Update();
    if (signals->Wait(kLookIntervalNs)) return true;
  }
  return false;
}

DrainEnd Drain(Bridge* bridge, const DrainLimits& limits) {
  StopSignals again;  // the signal that began the drain does not end it
  Progress progress(bridge);
  bool announced = !limits.stopping;
  uint64_t settled = 0;
  const MonoNs began = SystemClock::ReadMonotonic();
  MonoNs moved = began;
  while (true) {
    const bool stopped = bridge->feeds_stopped();
    const Summary summary = bridge->Summarize();
    if (stopped && summary.pending == 0 && bridge->Delivered()) return DrainEnd::kDelivered;
    const MonoNs now = SystemClock::ReadMonotonic();
    if (const uint64_t ended = summary.accepted - summary.pending; ended != settled) {
      settled = ended;
      moved = now;
    }
    if (now - moved > limits.stuck_ns) {
      progress.Break();
      SayGaveUp(*bridge, summary, absl::StrCat("gave up: no progress for ", FormatDuration(limits.stuck_ns)));
      return DrainEnd::kGaveUp;
    }
    if (now - began > limits.total_ns) {
      progress.Break();
      SayGaveUp(*bridge, summary, absl::StrCat("gave up: not delivered within ", FormatDuration(limits.total_ns)));
      return DrainEnd::kGaveUp;
    }
    if (!announced && now - began > kNoticeableNs) {
      progress.Break();
      Say(absl::StrCat("stopping: delivering what ", Records(summary.pending),
                       " came to; a second signal ends at once"));
      announced = true;
    }
    bridge->Maintain();
    progress.Update();
    if (again.Wait(kDrainLookNs)) {
      progress.Break();
      SayGaveUp(*bridge, summary, "interrupted");
      return DrainEnd::kInterrupted;
    }
  }
}

bool PrintSummary(const Summary& summary, bool json) {
  return PrintOrExplain(json ? summary.Json() + "\n" : summary.Text());
}

}  // namespace tickbridge
