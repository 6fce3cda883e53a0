// SPDX-License-Identifier: Apache-2.0
#include "tools/bridge.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/futex.h"
#include "core/log.h"
#include "core/memory.h"
#include "feed/datagram_feed.h"
#include "feed/file_feed.h"
#include "feed/ring_feed.h"
#include "feed/stream_feed.h"
#include "feed/synth.h"
#include "sink/redis_connector.h"
#include "tools/units.h"

namespace tickbridge {
namespace {

// A lane whose Redis is on this host retries quickly: a failed attempt costs microseconds there.
constexpr int64_t kLocalRetryMaxNs = 20 * kNsPerMs;
constexpr int64_t kMaintainIntervalNs = kNsPerSec / 2;
// How often it is looked whether those who wait for a change are to be woken.
constexpr int64_t kWakeIntervalNs = 100 * kNsPerUs;

bool IsLocal(const RedisTarget& target) {
  return !target.unix_path.empty() || target.host == "localhost" || target.host == "::1" ||
         target.host.starts_with("127.");
}

IdleMode ParseIdle(const std::string& idle) {
  return idle == "spin" ? IdleMode::kSpin : idle == "yield" ? IdleMode::kYield : IdleMode::kBackoff;
}

std::string HistogramJson(const HistogramSummary& h) {
  return absl::StrFormat("{\"count\":%d,\"p50\":%d,\"p90\":%d,\"p99\":%d,\"p999\":%d,\"max\":%d}", h.count, h.p50,
                         h.p90, h.p99, h.p999, h.max);
}

std::string Micros(int64_t ns) { return absl::StrFormat("%.1f µs", static_cast<double>(ns) / 1000); }

std::string Percentiles(const HistogramSummary& h) {
  if (h.count == 0) return "none";
  return absl::StrCat("p50 ", Micros(h.p50), ", p99 ", Micros(h.p99), ", p99.9 ", Micros(h.p999), ", max ",
                      Micros(h.max), " (", h.count, ")");
}

}  // namespace

uint64_t Summary::rejected_total() const {
  uint64_t total = 0;
  for (const uint64_t count : rejected) total += count;
  return total;
}

std::string Summary::Json() const {
  std::string reasons;
  for (size_t i = 0; i < kRejectReasonCount; ++i) {
    if (rejected[i] == 0) continue;
    absl::StrAppend(&reasons, reasons.empty() ? "" : ",", "\"", kRejectReasonNames[i], "\":", rejected[i]);
  }
  return absl::StrCat(
      "{\"records\":", records, ",\"accepted\":", accepted, ",\"rejected\":{", reasons, "},\"control\":", control,
      ",\"symbols\":", symbols, ",\"documents\":", documents, ",\"written\":", written, ",\"conflated\":", conflated,
      ",\"expired\":", expired, ",\"failed\":", failed, ",\"pending\":", pending, ",\"writes\":", writes,
      ",\"acks\":", acks, ",\"resent\":", resent, ",\"refreshed\":", refreshed,
      ",\"elapsed_s\":", absl::StrFormat("%.6f", elapsed_s), ",\"tick_to_ack_ns\":", HistogramJson(tick_to_ack_ns),
      ",\"staleness_ns\":", HistogramJson(staleness_ns), "}");
}

std::string Summary::Text() const {
  std::string text = absl::StrFormat("records      %d in %.3f s (%.0f/s): %d accepted, %d rejected, %d control\n",
                                     records, elapsed_s, elapsed_s > 0 ? static_cast<double>(records) / elapsed_s : 0,
                                     accepted, rejected_total(), control);
  for (size_t i = 0; i < kRejectReasonCount; ++i) {
    if (rejected[i] != 0) absl::StrAppendFormat(&text, "  rejected   %d %s\n", rejected[i], kRejectReasonNames[i]);
  }
  absl::StrAppendFormat(&text, "keys         %d symbols, %d documents\n", symbols, documents);
  absl::StrAppendFormat(&text, "accepted     %d written, %d conflated, %d expired, %d failed, %d pending\n", written,
                        conflated, expired, failed, pending);
  absl::StrAppendFormat(&text, "redis        %d writes, %d acknowledged, %d resent, %d refreshed\n", writes, acks,
                        resent, refreshed);
  absl::StrAppend(&text, "tick to ack  ", Percentiles(tick_to_ack_ns), "\n");
  absl::StrAppend(&text, "staleness    ", Percentiles(staleness_ns), "\n");
  return text;
}

// Stands before a feed, and can be shut: the agent behind it takes nothing more.
class Bridge::Gate final : public Agent {
 public:
  explicit Gate(Agent* agent) : agent_(agent) {}
  int DoWork() noexcept override {
    if (!shut_.load(std::memory_order_relaxed)) return agent_->DoWork();  // seen a cycle later is soon enough
    closed_.store(true, std::memory_order_release);                       // (1)
    return 0;
  }
  std::string_view name() const override { return agent_->name(); }
  void OnStart() noexcept override { agent_->OnStart(); }
  void OnClose() noexcept override { agent_->OnClose(); }
  void Shut() noexcept { shut_.store(true, std::memory_order_relaxed); }
  // True once the agent does nothing more; what it counted is visible then.
  bool closed() const noexcept { return closed_.load(std::memory_order_acquire); }  // pairs with (1)

