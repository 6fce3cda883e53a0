// SPDX-License-Identifier: Apache-2.0
#include "tools/bench_run.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bench/ack_meter.h"
#include "bench/generator.h"
#include "bench/schedule.h"
#include "bench/sender.h"
#include "bench/watcher.h"
#include "tools/bridge.h"
#include "tools/log.h"
#include "tools/paths.h"
#include "tools/units.h"

namespace tickbridge {
namespace {

// Ticks that may wait with a time of their own: 64 MiB, 400 ms at 10 M/s.
constexpr uint32_t kWaitingMax = 1U << 22U;
constexpr int64_t kUpWithinNs = 10 * kNsPerSec;
constexpr int64_t kUntilStartNs = 20 * kNsPerMs;
constexpr int64_t kPollNs = 5 * kNsPerMs;
constexpr int64_t kSeenWithinNs = 2 * kNsPerSec;
// The server is looked at so long before the measured time: the look itself costs it some 100 us.
constexpr int64_t kLookBeforeNs = 20 * kNsPerMs;
// Watched are as many symbols as get about so many ticks a second: a reader can look at one after the other.
constexpr double kWatchedRate = 2'000;
constexpr size_t kUnlinkBatch = 500;

// A temporary folder and what else is to be gone in the end.
struct Leftovers {
  std::string folder;
  std::string table;
  std::string ring;
  ~Leftovers() {
    std::error_code ignored;
    if (!folder.empty()) std::filesystem::remove_all(folder, ignored);
    if (!table.empty()) std::filesystem::remove(table, ignored);
    if (!ring.empty()) std::filesystem::remove(ring, ignored);
  }
};

struct Look {
  MonoNs at;
  double cpu_s = 0;
  double server_cpu_s = 0;
  uint64_t server_writes = 0;
  uint64_t server_batches = 0;  // calls of MSETEX, of many keys each
  uint64_t acks = 0;
};

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

uint64_t Calls(std::string_view info, std::string_view command) {
  const std::string stats = InfoValue(info, absl::StrCat("cmdstat_", command));
  uint64_t calls = 0;
  if (!stats.starts_with("calls=") || !absl::SimpleAtoi(stats.substr(6, stats.find(',') - 6), &calls)) return 0;
  return calls;
}

absl::StatusOr<Look> TakeLook(RedisClient* client, const Bridge& bridge) {
  Look look;
  absl::StatusOr<Reply> stats = client->Command({"INFO", "commandstats"});
  if (!stats.ok()) return stats.status();
  absl::StatusOr<Reply> cpu = client->Command({"INFO", "cpu"});
  if (!cpu.ok()) return cpu.status();
  for (const std::string_view command : {"set", "setex", "psetex"}) look.server_writes += Calls(stats->str, command);
  look.server_batches = Calls(stats->str, "msetex");
  for (const std::string_view name : {"used_cpu_user", "used_cpu_sys"}) {
    double seconds = 0;
    if (absl::SimpleAtod(InfoValue(cpu->str, name), &seconds)) look.server_cpu_s += seconds;
  }
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  look.cpu_s = Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
  look.acks = bridge.Summarize().acks;
  look.at = SystemClock::ReadMonotonic();
  return look;
}

absl::Status RemoveKeys(const Config& config, const std::vector<std::string>& symbols, RedisClient* client) {
  for (size_t begin = 0; begin < symbols.size(); begin += kUnlinkBatch) {
    std::vector<std::string> words = {"UNLINK"};
    for (size_t i = begin; i < std::min(begin + kUnlinkBatch, symbols.size()); ++i) {
      const KeyPattern::FieldValue field{"symbol", symbols[i]};
      config.classes[0].key.Render({&field, 1}, &words.emplace_back());
    }
    if (auto replies = client->Pipeline({&words, 1}); !replies.ok()) return replies.status();
  }
  return absl::OkStatus();
}

// The configuration with one runner that turns generator, feed and lanes. `wire`: type and path of the feed that takes
// what the generator sends, if it does not merge by itself.
Config HarnessConfig(const BenchSetup& setup, uint32_t symbols, const std::pair<std::string, std::string>& wire_at) {
  Config config = setup.config;
  config.instance = absl::StrCat("bench-", ::getpid());
  config.table.max_symbols = std::max(config.table.max_symbols, symbols);
  FeedConfig made;
  made.name = "bench";
  made.type = "made";
  config.feeds = {made};
  RunnerConfig runner = HarnessRunner(setup.options);
  if (!wire_at.first.empty()) {
    FeedConfig wire;
    wire.name = "wire";
    std::tie(wire.type, wire.path) = wire_at;
    config.feeds.push_back(wire);
    runner.agents.insert(runner.agents.begin() + 1, "feed.wire");
  }
  config.runners = {runner};
  return config;
}

class Run {
 public:
  Run(const BenchSetup& setup, double rate, uint32_t symbols, RedisClient* client, StopSignals* signals)
      : setup_(setup), options_(setup.options), client_(client), signals_(signals), meter_(symbols, kWaitingMax) {
    schedule_.symbols = symbols;
    schedule_.rate = rate;
    schedule_.burst = options_.burst;
    schedule_.skew = options_.skew;
    schedule_.seed = options_.seed;
    schedule_.count = static_cast<uint64_t>(rate * static_cast<double>(options_.warmup_ns + options_.for_ns) / 1e9);
    run_.offered_rate = rate;
    run_.symbols = symbols;
    run_.label = absl::StrCat(FormatRate(rate), " ticks/s, ", symbols, " symbols");
  }

