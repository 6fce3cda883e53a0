// SPDX-License-Identifier: Apache-2.0
// The way in: each record is counted once and for the right reason, times come from the right clock, slots change hands
// only as they may, and logs are few and say no secrets. Single-stepped with a clock set by hand.
//
// The hot path is run with malloc and pthread_mutex_lock counted, and again in a child process whose system calls
// seccomp forbids; each trap is first shown to work.
#include "core/ingest.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/log.h"
#include "tests/alloc_counter.h"

namespace tickbridge::test {
// Of this thread, while the counter below is built in.
thread_local constinit uint64_t locks = 0;
constinit std::atomic<int (*)(pthread_mutex_t*)> real_mutex_lock{nullptr};
}  // namespace tickbridge::test

#if TICKBRIDGE_COUNT_ALLOCATIONS
extern "C" int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  using tickbridge::test::real_mutex_lock;
  ++tickbridge::test::locks;
  auto* real = real_mutex_lock.load(std::memory_order_relaxed);  // whoever looks it up finds the same
  if (real == nullptr) {
    real = reinterpret_cast<int (*)(pthread_mutex_t*)>(::dlsym(RTLD_NEXT, "pthread_mutex_lock"));
    real_mutex_lock.store(real, std::memory_order_relaxed);
  }
  return real(mutex);
}
#endif

namespace tickbridge {
namespace {

std::vector<std::string>* log_lines = nullptr;
void KeepLine(LogLevel, std::string_view line) { log_lines->emplace_back(line); }

constexpr MonoNs kStart{10 * kNsPerSec};
constexpr int64_t kUnixMsAtZero = 1'700'000'000'000;
constexpr int64_t kStartUnixMs = kUnixMsAtZero + 10'000;

class IngestTest : public testing::Test {
 protected:
  IngestTest() {
    log_lines = &lines_;
    SetLogHandler(&KeepLine);
    classes_[0].allow_negative = true;
    core_ = {.clock = &clock_,
             .symbols = &symbols_,
             .table = &table_,
             .dirty = &dirty_,
             .documents = &documents_,
             .sources = &sources_,
             .classes = &classes_};
    source_ = sources_.Open(0, kStart);
  }
  ~IngestTest() override { SetLogHandler(nullptr); }

  std::unique_ptr<Ingest> MakeIngest(Ingest::Options options) {
    auto ingest = std::make_unique<Ingest>(core_, std::move(options), counters_.get());
    ingest->BeginBatch(source_, kStart);
    return ingest;
  }
  static uint64_t Rejected(const Ingest& ingest, RejectReason reason) {
    return ingest.counts().rejected[static_cast<size_t>(reason)]->Get();
  }
  static uint64_t Accepted(const Ingest& ingest) { return ingest.counts().accepted->Get(); }
  // records = accepted + rejected + control.
  static void ExpectBalanced(const Ingest& ingest) {
    uint64_t sum = ingest.counts().accepted->Get() + ingest.counts().control->Get();
    for (const Counter* const counter : ingest.counts().rejected) sum += counter->Get();
    EXPECT_EQ(ingest.counts().records->Get(), sum);
  }
  Quote Load(std::string_view symbol) {
    Quote quote;
    const SymbolId id = symbols_.Find(symbol);
    EXPECT_NE(id, kNoSymbol) << symbol;
    if (id != kNoSymbol) {
      EXPECT_TRUE(table_.TryLoad(id, &quote));
    }
    return quote;
  }
  std::vector<std::string> TakeDirty() {
    std::vector<std::string> names;
    std::array<SymbolId, 64> ids;
    const size_t count = dirty_.Take(0, ids);
    for (size_t i = 0; i < count; ++i) {
      dirty_.Begin(ids[i]);
      names.emplace_back(symbols_.Name(ids[i]));
    }
    return names;
  }

  static Tick Bid(int64_t bid, int64_t ms = 0) {
    Tick tick;
    tick.Set(Field::kBid, {bid, 0});
    if (ms != 0) tick.quote_time = VenueNsFromMs(ms);
    return tick;
  }

  using Names = std::vector<std::string>;