 private:
  Agent* const agent_;
  std::atomic<bool> shut_{false};
  std::atomic<bool> closed_{false};
};

// A runner's part in merging what stood in Redis.
class Bridge::RestoreAgent final : public Agent {
 public:
  RestoreAgent(Restore* restore, uint32_t runner) : restore_(restore), runner_(runner) {}
  int DoWork() noexcept override { return restore_->Apply(runner_); }
  std::string_view name() const override { return "restore"; }

 private:
  Restore* const restore_;
  const uint32_t runner_;
};

// Wakes those who wait for a change of the shared table. On a thread of its own, so that the feeds pay nothing:
// whatever changes a slot is counted anyway, by its feed or as it was read back.
class Bridge::Waker final : public Agent {
 public:
  Waker(SharedTable* table, const std::vector<std::unique_ptr<Ingest>>* ingests, const Restore* restore)
      : table_(table), ingests_(ingests), restore_(restore) {}
  int DoWork() noexcept override {
    uint64_t changes = restore_->applied();
    for (const std::unique_ptr<Ingest>& ingest : *ingests_) {
      changes += ingest->counts().accepted->Get() + ingest->counts().control->Get();
    }
    if (changes == changes_) return 0;
    changes_ = changes;
    std::atomic<uint32_t>& epoch = table_->header().epoch;
    epoch.fetch_add(1, std::memory_order_release);
    FutexWakeAll(&epoch);
    return 0;  // then it may rest as long as the runner lets it: once in a while is what it is for
  }
  std::string_view name() const override { return "waker"; }

