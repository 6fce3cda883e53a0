// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/world.h"

#include <cstdio>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/log.h"
#include "sink/quote_decoder.h"
#include "sink/quote_encoder.h"
#include "sink/ttl.h"

namespace tickbridge::sim {
namespace {

constexpr int64_t kLivenessNs = 500 * kNsPerMs;
// How long a quiet world may take until everything is delivered.
constexpr int64_t kPatienceNs = 60 * kNsPerSec;
// By how much a value may run out early where deadlines are sent: what the lane knows of the server's clock is bounded
// by round trips, which may be long ones here.
constexpr int64_t kClockSlackNs = 500 * kNsPerMs;

std::string SymbolName(uint64_t i) { return absl::StrCat("S", i); }
std::string PriceKey(std::string_view symbol) { return absl::StrCat("price:", symbol, ":latest"); }

// The number of a member of a JSON object that has no members below it; 0 where it is null or absent.
int64_t Member(std::string_view json, std::string_view name) {
  const std::string mark = absl::StrCat("\"", name, "\":");
  const size_t at = json.find(mark);
  if (at == std::string_view::npos) return 0;
  json.remove_prefix(at + mark.size());
  int64_t value = 0;
  return absl::SimpleAtoi(json.substr(0, json.find_first_of(",}")), &value) ? value : 0;
}

bool IsNull(std::string_view json, std::string_view name) {
  return json.find(absl::StrCat("\"", name, "\":null")) != std::string_view::npos;
}

// Ticks of these clear fields, and reset; of the others they never do.
bool Clears(uint64_t symbol) { return symbol % 3 == 2; }

constexpr std::string_view kTransientErrors[] = {
    "OOM command not allowed when used memory > 'maxmemory'.",
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script.",
    "MISCONF Redis is configured to save RDB snapshots",
    "NOREPLICAS Not enough good replicas to write.",
    "READONLY You can't write against a read only replica.",
    "MASTERDOWN Link with MASTER is down",
    "CLUSTERDOWN The cluster is down",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "NEWCODE something that does not exist yet",
    "NOAUTH Authentication required.",
};

}  // namespace

// One life of a bridge, wired as tools/bridge.cc does, with a feed that the world calls.
struct World::Bridge {
  Bridge(World* world, uint32_t lane_count)
      : symbols(world->scenario_.symbols + 8),
        table({world->scenario_.symbols + 8, static_cast<uint64_t>(world->clock_.UnixNow().value / kNsPerUs)}),
        dirty(&table, 2, lane_count),
        documents(256, lane_count, &sources),
        restore(&table, &dirty, 1),
        core{&world->clock_, &symbols, &table, &dirty, &documents, &sources, &world->classes_},
        ingest(core, {.feed = "sim"}, counters.get()) {
    const Scenario& scenario = world->scenario_;
    const auto own = std::make_shared<OwnConnections>();
    for (uint32_t i = 0; i < lane_count; ++i) {
      Handshake::Options hello;
      hello.client_name = absl::StrCat("tickbridge:sim:", i);
      hello.fence_wait_ns = kNsPerSec / 4;
      hello.own = own;
      auto connector = std::make_unique<SimConnector>(&world->network_, hello);
      connectors.push_back(connector.get());
      Lane::Options options;
      options.index = i;
      options.lanes = lane_count;
      options.producer = 1;
      options.max_in_flight = scenario.window;
      options.share = scenario.share;
      options.seed = world->random_.Below(1000);
      options.restore = &restore;
      options.absolute_expiry = scenario.absolute;
      lanes.push_back(std::make_unique<Lane>(core, std::move(options), std::move(connector), counters.get()));
    }
    source = sources.Open(kLivenessNs, world->clock_.Now());
  }

  uint64_t Ended() const {
    uint64_t ended = 0;
    for (const auto& lane : lanes) {
      const LaneCounts& counts = lane->counts();
      ended += counts.written->Get() + counts.conflated->Get() + counts.expired->Get() + counts.failed->Get();
    }
    return ended;
  }