  std::vector<std::string> lines_;
  ManualClock clock_{kStart, UnixNs{kUnixMsAtZero * kNsPerMs}};
  SymbolTable symbols_{64};
  LatestTable table_{{.capacity = 64, .sequence_base = 1'000}};
  DirtyQueue dirty_{&table_, 2, 1};
  SourceTable sources_;
  DocumentTable documents_{4, 1, &sources_};
  std::vector<KeyClass> classes_ = DefaultKeyClasses();
  std::unique_ptr<CountersFile> counters_ = CountersFile::Create("").value();
  Core core_;
  SourceId source_{};
};

TEST_F(IngestTest, ATickIsMergedMarkedAndCounted) {
  const auto ingest = MakeIngest({.feed = "local"});
  ingest->OnTick("MNQZ5", Bid(1, kStartUnixMs));
  ingest->OnTick("MNQZ5", Bid(2, kStartUnixMs));
  ingest->OnTick("ESZ5", Bid(3));
  EXPECT_EQ(Accepted(*ingest), 3u);
  EXPECT_EQ(TakeDirty(), (Names{"MNQZ5", "ESZ5"}));
  const Quote quote = Load("MNQZ5");
  EXPECT_EQ(quote.Get(Field::kBid), (Decimal{2, 0}));
  EXPECT_EQ(quote.received, kStart);
  EXPECT_EQ(quote.source, source_);
  EXPECT_EQ(quote.sequence, 1'002u);
  ExpectBalanced(*ingest);
  EXPECT_EQ(lines_, Names{});
}

TEST_F(IngestTest, CountersCarryTheFeedsName) {
  const auto ingest = MakeIngest({.feed = "local"});
  ingest->OnTick("A", Bid(1));
  ingest->OnTick("", Bid(1));
  std::vector<std::string> found;
  for (const CountersFile::Entry& entry : counters_->Entries()) {
    if (entry.counter != 0) found.push_back(entry.name + "=" + std::to_string(entry.counter));
  }
  EXPECT_EQ(found, (Names{"feed.local.records=2", "feed.local.accepted=1", "feed.local.rejected.bad_symbol=1"}));
}

TEST_F(IngestTest, EveryRecordIsExactlyOneOfAcceptedRejectedAndControl) {
  const auto ingest = MakeIngest({.feed = "local"});
  const auto other = MakeIngest({.feed = "other", .owner = OwnerId{2}, .producer = 1});
  other->OnTick("THEIRS", Bid(1));
  std::vector<KeyPattern::FieldValue> account = {{"account", "P"}};

  ingest->OnTick("A", Bid(1, kStartUnixMs));                   // accepted
  ingest->OnTick("A", Bid(1, kStartUnixMs - 1));               // stale
  ingest->OnTick("A", Bid(1, kStartUnixMs + 60'001));          // future
  ingest->OnTick("A", Tick{});                                 // empty
  ingest->OnTick("a{b", Bid(1));                               // bad_symbol
  ingest->OnTick("THEIRS", Bid(1));                            // wrong_owner
  ingest->OnReset("A");                                        // control
  ingest->OnReset("NEVER-SEEN");                               // control
  ingest->OnReset("");                                         // bad_symbol
  ingest->OnReset("THEIRS");                                   // wrong_owner
  ingest->OnHeartbeat();                                       // control
  ingest->OnReject(RejectReason::kMalformed, 77, "{");         // malformed
  ingest->OnDocument({"positions", account, "{}", false, 0});  // accepted
  ingest->OnDocument({"positions", {}, "{}", false, 0});       // missing_key_field
  ingest->OnDocument({"price", account, "{}", false, 0});      // unknown_class: price is no document
  ingest->OnDocument({"nonsense", account, "{}", false, 0});   // unknown_class
  EXPECT_EQ(ingest->counts().records->Get(), 16u);
  EXPECT_EQ(Accepted(*ingest), 2u);
  EXPECT_EQ(ingest->counts().control->Get(), 3u);
  EXPECT_EQ(Rejected(*ingest, RejectReason::kStale), 1u);
  EXPECT_EQ(Rejected(*ingest, RejectReason::kFuture), 1u);
  EXPECT_EQ(Rejected(*ingest, RejectReason::kEmpty), 1u);
  EXPECT_EQ(Rejected(*ingest, RejectReason::kBadSymbol), 2u);
  EXPECT_EQ(Rejected(*ingest, RejectReason::kWrongOwner), 2u);
  EXPECT_EQ(Rejected(*ingest, RejectReason::kMalformed), 1u);
  EXPECT_EQ(Rejected(*ingest, RejectReason::kMissingKeyField), 1u);
  EXPECT_EQ(Rejected(*ingest, RejectReason::kUnknownClass), 2u);
  ExpectBalanced(*ingest);
  ExpectBalanced(*other);
  EXPECT_EQ(symbols_.size(), 3u) << "a refused record names no symbol; a reset of a new one does";
}

// ---- clocks ----

TEST_F(IngestTest, ALiveTickWithoutVenueTimeTakesTheTimeReceived) {
  const auto ingest = MakeIngest({.feed = "local"});
  ingest->OnTick("A", Bid(1));
  EXPECT_EQ(Load("A").timestamp.value, kStartUnixMs);
  ingest->BeginBatch(source_, kStart + 7 * kNsPerMs + 999'999);
  ingest->OnTick("A", Bid(2));
  EXPECT_EQ(Load("A").timestamp.value, kStartUnixMs + 7) << "floored";
  clock_.Set(kStart + kNsPerSec);
  ingest->OnTick("A", Bid(3));
  EXPECT_EQ(Load("A").timestamp.value, kStartUnixMs + 7) << "when its bytes were read, not when it was decoded";
}

TEST_F(IngestTest, ALiveTickFarAheadOfTheReceiveClockIsFuture) {
  const auto ingest = MakeIngest({.feed = "local", .max_ahead_ns = 2 * kNsPerSec});
  ingest->OnTick("A", Bid(1, kStartUnixMs + 2'000));
  EXPECT_EQ(Accepted(*ingest), 1u);
  ingest->OnTick("A", Bid(2, kStartUnixMs + 2'001));
  Tick trade;
  trade.Set(Field::kLast, {1, 0});
  trade.trade_time = VenueNsFromMs(kStartUnixMs + 2'001);
  ingest->OnTick("A", trade);
  ingest->OnTick("B", Bid(2, 9'999'999'999'999));
  EXPECT_EQ(Rejected(*ingest, RejectReason::kFuture), 3u);
  EXPECT_EQ(Load("A").Get(Field::kBid), (Decimal{1, 0}));
  EXPECT_EQ(symbols_.Find("B"), kNoSymbol);
  ingest->BeginBatch(source_, kStart + kNsPerMs);
  ingest->OnTick("A", Bid(2, kStartUnixMs + 2'001));
  EXPECT_EQ(Accepted(*ingest), 2u);
}

TEST_F(IngestTest, InAReplayTheRecordingIsTheClockAndNothingIsFuture) {
  const auto ingest = MakeIngest({.feed = "local", .replay = true});
  ingest->OnTick("A", Bid(1));
  EXPECT_EQ(Load("A").timestamp.value, 0) << "null before the first time";
  ingest->OnTick("B", Bid(1, 5'000));
  ingest->OnTick("A", Bid(2));
  EXPECT_EQ(Load("A").timestamp.value, 5'000) << "the newest venue time read so far";
  ingest->OnTick("B", Bid(1, 4'000));
  ingest->BeginBatch(source_, kStart + kNsPerSec);
  ingest->OnTick("C", Bid(1));
  EXPECT_EQ(Load("C").timestamp.value, 5'000);
  ingest->OnTick("B", Bid(1, 9'999'999'999'999));
  EXPECT_EQ(Load("B").timestamp.value, 9'999'999'999'999);
  EXPECT_EQ(Rejected(*ingest, RejectReason::kFuture), 0u);
}

TEST_F(IngestTest, ARecordingsCaptureTimeIsItsClock) {
  const auto ingest = MakeIngest({.feed = "local", .replay = true});
  ingest->SetRecordingClock(UnixMs{7'000});
  ingest->OnTick("A", Bid(1));
  EXPECT_EQ(Load("A").timestamp.value, 7'000);
  ingest->BeginBatch(source_, kStart + kNsPerSec);
  ingest->OnTick("B", Bid(1));
  EXPECT_EQ(Load("B").timestamp.value, 7'000);
  ingest->SetRecordingClock(UnixMs{6'000});
  ingest->OnTick("C", Bid(1));
  EXPECT_EQ(Load("C").timestamp.value, 7'000) << "it does not go back";
}

// ---- symbols ----

TEST_F(IngestTest, NamesBecomeOursByPrefixAndSuffix) {
  const auto ingest = MakeIngest({.feed = "local", .symbol_prefix = "X:", .symbol_suffix = "-PERP"});
  ingest->OnTick("BTC", Bid(1));
  EXPECT_EQ(TakeDirty(), (Names{"X:BTC-PERP"}));
  ingest->OnReset("BTC");
  EXPECT_EQ(TakeDirty(), (Names{"X:BTC-PERP"}));
  ingest->OnTick(std::string(57, 'a'), Bid(1));
  EXPECT_EQ(Accepted(*ingest), 2u) << "64 bytes in all";
  ingest->OnTick(std::string(58, 'a'), Bid(1));
  ingest->OnTick("", Bid(1));
  ingest->OnReset("");
  EXPECT_EQ(Rejected(*ingest, RejectReason::kBadSymbol), 3u);
  EXPECT_EQ(symbols_.size(), 2u);
  ExpectBalanced(*ingest);
}

TEST_F(IngestTest, AFullTableRefusesNewSymbolsAndServesTheOthers) {
  const auto ingest = MakeIngest({.feed = "local"});
  for (int i = 0; i < 66; ++i) ingest->OnTick("S" + std::to_string(i), Bid(1));
  EXPECT_EQ(Accepted(*ingest), 64u);
  EXPECT_EQ(Rejected(*ingest, RejectReason::kSymbolsFull), 2u);
  ingest->OnTick("S0", Bid(2));
  EXPECT_EQ(Accepted(*ingest), 65u);
  ExpectBalanced(*ingest);
}

TEST_F(IngestTest, NegativePricesAreRefusedWhereTheClassDoesNotAllowThem) {
  const auto ingest = MakeIngest({.feed = "local"});
  ingest->OnTick("CLK0", Bid(-37));
  EXPECT_EQ(Accepted(*ingest), 1u) << "oil was";
  classes_[0].allow_negative = false;
  for (const Field field : {Field::kBid, Field::kAsk, Field::kLast, Field::kHigh, Field::kLow}) {
    Tick tick;
    tick.Set(field, {-1, -2});
    ingest->OnTick("A", tick);
  }
  EXPECT_EQ(Rejected(*ingest, RejectReason::kNegativePrice), 5u);
  Tick tick = Bid(0);
  tick.Set(Field::kVolume, {-1, 0});         // no price
  tick.value[Index(Field::kAsk)] = {-1, 0};  // not given
  ingest->OnTick("A", tick);
  EXPECT_EQ(Accepted(*ingest), 2u);
}

TEST_F(IngestTest, AVolumePastEighteenDigitsIsCounted) {
  const auto ingest = MakeIngest({.feed = "local"});
  Tick tick;
  tick.Set(Field::kLast, {1, 0});
  tick.Set(Field::kLastSize, {kMaxMantissa, 0});
  for (int i = 0; i < 3; ++i) ingest->OnTick("A", tick);
  EXPECT_EQ(ingest->counts().volume_overflow->Get(), 1u);
  EXPECT_EQ(Accepted(*ingest), 3u);
}

TEST_F(IngestTest, AResetIsMarkedAndOfAnEmptySlotIsNot) {
  const auto ingest = MakeIngest({.feed = "local"});
  Tick tick;
  tick.Set(Field::kLast, {5, 0});
  ingest->OnTick("A", tick);
  TakeDirty();
  ingest->OnReset("A");
  EXPECT_EQ(TakeDirty(), Names{"A"});
  EXPECT_FALSE(Load("A").Has(Field::kHigh));
  symbols_.Insert("B");
  ingest->OnReset("B");
  EXPECT_EQ(TakeDirty(), Names{});
  EXPECT_EQ(ingest->counts().control->Get(), 2u);
}

// ---- owners ----

TEST_F(IngestTest, TwoFeedsOfOneRunnerShareASymbol) {
  const auto quotes = MakeIngest({.feed = "quotes"});
  const auto trades = MakeIngest({.feed = "trades"});
  quotes->OnTick("A", Bid(1));
  trades->OnTick("A", Bid(2));
  EXPECT_EQ(Accepted(*quotes) + Accepted(*trades), 2u);
}

TEST_F(IngestTest, AnotherRunnerIsRefusedAndItIsLoggedOnce) {
  const auto mine = MakeIngest({.feed = "mine"});
  const auto other = MakeIngest({.feed = "other", .owner = OwnerId{2}, .producer = 1});
  mine->OnTick("A", Bid(1));
  for (int second = 0; second < 5; ++second) {
    other->BeginBatch(source_, kStart + second * kNsPerSec);
    other->OnTick("A", Bid(2));
  }
  other->OnReset("A");
  EXPECT_EQ(Rejected(*other, RejectReason::kWrongOwner), 6u);
  EXPECT_EQ(Load("A").Get(Field::kBid), (Decimal{1, 0}));
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_NE(lines_[0].find("wrong_owner"), std::string::npos) << lines_[0];
}

TEST_F(IngestTest, ASlotIsGivenUpWhenItsSourceDiesAndTakenOverByTheNext) {
  const auto mine = MakeIngest({.feed = "mine"});
  const auto other = MakeIngest({.feed = "other", .owner = OwnerId{2}, .producer = 1});
  mine->OnTick("A", Bid(1));
  mine->OnTick("B", Bid(1));
  EXPECT_EQ(mine->Maintain(kStart), 0);
  const SourceId next = sources_.Open(0, kStart);
  mine->BeginBatch(next, kStart);
  mine->OnTick("B", Bid(2));
  sources_.Close(source_);
  other->BeginBatch(next, kStart);
  other->OnTick("A", Bid(3));
  EXPECT_EQ(Rejected(*other, RejectReason::kWrongOwner), 1u) << "only its owner gives it up";
  EXPECT_EQ(mine->Maintain(kStart), 1);
  EXPECT_EQ(mine->Maintain(kStart), 0);
  other->OnTick("A", Bid(3));
  other->OnTick("B", Bid(3));
  EXPECT_EQ(Accepted(*other), 1u);
  EXPECT_EQ(Rejected(*other, RejectReason::kWrongOwner), 2u) << "the newest tick of B came through a living source";
  mine->OnTick("A", Bid(4));
  EXPECT_EQ(Rejected(*mine, RejectReason::kWrongOwner), 1u) << "there is no way back while the new one lives";
  EXPECT_EQ(Load("A").Get(Field::kBid), (Decimal{3, 0}));
  sources_.Close(next);
  EXPECT_EQ(other->Maintain(kStart), 1);
  EXPECT_EQ(mine->Maintain(kStart), 1);
  source_ = sources_.Open(0, kStart);
  mine->BeginBatch(source_, kStart);
  mine->OnTick("A", Bid(5));
  EXPECT_EQ(Load("A").Get(Field::kBid), (Decimal{5, 0}));
}

TEST_F(IngestTest, ASilentSourceLosesItsSlotsAndABatchIsASignOfLife) {
  source_ = sources_.Open(100, kStart);
  const auto mine = MakeIngest({.feed = "mine"});
  mine->OnTick("A", Bid(1));
  mine->BeginBatch(source_, kStart + 80);
  mine->OnHeartbeat();
  EXPECT_EQ(mine->Maintain(kStart + 180), 0);
  EXPECT_EQ(mine->Maintain(kStart + 181), 1);
  EXPECT_EQ(table_.Owner(symbols_.Find("A")), kNoOwner);
}

TEST_F(IngestTest, ManySlotsAreGivenUpAFewAtATime) {
  const auto mine = MakeIngest({.feed = "mine"});
  for (int i = 0; i < 64; ++i) mine->OnTick("S" + std::to_string(i), Bid(1));
  sources_.Close(source_);
  int cycles = 0;
  int released = 0;
  while (const int count = mine->Maintain(kStart)) {
    EXPECT_LE(count, 16);
    released += count;
    ++cycles;
  }
  EXPECT_EQ(released, 64);
  EXPECT_GE(cycles, 4);
  for (uint32_t id = 0; id < 64; ++id) EXPECT_EQ(table_.Owner(SymbolId{id}), kNoOwner);
}

TEST_F(IngestTest, TheDeadAmongTheLivingAreFound) {
  const auto mine = MakeIngest({.feed = "mine"});
  const SourceId dying = sources_.Open(0, kStart);
  for (int i = 0; i < 64; ++i) {
    mine->BeginBatch(i % 5 == 3 ? dying : source_, kStart);
    mine->OnTick("S" + std::to_string(i), Bid(1));
  }
  sources_.Close(dying);
  int released = 0;
  for (int cycle = 0; cycle < 16; ++cycle) released += mine->Maintain(kStart);
  EXPECT_EQ(released, 13);
  for (uint32_t id = 0; id < 64; ++id) EXPECT_EQ(table_.Owner(SymbolId{id}) == kNoOwner, id % 5 == 3) << id;
}

TEST_F(IngestTest, ASlotThatAResetClaimedIsGivenUpToo) {
  const auto mine = MakeIngest({.feed = "mine"});
  const auto other = MakeIngest({.feed = "other", .owner = OwnerId{2}, .producer = 1});
  mine->OnTick("A", Bid(1));
  sources_.Close(source_);
  EXPECT_EQ(mine->Maintain(kStart), 1);
  const SourceId next = sources_.Open(0, kStart);
  other->BeginBatch(next, kStart);
  other->OnReset("A");
  other->OnTick("A", Bid(2));
  sources_.Close(next);
  EXPECT_EQ(other->Maintain(kStart), 1);
  EXPECT_EQ(table_.Owner(symbols_.Find("A")), kNoOwner);
}

// ---- documents ----

TEST_F(IngestTest, ADocumentGoesToItsKeyWithItsTtl) {
  const auto ingest = MakeIngest({.feed = "local"});
  const std::vector<KeyPattern::FieldValue> fields = {{"account", "P"}, {"id", "D1"}, {"other", "{\n"}};
  ingest->OnDocument({"orders", fields, R"({"a": 1})", false, 0});
  ingest->OnDocument({"orders", {fields.data(), 1}, "{}", false, 2'500 * kNsPerMs});
  ingest->OnDocument({"orders", fields, "", true, 0});
  EXPECT_EQ(Accepted(*ingest), 3u);
  std::vector<DocumentTable::Taken> taken;
  ASSERT_EQ(documents_.Take(0, 10, &taken), 2u);
  EXPECT_EQ(taken[0].document->key, "hft:orders:pending:P:D1");
  EXPECT_TRUE(taken[0].document->deleted);
  EXPECT_EQ(taken[0].document->value, "");
  EXPECT_EQ(taken[0].document->deadline, kStart + kNsPerSec);
  EXPECT_EQ(taken[1].document->key, "hft:orders:pending:P");
  EXPECT_EQ(taken[1].document->value, "{}");
  EXPECT_EQ(taken[1].document->deadline, kStart + 2'500 * kNsPerMs);
  EXPECT_EQ(taken[1].document->source, source_);
  EXPECT_EQ(classes_[static_cast<size_t>(taken[1].document->key_class)].name, "orders");
}

TEST_F(IngestTest, DocumentsAreRefusedWithAReason) {
  const auto ingest = MakeIngest({.feed = "local"});
  const auto other = MakeIngest({.feed = "other", .owner = OwnerId{2}, .producer = 1});
  classes_[1].publish = *KeyPattern::Parse("positions.{desk}");
  const auto put = [&](Ingest& into, std::string_view key_class, std::string_view account, std::string_view value) {
    const std::vector<KeyPattern::FieldValue> fields = {{"account", account}};
    into.OnDocument({key_class, fields, value, false, 0});
  };
  put(*ingest, "accounts", "", "{}");
  put(*ingest, "accounts", "a{", "{}");
  put(*ingest, "accounts", std::string(65, 'a'), "{}");
  EXPECT_EQ(Rejected(*ingest, RejectReason::kBadKeyField), 3u);
  put(*ingest, "positions", "A", "{}");
  EXPECT_EQ(Rejected(*ingest, RejectReason::kMissingKeyField), 1u) << "of the channel";
  put(*ingest, "accounts", "A", std::string(limits::kDocumentBytesMax, ' '));
  EXPECT_EQ(Accepted(*ingest), 1u);
  put(*ingest, "accounts", "A", std::string(limits::kDocumentBytesMax + 1, ' '));
  EXPECT_EQ(Rejected(*ingest, RejectReason::kDocumentTooLarge), 1u);
  put(*other, "accounts", "A", "{}");
  EXPECT_EQ(Rejected(*other, RejectReason::kWrongOwner), 1u);
  for (const char* const account : {"B", "C", "D", "E"}) put(*ingest, "accounts", account, "{}");
  EXPECT_EQ(Rejected(*ingest, RejectReason::kDocumentsFull), 1u);
  ExpectBalanced(*ingest);
  ExpectBalanced(*other);
}

// ---- logs ----

TEST_F(IngestTest, ALineSaysFeedReasonOffsetAndAnEscapedExcerpt) {
  const auto ingest = MakeIngest({.feed = "local"});
  ingest->OnReject(RejectReason::kMalformed, 1'234, "{\"a\":\n\x01\xff" + std::string(500, 'z'));
  ASSERT_EQ(lines_.size(), 1u);
  const std::string& line = lines_[0];
  EXPECT_NE(line.find("local"), std::string::npos) << line;
  EXPECT_NE(line.find("malformed"), std::string::npos) << line;
  EXPECT_NE(line.find("1234"), std::string::npos) << line;
  EXPECT_NE(line.find(R"({\"a\":\n\001\377zz)"), std::string::npos) << line;
  EXPECT_LT(line.size(), 250u) << line;
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

TEST_F(IngestTest, TheFirstOfEachKindAndThenAtMostOneASecondIsLogged) {
  const auto ingest = MakeIngest({.feed = "local"});
  for (int64_t ms = 0; ms < 3'500; ms += 10) {
    ingest->BeginBatch(source_, kStart + ms * kNsPerMs);
    ingest->OnReject(RejectReason::kMalformed, 0, "x");
    ingest->OnTick("{", Bid(1));
  }
  EXPECT_EQ(Rejected(*ingest, RejectReason::kMalformed), 350u);
  EXPECT_EQ(Rejected(*ingest, RejectReason::kBadSymbol), 350u);
  EXPECT_EQ(lines_.size(), 8u) << "four seconds were begun, of two kinds each";
}

TEST_F(IngestTest, StaleTicksAreCountedAndNotLogged) {
  const auto ingest = MakeIngest({.feed = "local"});
  ingest->OnTick("A", Bid(1, 2'000));
  ingest->OnTick("A", Bid(1, 1'000));
  EXPECT_EQ(Rejected(*ingest, RejectReason::kStale), 1u);
  EXPECT_EQ(lines_, Names{});
}

TEST_F(IngestTest, OfARawClassNothingIsLogged) {
  const auto ingest = MakeIngest({.feed = "local"});
  const auto other = MakeIngest({.feed = "other", .owner = OwnerId{2}, .producer = 1});
  const std::string secret = "eyJhbGciOi";
  int64_t second = 0;
  const auto put = [&](Ingest& into, std::string_view name, std::string_view account, const std::string& value) {
    const std::vector<KeyPattern::FieldValue> fields = {{name, account}, {"value", secret}};
    into.BeginBatch(source_, kStart + ++second * kNsPerSec);
    into.OnDocument({"token", fields, value, false, 0});
  };
  put(*ingest, "account", "A", secret);
  put(*ingest, "account", "{", secret);                                                // bad_key_field
  put(*ingest, "account", secret + "{", secret);                                       // bad_key_field
  put(*ingest, "nothing", "A", secret);                                                // missing_key_field
  put(*ingest, "account", "A", secret + std::string(limits::kDocumentBytesMax, 'x'));  // document_too_large
  put(*other, "account", "A", secret);                                                 // wrong_owner
  for (const char* const account : {"B", "C", "D", "E"}) put(*ingest, "account", account, secret);  // documents_full
  ingest->OnReject(RejectReason::kBadValue, 5, "");
  ASSERT_EQ(lines_.size(), 7u);
  for (const std::string& line : lines_) {
    EXPECT_EQ(line.find(secret), std::string::npos) << line;
    EXPECT_EQ(line.find('"'), std::string::npos) << "no excerpt at all: " << line;
  }
}

// ---- the hot path ----

class IngestHotPathTest : public IngestTest {
 protected:
  static constexpr int kTicks = 100'000;
  static constexpr uint32_t kSymbols = 30;  // of two feeds; the table has a little room left

  IngestHotPathTest() {
    for (uint32_t i = 0; i < kSymbols; ++i) names_[i] = "SYMBOL" + std::to_string(i * 7'919);
    plain_ = MakeIngest({.feed = "plain"});
    renamed_ = MakeIngest({.feed = "renamed", .symbol_prefix = "venue:", .symbol_suffix = "-PERP"});
    for (const std::string& name : names_) {
      plain_->OnTick(name, Bid(1));
      renamed_->OnTick(name, Bid(1));
    }
  }

  // Quotes, trades, mixes, nulls, sums that overflow, old times and heartbeats, of symbols that were seen before. The
  // sink's side goes on beside it, so that ids are queued again and again.
  void Run() {
    std::array<SymbolId, 16> ids;
    Quote quote;
    Tick tick;
    for (int i = 0; i < kTicks; ++i) {
      Ingest& ingest = i % 3 == 0 ? *renamed_ : *plain_;
      if (i % 7 == 0) ingest.BeginBatch(source_, kStart + i * int64_t{1'000});
      tick.Reset();
      tick.Set(i % 2 == 0 ? Field::kBid : Field::kAskSize, {i, -2});  // an empty tick would be logged
      if (i % 5 == 0) tick.Clear(Field::kAsk);
      if (i % 3 != 1) tick.Set(Field::kLast, {i, static_cast<int8_t>(-(i % 9))});
      if (i % 4 == 0) tick.Set(Field::kLastSize, {i % 97 == 0 ? kMaxMantissa : i, 0});
      if (i % 11 != 0) tick.quote_time = VenueNsFromMs(kStartUnixMs + i % 50);
      if (i % 13 != 0) tick.trade_time = VenueNsFromMs(kStartUnixMs + i % 40);
      ingest.OnTick(names_[static_cast<size_t>(i) * 31 % kSymbols], tick);
      if (i % 100 == 0) ingest.OnHeartbeat();
      if (i % 1'000 == 0) ingest.OnReset(names_[static_cast<size_t>(i / 1'000) % kSymbols]);
      if (i % 64 == 0) ingest.Maintain(kStart);
      if (i % 8 == 0) {
        const size_t count = dirty_.Take(0, ids);
        for (size_t k = 0; k < count; ++k) {
          dirty_.Begin(ids[k]);
          taken_ += table_.TryLoad(ids[k], &quote);
        }
      }
    }
  }

  void ExpectThatItWasTheHotPath() {
    EXPECT_GT(Accepted(*plain_), uint64_t{kTicks} / 8);
    EXPECT_GT(Accepted(*renamed_), uint64_t{kTicks} / 10);
    EXPECT_GT(Rejected(*plain_, RejectReason::kStale), 1'000u);
    EXPECT_GT(taken_, uint64_t{kTicks} / 10);
    EXPECT_EQ(Rejected(*plain_, RejectReason::kWrongOwner), 0u);
    ExpectBalanced(*plain_);
    ExpectBalanced(*renamed_);
  }

  std::array<std::string, kSymbols> names_;
  std::unique_ptr<Ingest> plain_;
  std::unique_ptr<Ingest> renamed_;
  uint64_t taken_ = 0;
};

constexpr int kNoSeccomp = 77;

// In a child, whose only system calls from here on are exit and write; the kernel kills it at any other.
void ForbidSystemCalls() {
#if defined(__x86_64__)
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
    return;
#endif
  ::_exit(kNoSeccomp);
}

// Runs `body` in a child without system calls. Its wait status.
template <typename Body>
int RunWithoutSystemCalls(Body body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ForbidSystemCalls();
    body();
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

TEST_F(IngestHotPathTest, MakesNoAllocationLockOrSyscall) {
  if (!test::kAllocCounterWorks) GTEST_SKIP() << "neither counters nor seccomp go with a sanitizer";
  const uint64_t allocations_before = test::allocations;
  const uint64_t locks_before = test::locks;
  Run();
  const uint64_t allocations = test::allocations - allocations_before;
  const uint64_t locks = test::locks - locks_before;
  EXPECT_EQ(allocations, 0u);
  EXPECT_EQ(locks, 0u);
  EXPECT_EQ(lines_, Names{});
  ExpectThatItWasTheHotPath();

  const int status = RunWithoutSystemCalls([&] { Run(); });
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNoSeccomp) {
    GTEST_SKIP() << "no allocation, no lock; system calls were not looked at, since seccomp is not permitted here";
  }
  EXPECT_FALSE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << "it made a system call";
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "wait status " << status;
}

TEST_F(IngestHotPathTest, TheTrapsCatch) {
  if (!test::kAllocCounterWorks) GTEST_SKIP() << "neither counters nor seccomp go with a sanitizer";
  const uint64_t allocations_before = test::allocations;
  const uint64_t locks_before = test::locks;
  plain_->OnTick("NEW", Bid(1));  // takes the symbol table's mutex
  EXPECT_EQ(test::locks, locks_before + 1);
  EXPECT_EQ(test::allocations, allocations_before) << "not even the first tick allocates";
  plain_->OnTick("{", Bid(1));  // makes a log line
  EXPECT_GT(test::allocations, allocations_before);
  const int status = RunWithoutSystemCalls([] { ::getppid(); });
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNoSeccomp) GTEST_SKIP() << "seccomp is not permitted here";
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << "wait status " << status;
}

}  // namespace
}  // namespace tickbridge