 private:
  SharedTable* const table_;
  const std::vector<std::unique_ptr<Ingest>>* const ingests_;
  const Restore* const restore_;
  uint64_t changes_ = 0;
};

Bridge::Bridge(Options options, std::unique_ptr<Clock> clock, std::unique_ptr<CountersFile> counters,
               std::unique_ptr<SharedTable> shared)
    : options_(std::move(options)),
      clock_(std::move(clock)),
      counters_(std::move(counters)),
      shared_(std::move(shared)) {
  const Config& config = options_.config;
  const uint32_t lanes = config.redis.lanes;
  const auto runners = static_cast<uint32_t>(config.runners.size());
  if (shared_ != nullptr) {
    symbols_ = std::make_unique<SymbolTable>(config.table.max_symbols, shared_->symbols());
    table_ = std::make_unique<LatestTable>(shared_->table_options());
    sources_ = std::make_unique<SourceTable>(shared_->source_cells());
    if (shared_->adopted()) {
      const uint32_t emptied = shared_->Salvage(table_.get(), *symbols_);
      Log(LogLevel::kInfo,
          absl::StrCat("table: took over ", symbols_->size(), " symbols from ", options_.table_path,
                       emptied == 0 ? "" : absl::StrCat("; emptied ", emptied, " slots that were half written")));
    }
  } else {
    symbols_ = std::make_unique<SymbolTable>(config.table.max_symbols);
    LatestTable::Options table;
    table.capacity = config.table.max_symbols;
    table.sequence_base = static_cast<uint64_t>(clock_->UnixNow().value / kNsPerUs);
    table_ = std::make_unique<LatestTable>(table);
    sources_ = std::make_unique<SourceTable>();
  }
  dirty_ = std::make_unique<DirtyQueue>(table_.get(), runners, lanes);
  documents_ = std::make_unique<DocumentTable>(config.table.max_documents, lanes, sources_.get());
  restore_ = std::make_unique<Restore>(table_.get(), dirty_.get(), runners);
  core_ = {clock_.get(),   symbols_.get(),          table_.get(), dirty_.get(), documents_.get(),
           sources_.get(), &options_.config.classes};
  agents_.resize(config.runners.size());
}

Bridge::~Bridge() { Stop(); }

absl::StatusOr<std::unique_ptr<Bridge>> Bridge::Create(Options options) {
  SetHugePages(options.config.memory.huge_pages == "try" ? HugePages::kTry : HugePages::kOff);
  const PreferNode near_its_runner(options.placement.node);
  auto counters = CountersFile::Create(options.counters_path);
  if (!counters.ok()) return counters.status();
  std::unique_ptr<Clock> clock = MakeClock();
  std::unique_ptr<SharedTable> shared;
  if (!options.table_path.empty()) {
    const TableConfig& table = options.config.table;
    absl::StatusOr<Ownership> ownership = FindOwnership(table.owner, table.group);
    if (!ownership.ok()) return ownership.status();
    auto opened = SharedTable::Open(
        {options.table_path, table.max_symbols, static_cast<uint64_t>(clock->UnixNow().value / kNsPerUs), *ownership});
    if (!opened.ok()) return opened.status();
    shared = *std::move(opened);
  }
  std::unique_ptr<Bridge> bridge(
      new Bridge(std::move(options), std::move(clock), *std::move(counters), std::move(shared)));
  if (absl::Status status = bridge->Wire(); !status.ok()) return status;
  return bridge;
}

uint32_t Bridge::RunnerOf(const std::string& agent) const {
  const std::vector<RunnerConfig>& runners = options_.config.runners;
  for (uint32_t i = 0; i < runners.size(); ++i) {
    const std::vector<std::string>& agents = runners[i].agents;
    if (std::find(agents.begin(), agents.end(), agent) != agents.end()) return i;
  }
  // `sink` stands for all lanes that are not named.
  return agent.starts_with("sink.") ? RunnerOf("sink") : 0;
}

absl::Status Bridge::Wire() {
  const Config& config = options_.config;
  for (const FeedConfig& feed : config.feeds) {
    if (absl::Status status = AddFeed(feed, RunnerOf("feed." + feed.name)); !status.ok()) return status;
  }
  for (uint32_t lane = 0; lane < config.redis.lanes; ++lane) {
    if (absl::Status status = AddLane(lane, RunnerOf(absl::StrCat("sink.", lane))); !status.ok()) return status;
  }
  for (uint32_t i = 0; i < config.runners.size(); ++i) {
    restore_agents_.push_back(std::make_unique<RestoreAgent>(restore_.get(), i));
    agents_[i].push_back(restore_agents_.back().get());
    const RunnerConfig& runner = config.runners[i];
    Runner::Options options;
    options.name = runner.name;
    options.cpu = runner.cpu;
    options.affinity = options_.placement.affinity;
    options.priority = runner.priority;
    options.idle = ParseIdle(runner.idle);
    options.max_park_ns = runner.max_park_ns;
    runners_.push_back(std::make_unique<Runner>(std::move(options), agents_[i], clock_.get()));
    cycle_max_.push_back(counters_->AddGauge(absl::StrCat("runner.", runner.name, ".duty_cycle_ns_max")));
  }
  if (shared_ != nullptr) {
    waker_ = std::make_unique<Waker>(shared_.get(), &ingests_, restore_.get());
    Runner::Options options;
    options.name = "waker";
    options.idle = IdleMode::kBackoff;
    options.max_park_ns = kWakeIntervalNs;
    runners_.push_back(std::make_unique<Runner>(std::move(options), std::vector<Agent*>{waker_.get()}, clock_.get()));
    cycle_max_.push_back(counters_->AddGauge("runner.waker.duty_cycle_ns_max"));
  }
  memory_resident_ = counters_->AddGauge("memory.resident_bytes");
  memory_huge_ = counters_->AddGauge("memory.huge_page_bytes");
  memory_locked_ = counters_->AddGauge("memory.locked_bytes");
  return absl::OkStatus();
}

absl::Status Bridge::AddFeed(const FeedConfig& feed, uint32_t runner) {
  Ingest::Options input;
  input.feed = feed.name;
  input.owner = OwnerId{runner + 1};
  input.producer = runner;
  input.replay = options_.replay;
  input.max_ahead_ns = feed.max_ahead_ns;
  std::tie(input.symbol_prefix, input.symbol_suffix) = SymbolAffixes(feed);
  ingests_.push_back(std::make_unique<Ingest>(core_, std::move(input), counters_.get()));
  Ingest* ingest = ingests_.back().get();

  absl::StatusOr<std::unique_ptr<Feed>> made;
  if (feed.type == "file") {
    FileFeed::Options options;
    options.name = feed.name;
    options.path = feed.path;
    const absl::StatusOr<double> speed = ParseSpeed(feed.speed);
    if (!speed.ok()) return speed.status();
    options.speed = *speed;
    options.keep_source = options_.replay;
    made = FileFeed::Open(std::move(options), ingest, counters_.get());
  } else if (feed.type == "unix_stream" || feed.type == "tcp") {
    StreamFeed::Options options;
    options.name = feed.name;
    options.unix_path = feed.path;
    options.tcp_address = feed.address;
    options.unix_mode = feed.socket_mode;
    options.liveness_timeout_ns = feed.liveness_timeout_ns;
    made = StreamFeed::Open(std::move(options), ingest, counters_.get());
  } else if (feed.type == "unix_datagram" || feed.type == "udp") {
    DatagramFeed::Options options;
    options.name = feed.name;
    options.liveness_timeout_ns = feed.liveness_timeout_ns;
    options.socket.unix_path = feed.path;
    options.socket.udp_address = feed.a;
    options.socket.interface = feed.interface;
    options.socket.unix_mode = feed.socket_mode;
    if (feed.receive_buffer != 0) options.socket.receive_buffer_bytes = static_cast<int>(feed.receive_buffer);
    made = DatagramFeed::Open(std::move(options), ingest, counters_.get());
  } else if (feed.type == "made") {
    made = options_.make_feed(feed, ingest, counters_.get());
  } else if (feed.type == "shm") {
    RingFeed::Options options;
    options.name = feed.name;
    options.path = feed.path;
    options.folder = feed.folder;
    options.liveness_timeout_ns = feed.liveness_timeout_ns;
    made = RingFeed::Open(std::move(options), ingest, counters_.get());
  } else {
    SynthFeed::Options options;
    options.name = feed.name;
    options.market.symbols = feed.symbols;
    options.market.seed = feed.seed;
    options.rate = feed.rate;
    made = SynthFeed::Open(std::move(options), ingest, counters_.get());
  }
  if (!made.ok()) {
    const std::string prefix = absl::StrCat("feed.", feed.name, ": ");
    const std::string_view message = made.status().message();
    const bool no_folder = absl::IsNotFound(made.status()) && feed.type.starts_with("unix_");
    return absl::Status(
        made.status().code(),
        absl::StrCat(message.starts_with(prefix) ? "" : prefix, message,
                     no_folder ? absl::StrCat("; create it, or change feed.", feed.name, ".path") : ""));
  }
  feeds_.push_back(*std::move(made));
  gates_.push_back(std::make_unique<Gate>(feeds_.back().get()));
  agents_[runner].push_back(gates_.back().get());
  return absl::OkStatus();
}

absl::Status Bridge::AddLane(uint32_t index, uint32_t runner) {
  const Config& config = options_.config;
  RedisConnector::Options connect;
  connect.target = options_.target;
  // A replay beside the running bridge is a writer of its own, and must not end that one's connections.
  const std::string writer = options_.replay ? absl::StrCat(config.instance, ".replay-", ::getpid()) : config.instance;
  connect.client_name = absl::StrCat("tickbridge:", writer, ":", index);
  connect.timeout_ns = config.redis.connect_timeout_ns;
  connect.fence_wait_ns = config.redis.fence_wait_ns;
  connect.refuse_rival = !options_.replay;
  connect.own = own_connections_;
  connect.clock = clock_.get();
  Lane::Options options;
  options.index = index;
  options.lanes = config.redis.lanes;
  options.producer = runner;
  options.max_in_flight = config.redis.max_in_flight;
  options.max_in_flight_bytes = config.redis.max_in_flight_bytes;
  // Each lane takes its part of what the bridge may take.
  options.share = config.redis.share >= 1.0 ? 1.0 : config.redis.share / config.redis.lanes;
  options.ack_timeout_ns = config.redis.ack_timeout_ns;
  if (IsLocal(options_.target)) options.retry_max_ns = kLocalRetryMaxNs;
  options.seed = static_cast<uint64_t>(clock_->UnixNow().value);
  if (index == 0 && !options_.replay) {
    const auto feed_class =
        std::find_if(config.classes.begin(), config.classes.end(), [](const KeyClass& c) { return c.name == "feed"; });
    for (const std::unique_ptr<Feed>& feed : feeds_) {
      Beacon beacon;
      beacon.feed = feed->feed_name();
      beacon.ttl_ns = feed_class->ttl_ns;
      const KeyPattern::FieldValue name{"name", beacon.feed};
      if (!feed_class->key.Render({&name, 1}, &beacon.key)) {
        return absl::InvalidArgumentError("class.feed.key may only use {name}");
      }
      beacon.alive = [feed = feed.get()](MonoNs now) { return feed->IsAlive(now); };
      options.beacons.push_back(std::move(beacon));
    }
  }
  for (const FeedConfig& feed : config.feeds) options.max_ahead_ns = std::max(options.max_ahead_ns, feed.max_ahead_ns);
  options.absolute_expiry = config.redis.expiry == "absolute";
  // A recording is the whole truth about its symbols; a live feed goes on where it was.
  if (!options_.replay) options.restore = restore_.get();
  options.observer = options_.observer;
  options.adopted = shared_ != nullptr && shared_->adopted();
  auto connector = RedisConnector::Create(std::move(connect));
  if (!connector.ok()) return connector.status();
  lanes_.push_back(std::make_unique<Lane>(core_, std::move(options), *std::move(connector), counters_.get()));
  agents_[runner].push_back(lanes_.back().get());
  return absl::OkStatus();
}

// Once: the kernel walks all pages for it.
void Bridge::TellMemory() {
  constexpr uint64_t kMiB = uint64_t{1} << 20;
  const MemoryUse use = ReadMemoryUse();
  memory_resident_->Set(static_cast<int64_t>(use.resident_bytes));
  memory_huge_->Set(static_cast<int64_t>(use.huge_bytes));
  memory_locked_->Set(static_cast<int64_t>(use.locked_bytes));
  const MemoryConfig& memory = options_.config.memory;
  const int node = options_.placement.node;
  const bool wished = memory.huge_pages == "try";
  if (!wished && !memory.lock && node < 0) return;  // nothing was asked for
  Log(wished && use.huge_bytes == 0 ? LogLevel::kWarn : LogLevel::kInfo,
      absl::StrCat("memory: ", use.resident_bytes / kMiB, " MiB resident, ", use.huge_bytes / kMiB,
                   " MiB of it in huge pages (memory.huge_pages = \"", memory.huge_pages, "\"), ",
                   use.locked_bytes == 0 ? "not locked" : "locked",
                   node < 0 ? "" : absl::StrCat(", tables on node ", node)));
}

absl::Status Bridge::Start() {
  if (options_.config.memory.lock) {
    if (absl::Status status = LockMemory(); !status.ok()) return status;
  }
  started_ = clock_->Now();
  Maintain();
  if (shared_ != nullptr) shared_->GoLive(started_);
  for (const std::unique_ptr<Runner>& runner : runners_) {
    if (absl::Status status = runner->Start(); !status.ok()) return status;
  }
  TellMemory();  // with the stacks of the runners, which a lock makes resident
  return absl::OkStatus();
}

void Bridge::StopFeeds() {
  for (const std::unique_ptr<Gate>& gate : gates_) gate->Shut();
}

bool Bridge::feeds_stopped() const {
  return std::all_of(gates_.begin(), gates_.end(), [](const std::unique_ptr<Gate>& gate) { return gate->closed(); });
}

bool Bridge::Delivered() {
  looked_at_.resize(lanes_.size(), std::numeric_limits<uint64_t>::max());
  bool delivered = true;
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const uint64_t cycles = lanes_[i]->cycles();
    if (looked_at_[i] == std::numeric_limits<uint64_t>::max() || lanes_[i]->busy_cycle() > looked_at_[i]) {
      looked_at_[i] = cycles;
    }
    // What a feed marked in its last cycle is seen in a whole one after it.
    delivered = delivered && cycles >= looked_at_[i] + 2;
  }
  return delivered;
}