  std::unique_ptr<CountersFile> counters = *CountersFile::Create("");
  SymbolTable symbols;
  LatestTable table;
  DirtyQueue dirty;
  SourceTable sources;
  DocumentTable documents;
  Restore restore;
  Core core;
  Ingest ingest;
  std::vector<SimConnector*> connectors;
  std::vector<std::unique_ptr<Lane>> lanes;
  SourceId source;
};

World::Scenario World::MakeScenario(Random* random) {
  constexpr int64_t kTtls[] = {1, 5, 60, 600};
  Scenario s{};
  s.symbols = static_cast<uint32_t>(random->Chance(0.1) ? random->Between(200, 600) : random->Between(1, 24));
  s.documents = static_cast<uint32_t>(random->Between(0, 8));
  s.ttl_ns = kTtls[random->Below(4)] * kNsPerSec;
  s.document_ttl_ns = kTtls[random->Below(4)] * kNsPerSec;
  s.min_interval_ns = random->Chance(0.2) ? 3 * kNsPerMs : 0;
  s.refresh = random->Chance(0.2);
  s.absolute = random->Chance(0.4);
  s.publish = random->Chance(0.1);
  s.unfenced = random->Chance(0.05);
  s.msetex = random->Chance(0.4);
  s.denied = random->Chance(0.1);
  s.lanes_max = random->Chance(0.4) ? 2 : 1;
  s.window = static_cast<uint32_t>(random->Chance(0.3) ? random->Between(1, 6) : random->Between(16, 512));
  s.share = random->Chance(0.5) ? 1.0 : 0.5;
  s.tick_chance = random->Chance(0.3) ? 0.9 : 0.2;
  s.lane_chance = random->Chance(0.3) ? 0.05 : 0.9;
  s.fault_chance = random->Chance(0.3) ? 0.01 : 0.002;
  return s;
}

World::World(uint64_t seed, bool trace)
    : random_(seed),
      trace_(trace),
      scenario_(MakeScenario(&random_)),
      classes_(DefaultKeyClasses()),
      network_(&server_, &clock_, &random_),
      tick_count_(scenario_.symbols) {
  KeyClass& price = classes_[0];
  price.ttl_ns = scenario_.ttl_ns;
  price.refresh = scenario_.refresh;
  price.min_interval_ns = scenario_.min_interval_ns;
  price.members = {QuoteMember::kLast,       QuoteMember::kBid,   QuoteMember::kAsk,       QuoteMember::kVolume,
                   QuoteMember::kHigh,       QuoteMember::kLow,   QuoteMember::kTimestamp, QuoteMember::kSequence,
                   QuoteMember::kReceivedNs, QuoteMember::kSentNs};
  if (scenario_.publish) price.publish = *KeyPattern::Parse("price.{symbol}");
  classes_[1].ttl_ns = scenario_.document_ttl_ns;
  if (scenario_.denied) server_.Deny("price:S0:");
  server_.ForbidClient(scenario_.unfenced);
  server_.SetMsetex(scenario_.msetex);
  server_.set_on_change([this](const std::string& name, const Server::Key* before, const Server::Key* after) {
    OnChange(name, before, after);
  });
  clock_.meanwhile = [this] { Meanwhile(); };
  network_.meanwhile = [this] { Meanwhile(); };
  StartBridge();
}

World::~World() {
  clock_.meanwhile = [] {};
  network_.meanwhile = [] {};
}

int64_t World::ServerUs() const { return (clock_.Now().value + 1'700'000'000 * kNsPerSec + server_offset_ns_) / 1000; }

void World::Trace(const std::string& what) {
  if (trace_) std::fprintf(stderr, "%12.6f %s\n", static_cast<double>(clock_.Now().value) * 1e-9, what.c_str());
}

void World::Violated(std::string promise, std::string how) {
  if (!violation_.empty()) return;
  violation_ = absl::StrCat("violated: ", promise, ": ", how, " at ", clock_.Now().value, " ns");
  Trace(violation_);
}

void World::StartBridge() {
  ++lives_;
  bridge_starts_at_.reset();
  bridge_ = std::make_unique<Bridge>(this, static_cast<uint32_t>(random_.Between(1, scenario_.lanes_max)));
  sequence_bases_.resize(static_cast<size_t>(lives_) + 1);
  sequence_bases_.back() = bridge_->table.sequence_base();
  received_.clear();
  documents_.clear();
  seen_document_.clear();
  Trace("bridge starts");
}

void World::StopBridge(bool host_vanishes) {
  if (host_vanishes) {
    // Nobody closes its connections, and what they carried may still arrive.
    for (size_t i = 0; i < 4; ++i) network_.SilenceSome(random_.Between(1, 5000) * kNsPerMs);
  }
  bridge_.reset();
  bridge_starts_at_ = clock_.Now() + random_.Between(0, 800) * kNsPerMs;
  ++tally_.restarts;
  Trace("bridge killed");
}

void World::RestartServer(bool empty) {
  network_.ServerGone();
  Server::Keys keys = empty ? Server::Keys() : snapshot_;
  // What a reader sees of old data is the server's own step back.
  for (auto& [name, key] : keys) {
    if (key.expires_ms && *key.expires_ms <= server_.time_ms()) continue;
    if (const auto seen = seen_.find(name); seen != seen_.end()) {
      seen->second.sequence = static_cast<uint64_t>(Member(key.value, "Sequence"));
      seen->second.timestamp = Member(key.value, "Timestamp");
      seen->second.life = LifeOf(seen->second.sequence);
    }
    if (const auto seen = seen_document_.find(name); seen != seen_document_.end()) {
      seen->second = Member(key.value, "n");
    }
  }
  server_.Restart(std::move(keys));
  if (!empty) old_data_in_life_ = lives_;
  Trace(empty ? "server restarted empty" : "server restarted with old data");
}

int World::LifeOf(uint64_t sequence) const {
  // What an earlier bridge sent may still arrive in the life of the next.
  int life = lives_;
  while (life > 1 && sequence < sequence_bases_[static_cast<size_t>(life)]) --life;
  return life;
}

void World::Meanwhile() {
  if (feeding_ || bridge_ == nullptr || !random_.Chance(0.02)) return;
  feeding_ = true;
  Feed();
  feeding_ = false;
}

void World::Feed() {
  bridge_->ingest.BeginBatch(bridge_->source, clock_.Now());
  const int64_t count = random_.Chance(0.02) ? 50 : random_.Between(1, 3);
  for (int64_t i = 0; i < count; ++i) {
    if (scenario_.documents != 0 && random_.Chance(0.1)) {
      SendDocument();
    } else if (random_.Chance(0.05)) {
      bridge_->ingest.OnHeartbeat();
    } else {
      SendTick();
    }
  }
}

void World::SendTick() {
  const uint64_t symbol = random_.Chance(0.3) ? 0 : random_.Below(scenario_.symbols);
  const std::string name = SymbolName(symbol);
  const int64_t n = ++tick_count_[symbol];
  Tick tick;
  const bool stale = random_.Chance(0.05);
  const int64_t venue_ms = clock_.UnixNow().value / kNsPerMs - (stale ? random_.Between(1, 3000) : 0);
  if (Clears(symbol) && random_.Chance(0.05)) {
    bridge_->ingest.OnReset(name);
    return;
  }
  if (random_.Chance(0.7)) {
    if (random_.Chance(0.9)) tick.Set(Field::kBid, {n, -2});
    if (random_.Chance(0.9)) tick.Set(Field::kAsk, {n + 1, -2});
    if (Clears(symbol) && random_.Chance(0.2)) tick.Clear(Field::kBid);
    if (random_.Chance(0.9)) tick.quote_time = VenueNsFromMs(venue_ms);
  }
  if (random_.Chance(0.4)) {
    tick.Set(Field::kLast, {n, -1});
    tick.Set(Field::kLastSize, {1, 0});
    if (random_.Chance(0.9)) tick.trade_time = VenueNsFromMs(venue_ms);
  }
  const uint64_t accepted = bridge_->ingest.counts().accepted->Get();
  bridge_->ingest.OnTick(name, tick);
  if (bridge_->ingest.counts().accepted->Get() == accepted) return;
  const SymbolId id = bridge_->symbols.Find(name);
  received_[{name, bridge_->table.Sequence(id)}] = clock_.Now();
  ++tally_.ticks;
}

void World::SendDocument() {
  const std::string account = absl::StrCat("A", random_.Below(scenario_.documents));
  const std::string key = absl::StrCat("hft:positions:", account, ":all");
  LastDocument& last = documents_[key];
  const int64_t version = ++document_version_;
  const std::string value = absl::StrCat("{\"n\":", version, "}");
  const KeyPattern::FieldValue field{"account", account};
  DocumentRecord record;
  record.key_class = "positions";
  record.fields = {&field, 1};
  record.deleted = random_.Chance(0.2);
  if (!record.deleted) record.value = value;
  const uint64_t accepted = bridge_->ingest.counts().accepted->Get();
  bridge_->ingest.OnDocument(record);
  if (bridge_->ingest.counts().accepted->Get() == accepted) return;
  Trace(absl::StrCat("document ", key, record.deleted ? " deleted" : " is ", version));
  last.version = version;
  last.deleted = record.deleted;
  last.received[version] = clock_.Now();
  ++tally_.documents;
}

void World::Fault() {
  ++tally_.faults;
  const MonoNs now = clock_.Now();
  switch (random_.Below(16)) {
    case 0:
      network_.ResetSome(true);
      return Trace("a connection is reset, its bytes arrive later");
    case 1:
      network_.ResetSome(false);
      return Trace("a connection is reset");
    case 2:
    case 3:
      network_.SilenceSome(random_.Between(1, 8000) * kNsPerMs);
      return Trace("a connection goes silent");
    case 4:
      network_.DelaySome(random_.Between(1, 3000) * kNsPerMs);
      return Trace("bytes are held");
    case 5:
      network_.KillSomeClient();
      return Trace("a client is killed");
    case 6:
    case 7:
      network_.server_stalled = true;
      stalled_until_ = now + random_.Between(1, random_.Chance(0.2) ? 9000 : 1500) * kNsPerMs;
      return Trace("the server stalls");
    case 8:
    case 9:
      server_.SetError(std::string(kTransientErrors[random_.Below(std::size(kTransientErrors))]));
      error_until_ = now + random_.Between(1, 3000) * kNsPerMs;
      return Trace("the server refuses");
    case 10:
      network_.ServerGone();
      network_.server_down = true;
      down_until_ = now + random_.Between(1, 2000) * kNsPerMs;
      return Trace("the server is gone");
    case 11:
      RestartServer(random_.Chance(0.6));
      return;
    case 12:
      if (bridge_ != nullptr) StopBridge(random_.Chance(0.3));
      return;
    case 13:
      rough_until_ = now + random_.Between(10, 2000) * kNsPerMs;
      network_.faults.partial = 0.9;
      network_.faults.would_block = 0.5;
      network_.faults.garbage = random_.Chance(0.3) ? 0.05 : 0;
      network_.faults.connect_fails = 0.3;
      network_.faults.latency_ns_max = 20 * kNsPerMs;
      return Trace("the network is rough");
    case 14:
      clock_.Jump(random_.Between(0, 5000) * kNsPerMs);
      return Trace("our clock is set ahead");
    default:
      if (!scenario_.absolute) return;
      server_.DropExpired();  // what has run out stays so
      server_offset_ns_ += random_.Between(-3000, 3000) * kNsPerMs;
      server_jumped_at_ = now;
      return Trace("the server's clock is set");
  }
}

void World::EndFaults() {
  const MonoNs now = clock_.Now();
  if (network_.server_stalled && now >= stalled_until_) {
    network_.server_stalled = false;
    Trace("the server goes on");
  }
  if (error_until_.value != 0 && now >= error_until_) {
    server_.SetError("");
    error_until_ = MonoNs{};
    Trace("the server takes writes again");
  }
  if (network_.server_down && now >= down_until_) {
    network_.server_down = false;
    RestartServer(random_.Chance(0.7));
  }
  if (rough_until_.value != 0 && now >= rough_until_) {
    network_.faults = {};
    rough_until_ = MonoNs{};
  }
}

void World::Step(bool faults, bool feed) {
  clock_.Advance(random_.Chance(0.05) ? random_.Between(1, 20) * kNsPerMs : random_.Between(1, 300) * kNsPerUs);
  server_.SetTime(ServerUs());
  EndFaults();
  if (faults && random_.Chance(scenario_.fault_chance)) Fault();
  if (random_.Chance(0.001)) snapshot_ = server_.keys();
  if (bridge_ == nullptr) {
    if (bridge_starts_at_ && clock_.Now() >= *bridge_starts_at_) StartBridge();
  } else {
    feeding_ = !feed;  // nothing comes in between of a world that is to be quiet
    if (feed && random_.Chance(scenario_.tick_chance)) {
      feeding_ = true;
      Feed();
      feeding_ = false;
    }
    for (SimConnector* connector : bridge_->connectors) connector->Step();
    for (const auto& lane : bridge_->lanes) {
      if (random_.Chance(scenario_.lane_chance)) lane->DoWork();
      // A window bounds what is in flight; beacons, pings and publishes ride beside it.
      if (network_.bytes_on_the_way() > (size_t{64} << 20)) Violated("bounded", "bytes pile up on the way");
    }
    if (random_.Chance(0.5)) bridge_->restore.Apply(0);
    bridge_->ingest.Maintain(clock_.Now());
  }
  network_.Step();
}

void World::Quiesce() {
  // Whatever was under way comes to its end; connections that went silent stay so, as nobody mends them.
  stalled_until_ = error_until_ = down_until_ = rough_until_ = clock_.Now();
  const MonoNs began = clock_.Now();
  Trace("quiet from here");
  while (violation_.empty()) {
    Step(false, false);
    if (clock_.Now() - began > kPatienceNs) {
      return Violated("convergence",
                      bridge_ == nullptr
                          ? "no bridge"
                          : absl::StrCat(bridge_->ingest.counts().accepted->Get() - bridge_->Ended(),
                                         " records are pending, lane 0 is ", LaneStateName(bridge_->lanes[0]->state()),
                                         ": ", bridge_->lanes[0]->last_error()));
    }
    const bool settled = bridge_ != nullptr && bridge_->ingest.counts().accepted->Get() == bridge_->Ended();
    // What was sent before a clock was set, or on a connection that went silent unnoticed, has been mended by then.
    if (settled && clock_.Now() - began > 4 * kNsPerSec) return;
  }
}

void World::CheckSums() {
  const Ingest::Counts& counts = bridge_->ingest.counts();
  uint64_t rejected = 0;
  for (const Counter* reason : counts.rejected) rejected += reason->Get();
  if (counts.records->Get() != counts.accepted->Get() + rejected + counts.control->Get()) {
    Violated("everything is counted", "records");
  }
  if (counts.accepted->Get() != bridge_->Ended()) Violated("everything is counted", "accepted");
  for (const auto& lane : bridge_->lanes) {
    tally_.reconnects += lane->counts().reconnects->Get();
    tally_.expired += lane->counts().expired->Get();
    tally_.resent += lane->counts().resent->Get();
  }
}

void World::CheckConvergence() {
  const MonoNs now = clock_.Now();
  const int64_t slack_ns = scenario_.absolute ? kClockSlackNs : 2 * kNsPerMs;
  // With relative expiry what waited on the way lives on from when it is carried out, also past the newest one's end;
  // so does what was there when the server's clock was set back.
  const bool older_may_linger = !scenario_.absolute || server_jumped_at_.value != 0;
  QuoteEncoder encoder(std::span(classes_[0].members).first(7));  // what does not depend on when it was sent
  std::vector<char> buffer(encoder.bytes_max() + 64);
  for (uint32_t i = 0; i < bridge_->symbols.size(); ++i) {
    const std::string name(bridge_->symbols.Name(SymbolId{i}));
    if (scenario_.denied && name == "S0") continue;
    Quote quote;
    if (!bridge_->table.TryLoad(SymbolId{i}, &quote) || quote.sequence == bridge_->table.sequence_base()) continue;
    const Server::Key* const key = server_.Find(PriceKey(name));
    if (key == nullptr) {
      if (quote.received + scenario_.ttl_ns > now + slack_ns) {
        Violated("convergence", absl::StrCat(name, " is not there, though it has ",
                                             (quote.received + scenario_.ttl_ns - now) / kNsPerMs, " ms to live"));
      }
      continue;
    }
    if (older_may_linger && quote.received + scenario_.ttl_ns <= now) continue;
    std::string expected(buffer.data(), encoder.Encode(buffer.data(), quote, {}, {}));
    expected.pop_back();  // }
    if (!key->value.starts_with(expected)) {
      Violated("convergence", absl::StrCat(name, " is ", key->value, " and should be ", expected));
    }
  }
  for (const auto& [name, last] : documents_) {
    const Server::Key* const key = server_.Find(name);
    const bool given_up =
        std::ranges::any_of(bridge_->lanes, [](const auto& lane) { return lane->counts().failed->Get() != 0; });
    if (given_up) continue;  // it was first in flight at two disconnects in a row
    if (last.deleted || last.version == 0) {
      // A delete is remembered for as long as what it deleted could live.
      if (key != nullptr && Member(key->value, "n") != 0 && !last.received.empty() &&
          last.received.contains(Member(key->value, "n"))) {
        Violated("convergence", absl::StrCat(name, " is there, though it was deleted"));
      }
      continue;
    }
    const MonoNs deadline = last.received.at(last.version) + scenario_.document_ttl_ns;
    if (key == nullptr && deadline > now + slack_ns) Violated("convergence", name + " is not there");
    if (older_may_linger && deadline <= now) continue;
    if (key != nullptr && Member(key->value, "n") != last.version) {
      Violated("convergence", absl::StrCat(name, " is ", key->value, " and should be ", last.version));
    }
  }
}

void World::OnChange(const std::string& name, const Server::Key* before, const Server::Key* after) {
  ++tally_.changes;
  if (after == nullptr) return Trace(absl::StrCat(name, " is deleted"));
  if (name.starts_with("price:")) {
    OnPrice(name, before, *after);
  } else if (name.starts_with("hft:")) {
    OnDocument(name, *after);
  }
}

void World::OnPrice(const std::string& name, const Server::Key* before, const Server::Key& after) {
  const auto sequence = static_cast<uint64_t>(Member(after.value, "Sequence"));
  const int64_t timestamp = Member(after.value, "Timestamp");
  const std::string symbol = name.substr(6, name.size() - 6 - 7);
  if (trace_) Trace(absl::StrCat(name, " = ", after.value, " until ", after.expires_ms.value_or(0)));

  Seen& seen = seen_[name];
  // A restarted bridge cannot know of a key that has run out, nor of one that came back after it had looked.
  if (seen.life != lives_ && (before == nullptr || old_data_in_life_ == lives_)) seen.timestamp = 0;
  if (!scenario_.unfenced && sequence < seen.sequence) {
    Violated("monotonic", absl::StrCat(name, ": Sequence ", seen.sequence, " is followed by ", sequence));
  }
  if (!scenario_.unfenced && timestamp < seen.timestamp) {
    Violated("monotonic", absl::StrCat(name, ": Timestamp ", seen.timestamp, " is followed by ", timestamp));
  }
  seen = {std::max(seen.sequence, sequence), std::max(seen.timestamp, timestamp), LifeOf(sequence)};
  int64_t number = 0;
  if (before != nullptr && old_data_in_life_ != lives_ && absl::SimpleAtoi(symbol.substr(1), &number) &&
      !Clears(static_cast<uint64_t>(number)) && !scenario_.unfenced) {
    for (const std::string_view field : {"Last", "Bid", "Ask"}) {
      if (IsNull(after.value, field) && !IsNull(before->value, field)) {
        Violated("restart", absl::StrCat(name, ": ", field, " became null: ", before->value, " -> ", after.value));
      }
    }
  }

  const auto received = received_.find({symbol, sequence});
  if (received == received_.end()) return;  // of a bridge before this one
  const int64_t age_when_sent = Member(after.value, "SentNs") - Member(after.value, "ReceivedNs");
  const MonoNs sent = received->second + age_when_sent;
  const int64_t lives_until_ns = after.expires_ms.value_or(INT64_MAX / kNsPerMs) * kNsPerMs - ServerUs() * 1000;
  MonoNs deadline = received->second + scenario_.ttl_ns;
  if (scenario_.refresh) {
    // Its source may have shown life at any time until it was sent.
    deadline = sent + scenario_.ttl_ns;
  }
  const bool clocks_known = server_jumped_at_.value == 0 || sent - server_jumped_at_ > 3 * kNsPerSec;
  if (scenario_.absolute) {
    if (!clocks_known) return;
    deadline = deadline + 2 * kNsPerMs;
  } else {
    deadline = deadline + kYoungNs + (clock_.Now() - sent) + kNsPerMs;
  }
  if (clock_.Now() + lives_until_ns > deadline) {
    Violated("fresh or absent",
             absl::StrCat(name, " lives ", (clock_.Now() + lives_until_ns - deadline) / kNsPerMs, " ms too long"));
  }
}

void World::OnDocument(const std::string& name, const Server::Key& after) {
  const int64_t version = Member(after.value, "n");
  if (trace_) Trace(absl::StrCat(name, " = ", after.value, " until ", after.expires_ms.value_or(0)));
  int64_t& seen = seen_document_[name];
  if (!scenario_.unfenced && version < seen) {
    Violated("monotonic", absl::StrCat(name, ": ", seen, " is followed by ", version));
  }
  seen = std::max(seen, version);
  const int64_t left_ms = after.expires_ms.value_or(INT64_MAX / kNsPerMs) - server_.time_ms();
  if (!scenario_.absolute && left_ms > scenario_.document_ttl_ns / kNsPerMs) {
    Violated("fresh or absent", absl::StrCat(name, " lives longer than its class allows"));
  }
}

std::string World::Run(int rounds) {
  for (int round = 0; round < rounds && violation_.empty(); ++round) {
    const int64_t steps = random_.Between(2'000, 20'000);
    for (int64_t i = 0; i < steps && violation_.empty(); ++i) Step(true, true);
    if (!violation_.empty()) break;
    Quiesce();
    if (!violation_.empty()) break;
    // Where nothing can be fenced, a late write may stand until the next tick.
    if (!scenario_.unfenced) CheckConvergence();
    CheckSums();
  }
  return violation_;
}

}  // namespace tickbridge::sim