  absl::StatusOr<BenchRun> Go() {
    if (absl::Status status = Prepare(); !status.ok()) return status;
    if (absl::Status status = bridge_->Start(); !status.ok()) return status;
    if (absl::Status status = AwaitUp(); !status.ok()) return status;
    if (absl::Status status = Measure(); !status.ok()) return status;
    Collect();
    return std::move(run_);
  }

 private:
  std::vector<std::string> Symbols() const {
    if (setup_.recording != nullptr) return setup_.recording->symbols();
    std::vector<std::string> names(run_.symbols);
    for (uint32_t i = 0; i < names.size(); ++i) names[i] = BenchSymbolName(i);
    return names;
  }

  absl::Status Prepare() {
    if (options_.ring) leftovers_.ring = absl::StrCat("/dev/shm/tickbridge-bench-", ::getpid(), ".ring");
    if (options_.generator == "process") {
      std::string pattern = std::filesystem::temp_directory_path() / "tickbridge-bench-XXXXXX";
      if (::mkdtemp(pattern.data()) == nullptr) return absl::ErrnoToStatus(errno, "cannot make " + pattern);
      leftovers_.folder = pattern;
      auto sender = Sender::Start({schedule_, socket(), leftovers_.ring, options_.generator_cpu});
      if (!sender.ok()) return sender.status();
      sender_ = *std::move(sender);
    }
    logging_.emplace("warn");  // its thread must not be there when the sender forks
    if (absl::Status status = RemoveKeys(setup_.config, Symbols(), client_); !status.ok()) return status;
    Bridge::Options bridge;
    if (options_.ring && sender_ == nullptr) {
      publisher_ = OpenBenchRing(leftovers_.ring, run_.symbols);
      if (publisher_ == nullptr) return absl::UnavailableError(leftovers_.ring + ": cannot be made");
    }
    bridge.config = HarnessConfig(setup_, run_.symbols, Wire());
    bridge.target = setup_.target;
    bridge.placement = setup_.placement;
    bridge.observer = &meter_;
    if (options_.visible_table) bridge.table_path = leftovers_.table = TablePath(bridge.config.instance);
    if (options_.visible_redis) {
      if (absl::Status status = AddRedisWatcher(bridge.config); !status.ok()) return status;
    }
    // The table's watcher opens what the bridge makes: the generator gets a watcher whose lookout comes later.
    if (options_.visible_table) table_watcher_ = std::make_unique<Watcher>(Watched(), options_.watch_cpu);
    bridge.make_feed = [this](const FeedConfig&, Ingest* ingest, CountersFile*) -> std::unique_ptr<Feed> {
      std::vector<Watcher*> watchers;
      for (Watcher* watcher : {redis_watcher_.get(), table_watcher_.get()}) {
        if (watcher != nullptr) watchers.push_back(watcher);
      }
      std::unique_ptr<GeneratorFeed> feed;
      if (setup_.recording != nullptr) {
        feed = std::make_unique<RecordingGenerator>(setup_.recording, ingest, &meter_);
      } else {
        const auto way = sender_ != nullptr ? Generator::Way::kShadow
                         : options_.ring    ? Generator::Way::kRing
                                            : Generator::Way::kMerge;
        feed = std::make_unique<Generator>(schedule_, way, publisher_.get(), ingest, &meter_, std::move(watchers));
      }
      generator_ = feed.get();
      return feed;
    };
    auto made = Bridge::Create(std::move(bridge));
    if (!made.ok()) return made.status();
    bridge_ = *std::move(made);
    std::vector<const Lane*> lanes;
    for (const std::unique_ptr<Lane>& lane : bridge_->lanes()) lanes.push_back(lane.get());
    generator_->Prepare(std::move(lanes));
    return absl::OkStatus();
  }