void Bridge::Stop() {
  for (const std::unique_ptr<Runner>& runner : runners_) runner->Stop();
  for (const std::unique_ptr<Runner>& runner : runners_) runner->Join();
  stopped_ = true;
}

void Bridge::Maintain() {
  const MonoNs now = SystemClock::ReadMonotonic();
  if (maintained_.value != 0 && now - maintained_ < kMaintainIntervalNs) return;
  maintained_ = now;
  clock_->Maintain();
  counters_->Beat(now);
  if (shared_ != nullptr) shared_->Beat(now);
  for (size_t i = 0; i < runners_.size(); ++i) cycle_max_[i]->Set(runners_[i]->cycle_ns_max());
}

Summary Bridge::Summarize() const {
  Summary summary;
  std::vector<const Histogram*> tick_to_ack;
  std::vector<const Histogram*> staleness;
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    const LaneCounts& counts = lane->counts();
    summary.written += counts.written->Get();
    summary.conflated += counts.conflated->Get();
    summary.expired += counts.expired->Get();
    summary.failed += counts.failed->Get();
    summary.writes += counts.writes->Get();
    summary.acks += counts.acks->Get();
    summary.resent += counts.resent->Get();
    summary.refreshed += counts.refreshed->Get();
    tick_to_ack.push_back(counts.tick_to_ack_ns);
    staleness.push_back(counts.staleness_ns);
  }
  for (const std::unique_ptr<Ingest>& ingest : ingests_) {
    const Ingest::Counts& counts = ingest->counts();
    summary.accepted += counts.accepted->Get();
    summary.control += counts.control->Get();
    summary.records += counts.records->Get();
    for (size_t i = 0; i < kRejectReasonCount; ++i) summary.rejected[i] += counts.rejected[i]->Get();
  }
  // While runners work the two sums are of slightly different moments; when the pipeline is quiet they are exact.
  const uint64_t ended = summary.written + summary.conflated + summary.expired + summary.failed;
  summary.pending = summary.accepted - std::min(ended, summary.accepted);
  if (stopped_) {
    uint64_t keys = 0;
    for (const std::unique_ptr<Lane>& lane : lanes_) keys += lane->UnsettledKeys();
    // Of what has not ended, each key's newest record is pending; nothing will come of those before it.
    summary.conflated += summary.pending - std::min(keys, summary.pending);
    summary.pending = std::min(keys, summary.pending);
  }
  summary.symbols = symbols_->size();
  summary.documents = documents_->size();
  summary.elapsed_s = static_cast<double>(clock_->Now() - started_) / kNsPerSec;
  summary.tick_to_ack_ns = tickbridge::Summarize(tick_to_ack);
  summary.staleness_ns = tickbridge::Summarize(staleness);
  return summary;
}

bool Bridge::feeds_done() const {
  return std::all_of(feeds_.begin(), feeds_.end(), [](const std::unique_ptr<Feed>& feed) {
    if (const auto* file = dynamic_cast<const FileFeed*>(feed.get())) return file->done();
    if (const auto* synth = dynamic_cast<const SynthFeed*>(feed.get())) return synth->done();
    return false;
  });
}

absl::Status Bridge::feed_status() const {
  for (const std::unique_ptr<Feed>& feed : feeds_) {
    const auto* file = dynamic_cast<const FileFeed*>(feed.get());
    if (file != nullptr && file->done() && !file->status().ok()) return file->status();
  }
  return absl::OkStatus();
}

absl::Status Bridge::refused() const {
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    if (lane->superseded()) return absl::AlreadyExistsError(lane->last_error());
    if (lane->state() == Lane::State::kRefused && lane->counts().connects->Get() == 0) {
      return absl::PermissionDeniedError(lane->last_error());
    }
  }
  return absl::OkStatus();
}

}  // namespace tickbridge
