// SPDX-License-Identifier: Apache-2.0
// `tickbridge bench`: the latency harness.
#include <sched.h>
#include <sys/utsname.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "bench/report.h"
#include "bench/results.h"
#include "bench/round_trip.h"
#include "tools/bench_run.h"
#include "tools/commands.h"
#include "tools/output.h"
#include "tools/session.h"
#include "tools/units.h"

namespace tickbridge {
namespace {

constexpr int64_t kServerAnswersWithinNs = 10 * kNsPerSec;

std::string Machine() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string model = "unknown CPU";
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.starts_with("model name")) {
      model = line.substr(line.find(':') + 2);
      break;
    }
  }
  utsname system{};
  ::uname(&system);
  return absl::StrCat(model, ", ", std::thread::hardware_concurrency(), " CPUs, ", system.sysname, " ", system.release);
}

absl::Status CheckOptions(const BenchOptions& options) {
  if (options.replay.empty()) return absl::OkStatus();
  if (options.visible_redis || options.visible_table) {
    return absl::InvalidArgumentError("--visible: a recording's ticks cannot be told apart by their readers");
  }
  if (options.ring) return absl::InvalidArgumentError("--ring: a recording is decoded from its lines");
  if (options.generator != "agent") return absl::InvalidArgumentError("--generator: a recording is sent by an agent");
  return absl::OkStatus();
}

absl::Status PinServer(const RedisPlace& redis, int cpu) {
  if (cpu < 0) return absl::OkStatus();
  if (redis.embedded == nullptr) return absl::InvalidArgumentError("--redis-cpu: only an embedded Redis can be pinned");
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<size_t>(cpu), &one);
  if (::sched_setaffinity(redis.embedded->pid(), sizeof(one), &one) == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--redis-cpu ", cpu, ": Redis cannot be pinned there"));
}

absl::Status Baseline(const BenchSetup& setup, uint32_t symbols, Histogram* latency) {
  RoundTripOptions options;
  options.symbols = symbols;
  options.rate = setup.options.rates.front();
  options.warmup_ns = setup.options.warmup_ns;
  options.for_ns = setup.options.for_ns;
  options.cpu = setup.options.cpu;
  return MeasureRoundTrips(setup.target, options, latency);
}

// All runs, and what of them there is when one fails.
absl::Status Measure(const BenchSetup& setup, RedisClient* client, StopSignals* signals, BenchReport* report) {
  const BenchOptions& options = setup.options;
  const int rounds = options.rounds != 0 ? options.rounds : options.baseline ? 3 : 1;
  const bool recorded = setup.recording != nullptr;
  for (const uint32_t symbols : options.symbols) {
    for (const double rate : options.rates) {
      const bool first = report->runs.empty();
      std::optional<BenchRun> run;
      for (int round = 0; round < rounds; ++round) {
        if (first && options.baseline) {
          if (report->baseline == nullptr) report->baseline = std::make_unique<Histogram>();
          if (absl::Status status = Baseline(setup, symbols, report->baseline.get()); !status.ok()) return status;
        }
        const uint32_t count = recorded ? static_cast<uint32_t>(setup.recording->symbols().size()) : symbols;
        absl::StatusOr<BenchRun> another = RunBench(setup, rate, count, client, signals);
        if (!another.ok()) return another.status();
        if (run.has_value()) {
          run->Add(*another);
        } else {
          run = *std::move(another);
        }
      }
      report->runs.push_back(*std::move(run));
      if (recorded) return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

// Everything that was sent was acknowledged, and counted once.
bool IsWhole(const BenchRun& run) {
  return run.unacknowledged == 0 && run.sent == run.ticks + run.unmeasured && run.unseen == 0;
}

}  // namespace

int CommandBench(const GlobalOptions& global, const BenchOptions& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return ExplainStart(status);
  std::optional<Config> config = LoadConfigOrExplain(global);
  if (!config) return kExitUsage;
  BenchSetup setup;
  setup.options = options;
  std::optional<Recording> recording;
  if (!options.replay.empty()) {
    const absl::StatusOr<double> speed = ParseSpeed(options.speed);
    if (!speed.ok()) return ExplainStart(speed.status());
    absl::StatusOr<Recording> loaded = Recording::Load(options.replay, *speed);
    if (!loaded.ok()) return ExplainStart(loaded.status());
    recording = *std::move(loaded);
    setup.recording = &*recording;
  }
  config->runners = {HarnessRunner(options)};
  setup.placement = TakePlaces(*config);  // before anything else has a thread
  StopSignals signals;
  std::optional<RedisPlace> redis = ResolveRedisOrExplain(*config);
  if (!redis) return kExitUsage;
  if (absl::Status status = PinServer(*redis, options.redis_cpu); !status.ok()) return ExplainStart(status);
  setup.config = *std::move(config);
  setup.target = redis->target;
  absl::StatusOr<RedisClient> client = RedisClient::Connect(setup.target, kServerAnswersWithinNs);
  if (!client.ok()) return ExplainStart(client.status());
  absl::StatusOr<Reply> info = client->Command({"INFO", "server"});
  if (!info.ok()) return ExplainStart(info.status());

  BenchReport report;
  report.version = options.version;
  report.command = options.command;
  report.machine = Machine();
  report.redis = InfoValue(info->str, "redis_version");
  const bool process = options.generator == "process";
  report.feed = options.ring ? process ? "from a process through a ring" : "made on the bridge's runner, through a ring"
                : process    ? "from a process through a Unix stream"
                             : "made on the bridge's runner";
  if (recording.has_value()) report.feed = "of a recording, decoded on the bridge's runner";
  const absl::Status measured = Measure(setup, &*client, &signals, &report);
  if (!measured.ok()) ExplainStart(measured);
  if (report.runs.empty()) return kExitFailed;
  if (!options.out.empty()) {
    if (absl::Status written = WriteReport(report, options.out); !written.ok()) return ExplainStart(written);
  }
  if (!PrintOrExplain(global.json ? BenchJson(report) + "\n" : BenchText(report))) return kExitFailed;
  for (const BenchRun& run : report.runs) {
    if (!IsWhole(run)) return kExitFailed;
  }
  return measured.ok() ? kExitOk : kExitFailed;
}

}  // namespace tickbridge
