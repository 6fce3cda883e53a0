// SPDX-License-Identifier: Apache-2.0
#include "tools/session.h"

#include <cstdio>
#include <utility>

#include "tools/output.h"
#include "tools/progress.h"

namespace tickbridge {
namespace {

constexpr int64_t kLookIntervalNs = 20 * kNsPerMs;
// While draining, the end is looked for more closely: a short replay should not take 20 ms longer than it must.
constexpr int64_t kDrainLookNs = kNsPerMs;

}  // namespace

std::optional<Config> LoadConfigOrExplain(const GlobalOptions& options) {
  std::vector<ConfigOverride> overrides;
  if (!options.redis.empty()) overrides.push_back({"--redis", "redis.url", options.redis});
  LoadResult loaded = LoadConfig(options.config, options.sets, overrides);
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

bool TurnUntil(Bridge* bridge, StopSignals* signals, const std::function<bool()>& until) {
  Progress progress(bridge);
  while (!until()) {
    bridge->Maintain();
    progress.Update();
    if (signals->Wait(kLookIntervalNs)) return true;
  }
  return false;
}

void Drain(Bridge* bridge, int64_t total_ns, int64_t stuck_ns) {
  StopSignals again;  // the signal that began the drain does not end it
  Progress progress(bridge);
  uint64_t settled = 0;
  const MonoNs began = SystemClock::ReadMonotonic();
  MonoNs moved = began;
  while (true) {
    const bool stopped = bridge->feeds_stopped();
    const Summary summary = bridge->Summarize();
    if (stopped && summary.pending == 0) return;
    const MonoNs now = SystemClock::ReadMonotonic();
    if (const uint64_t ended = summary.accepted - summary.pending; ended != settled) {
      settled = ended;
      moved = now;
    }
    if (now - moved > stuck_ns || now - began > total_ns) return;
    bridge->Maintain();
    progress.Update();
    if (again.Wait(kDrainLookNs)) return;
  }
}

void PrintSummary(const Summary& summary, bool json) { Print(json ? summary.Json() + "\n" : summary.Text()); }

}  // namespace tickbridge