  std::pair<std::string, std::string> Wire() const {
    if (options_.ring) return {"shm", leftovers_.ring};
    if (sender_ != nullptr) return {"unix_stream", socket()};
    return {};
  }
  std::string socket() const { return leftovers_.folder + "/feed.sock"; }

  uint32_t Watched() const {
    const double symbols = run_.symbols;
    return static_cast<uint32_t>(std::clamp(symbols * kWatchedRate / schedule_.rate, 1.0, std::min(symbols, 64.0)));
  }

  absl::Status AddRedisWatcher(const Config& config) {
    std::vector<std::string> keys(Watched());
    for (uint32_t i = 0; i < keys.size(); ++i) {
      const std::string name = BenchSymbolName(i);
      const KeyPattern::FieldValue field{"symbol", name};
      config.classes[0].key.Render({&field, 1}, &keys[i]);
    }
    auto lookout = OpenRedisLookout(setup_.target, keys);
    if (!lookout.ok()) return lookout.status();
    redis_watcher_ = std::make_unique<Watcher>(Watched(), options_.watch_cpu);
    redis_lookout_ = *std::move(lookout);
    return absl::OkStatus();
  }

  // False if a signal came.
  bool Wait(int64_t ns) {
    bridge_->Maintain();
    return !signals_->Wait(std::max<int64_t>(ns, 0));
  }
  bool WaitUntil(MonoNs time) {
    while (true) {
      const int64_t left_ns = time - SystemClock::ReadMonotonic();
      if (left_ns <= 0) return true;
      if (!Wait(std::min(left_ns, kNsPerSec / 2))) return false;
    }
  }

  absl::Status AwaitUp() {
    const MonoNs deadline = SystemClock::ReadMonotonic() + kUpWithinNs;
    for (const std::unique_ptr<Lane>& lane : bridge_->lanes()) {
      while (lane->state() != Lane::State::kUp && lane->state() != Lane::State::kUnfenced) {
        if (SystemClock::ReadMonotonic() > deadline) {
          return absl::UnavailableError(absl::StrCat("Redis did not answer the bridge: ", lane->last_error()));
        }
        if (!Wait(kPollNs)) return absl::CancelledError("interrupted");
      }
    }
    return absl::OkStatus();
  }

  absl::Status Measure() {
    const MonoNs start = SystemClock::ReadMonotonic() + kUntilStartNs;
    int64_t for_ns = options_.for_ns;
    if (setup_.recording != nullptr) {
      for_ns = std::max<int64_t>(setup_.recording->lines().back().due_ns + 1 - options_.warmup_ns, 1);
      run_.offered_rate = static_cast<double>(setup_.recording->lines().size()) * 1e9 /
                          static_cast<double>(for_ns + options_.warmup_ns);
      run_.label = absl::StrCat(options_.replay, ", ", run_.symbols, " symbols");
    }
    const MeasuredTime measured{start + options_.warmup_ns, start + options_.warmup_ns + for_ns};
    run_.measured_s = static_cast<double>(for_ns) / 1e9;
    meter_.Begin(bridge_->core().table->sequence_base(), measured);
    if (absl::Status status = StartWatchers(measured); !status.ok()) return status;
    generator_->Begin(start, measured);
    if (sender_ != nullptr) sender_->Begin(start);

    if (!WaitUntil(measured.from - kLookBeforeNs)) return absl::CancelledError("interrupted");
    absl::StatusOr<Look> before = TakeLook(client_, *bridge_);
    if (!before.ok()) return before.status();
    if (!WaitUntil(measured.until)) return absl::CancelledError("interrupted");
    absl::StatusOr<Look> after = TakeLook(client_, *bridge_);
    if (!after.ok()) return after.status();
    run_.server_s = static_cast<double>(after->at - before->at) / 1e9;
    run_.cpu_s = after->cpu_s - before->cpu_s;
    run_.server_cpu_s = after->server_cpu_s - before->server_cpu_s;
    // Of MSETEX the server counts the calls, and not the keys: then what it acknowledged is counted.
    const bool batches = after->server_batches != before->server_batches;
    run_.server_writes = batches ? after->acks - before->acks : after->server_writes - before->server_writes;
    return AwaitEnd(start);
  }

  absl::Status StartWatchers(MeasuredTime measured) {
    if (redis_watcher_ != nullptr) redis_watcher_->Start(std::move(redis_lookout_), measured);
    if (table_watcher_ == nullptr) return absl::OkStatus();
    std::vector<std::string> symbols(Watched());
    for (uint32_t i = 0; i < symbols.size(); ++i) symbols[i] = BenchSymbolName(i);
    auto lookout = OpenTableLookout(leftovers_.table, std::move(symbols));
    if (!lookout.ok()) return lookout.status();
    table_watcher_->Start(*std::move(lookout), measured);
    return absl::OkStatus();
  }

  // Until everything was sent and is delivered, `--timeout` at most.
  absl::Status AwaitEnd(MonoNs start) {
    const MonoNs deadline = SystemClock::ReadMonotonic() + options_.timeout_ns;
    bool delivered = false;
    while (!delivered && SystemClock::ReadMonotonic() < deadline) {
      if (sender_ != nullptr) {
        const absl::StatusOr<bool> done = sender_->Done();
        if (!done.ok()) return done.status();
      }
      delivered = SentAll() && bridge_->Delivered();
      if (!delivered && !Wait(kPollNs)) return absl::CancelledError("interrupted");
    }
    for (Watcher* watcher : {redis_watcher_.get(), table_watcher_.get()}) {
      if (watcher != nullptr) watcher->Stop(delivered ? kSeenWithinNs : 0);
    }
    if (publisher_ != nullptr && publisher_->counts().refused != 0) {
      return absl::ResourceExhaustedError("the ring was full: what was conflated in it cannot be measured");
    }
    const MonoNs ended = generator_->done() && sender_ == nullptr ? generator_->ended() : SystemClock::ReadMonotonic();
    const double scheduled_s = static_cast<double>(meter_.sent()) / run_.offered_rate;
    const double took_s = std::max(static_cast<double>(ended - start) / 1e9, scheduled_s);
    run_.achieved_rate = static_cast<double>(bridge_->Summarize().accepted) / took_s;
    bridge_->Stop();
    return absl::OkStatus();
  }

  bool SentAll() const {
    if (!generator_->done()) return false;
    return (sender_ == nullptr && publisher_ == nullptr) || bridge_->Summarize().records >= schedule_.count;
  }

  void Collect() {
    const Summary summary = bridge_->Summarize();
    run_.sent = meter_.sent();
    run_.ticks = meter_.measured_ticks();
    run_.unmeasured = meter_.unmeasured();
    run_.unacknowledged = meter_.waiting();
    run_.coarse = meter_.coarse();
    run_.rejected = summary.rejected_total();
    run_.writes = summary.writes;
    run_.conflated = summary.conflated;
    run_.expired = summary.expired;
    run_.failed = summary.failed;
    run_.resent = summary.resent;
    run_.in_flight_mean = generator_->in_flight().mean();
    run_.in_flight_max = generator_->in_flight().max;
    run_.ack = meter_.TakeLatency();
    run_.staleness = meter_.TakeStaleness();
    run_.lag = generator_->TakeLag();
    const auto take = [this](Watcher* watcher, HistogramPtr* histogram) {
      if (watcher == nullptr) return;
      *histogram = watcher->TakeLatency();
      run_.unseen += watcher->unseen();
      run_.watcher_overrun = run_.watcher_overrun || watcher->overrun();
    };
    take(redis_watcher_.get(), &run_.visible_redis);
    take(table_watcher_.get(), &run_.visible_table);
  }

  const BenchSetup& setup_;
  const BenchOptions& options_;
  RedisClient* const client_;
  StopSignals* const signals_;
  Leftovers leftovers_;
  Schedule::Options schedule_;
  BenchRun run_;
  AckMeter meter_;
  std::unique_ptr<Sender> sender_;
  std::unique_ptr<Publisher> publisher_;
  std::optional<Logging> logging_;
  std::unique_ptr<Lookout> redis_lookout_;
  std::unique_ptr<Watcher> redis_watcher_;
  std::unique_ptr<Watcher> table_watcher_;
  std::unique_ptr<Bridge> bridge_;  // before what its agents use goes
  GeneratorFeed* generator_ = nullptr;
};

}  // namespace

RunnerConfig HarnessRunner(const BenchOptions& options) {
  RunnerConfig runner;
  runner.name = "main";
  runner.cpu = options.cpu;
  runner.idle = options.idle;
  runner.agents = {"feed.bench", "sink"};
  return runner;
}

std::string InfoValue(std::string_view info, std::string_view name) {
  for (const std::string_view line : absl::StrSplit(info, "\r\n")) {
    if (line.size() > name.size() && line.starts_with(name) && line[name.size()] == ':') {
      return std::string(line.substr(name.size() + 1));
    }
  }
  return "";
}

absl::StatusOr<BenchRun> RunBench(const BenchSetup& setup, double rate, uint32_t symbols, RedisClient* client,
                                  StopSignals* signals) {
  return Run(setup, rate, symbols, client, signals).Go();
}

}  // namespace tickbridge
