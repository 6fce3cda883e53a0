// SPDX-License-Identifier: Apache-2.0
// Goal: what a strategy in a process of its own reads from the shared table is whole and never steps back, while the
// writer writes as fast as it can, and when it is killed wherever it is.
//
// Method: a forked writer. Every number of its quotes follows from how often it merged into the symbol, which Sequence
// tells, so that a reader knows all that a quote must be. TICKBRIDGE_LONG reads and kills more often.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "sink/table_reader.h"
#include "tests/sanitized.h"
#include "tests/sink/table_writer.h"

namespace tickbridge {
namespace {

using Load = TableReader::Load;

constexpr uint64_t kBase = 1'000;  // Sequence of a symbol before its first merge
constexpr int64_t kBaseMs = 1'000'000'000'000;

// `both`: quote and trade of the venue's time. `clock`: the same without one, so that Timestamp is a word of its own.
enum Kind : uint32_t { kBoth, kQuote, kTrade, kClock, kKinds };
constexpr std::array<std::string_view, kKinds> kNames = {"both", "quote", "trade", "clock"};

bool LongRun() { return std::getenv("TICKBRIDGE_LONG") != nullptr; }
int64_t DeadlineNs() { return (LongRun() ? 1'800 : 120) * kNsPerSec; }

// The tick with which a symbol's merge number `k` is made.
Tick TickOf(Kind kind, int64_t k) {
  Tick tick;
  const auto exponent = static_cast<int8_t>(-(k % 5));
  if (kind != kTrade) {
    tick.Set(Field::kBid, {k, exponent});
    tick.Set(Field::kAsk, {k + 1, exponent});
    tick.Set(Field::kBidSize, {k ^ 0x5555, 0});
    tick.Set(Field::kAskSize, {2 * k, exponent});
  }
  if (kind != kQuote) {
    tick.Set(Field::kLast, {k + 2, exponent});
    tick.Set(Field::kLastSize, {k % 1'000, 0});
    tick.Set(Field::kVolume, {3 * k, 0});
    tick.Set(Field::kHigh, {k + 3, exponent});
    tick.Set(Field::kLow, {-k, exponent});
  }
  if (kind != kClock) {
    const VenueNs time = VenueNsFromMs(kBaseMs + k);
    if (kind != kTrade) tick.quote_time = time;
    if (kind != kQuote) tick.trade_time = time;
  }
  return tick;
}

void Merge(TableWriter* writer, Kind kind) {
  const SymbolId id{kind};
  const auto k = static_cast<int64_t>(writer->table.Sequence(id) - kBase) + 1;
  writer->table.Merge(id, TickOf(kind, k), {MonoNs{k}, UnixMs{kBaseMs + k}, SourceId{static_cast<uint32_t>(k)}});
}

// In a child: ends with its parent, or by a kill.
[[noreturn]] void WriteForEver(const std::string& path, uint64_t generation) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  TableWriter writer(path, TableWriter::kCapacity, generation);
  for (uint32_t kind = 0; kind < kKinds; ++kind) {
    if (writer.symbols.Insert(kNames[kind]) != SymbolId{kind} || !writer.table.Claim(SymbolId{kind}, OwnerId{1})) {
      ::_exit(1);
    }
  }
  while (true) {
    for (uint32_t kind = 0; kind < kKinds; ++kind) Merge(&writer, static_cast<Kind>(kind));
  }
}

// Whether a quote is that of its Sequence, in each of its numbers.
bool IsWhole(Kind kind, const Quote& quote) {
  const auto k = static_cast<int64_t>(quote.sequence - kBase);
  const Tick tick = TickOf(kind, k);
  bool whole = quote.present == tick.given && quote.received.value == k && quote.status == Status::kOk &&
               quote.source == SourceId{static_cast<uint32_t>(k)} && quote.timestamp.value == kBaseMs + k &&
               quote.quote_time == tick.quote_time && quote.trade_time == tick.trade_time;
  for (size_t field = 0; field < kFieldCount; ++field) {
    if ((tick.given >> field & 1) == 0) continue;
    whole = whole && quote.value[field].mantissa == tick.value[field].mantissa &&
            quote.value[field].exponent == tick.value[field].exponent;
  }
  return whole;
}

class TableProcesses : public ::testing::Test {
 protected:
  ~TableProcesses() override {
    Kill();
    std::filesystem::remove(path_);
  }

  // Starts a writer, and returns when all symbols have a quote that is newer than `after`.
  void Start(uint64_t generation, uint64_t after = kBase) {
    writer_ = ::fork();
    if (writer_ == 0) WriteForEver(path_, generation);
    const MonoNs deadline = SystemClock::ReadMonotonic() + DeadlineNs();
    while (SystemClock::ReadMonotonic() < deadline) {
      if (reader_ == nullptr) reader_ = TableReader::Open(path_);
      Quote quote;
      if (reader_ != nullptr && reader_->generation() == generation &&
          reader_->LoadQuote(SymbolId{kClock}, &quote) == Load::kOk && quote.sequence > after) {
        return;
      }
      ASSERT_EQ(::waitpid(writer_, nullptr, WNOHANG), 0) << "the writer ended";
      ::usleep(100);
    }
    FAIL() << "the writer does not write";
  }
  void Kill() {
    if (writer_ <= 0) return;
    ::kill(writer_, SIGKILL);
    ::waitpid(writer_, nullptr, 0);
    writer_ = 0;
  }

  // How many snapshots a writer left while it was copying.
  int TornSnapshots() const {
    SharedTableLayout layout;
    const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(::pread(fd, &layout, sizeof(layout), 0), static_cast<ssize_t>(sizeof(layout)));
    int torn = 0;
    for (uint32_t kind = 0; kind < kKinds; ++kind) {
      uint64_t version = 0;
      const uint64_t at = layout.snapshots_offset + kind * LatestTable::kSlotBytes;
      EXPECT_EQ(::pread(fd, &version, sizeof(version), static_cast<off_t>(at)), static_cast<ssize_t>(sizeof(version)));
      torn += static_cast<int>(version & 1);
    }
    ::close(fd);
    return torn;
  }

  const std::string path_ = "/dev/shm/tickbridge-processes-test." + std::to_string(::getpid());
  pid_t writer_ = 0;
  std::unique_ptr<TableReader> reader_;
};

// How a reader ended: all is well, or what is not.
enum ReaderExit { kFine, kTorn, kBackwards, kNoChanges, kTooFewLoads, kNoQuote };

int Read(const std::string& path, Load (TableReader::*load)(SymbolId, Quote*) const noexcept, uint64_t reads) {
  constexpr uint64_t kChangesMin = 10'000;
  const auto reader = TableReader::Open(path);
  std::array<uint64_t, kKinds> newest{};
  uint64_t changes = 0;
  Quote quote;
  const MonoNs begin = SystemClock::ReadMonotonic();
  for (uint64_t done = 0, tries = 0; done < reads || changes < kChangesMin; ++tries) {
    if (tries % (1 << 20) == 0 && SystemClock::ReadMonotonic() - begin > DeadlineNs()) {
      return done < reads ? kTooFewLoads : kNoChanges;
    }
    const auto kind = static_cast<Kind>(tries % kKinds);
    const Load result = ((*reader).*load)(SymbolId{kind}, &quote);
    if (result == Load::kBusy) continue;
    if (result != Load::kOk) return kNoQuote;
    if (!IsWhole(kind, quote)) return kTorn;
    if (quote.sequence < newest[kind]) return kBackwards;
    if (quote.sequence != newest[kind]) ++changes;
    newest[kind] = quote.sequence;
    ++done;
  }
  return kFine;
}

TEST_F(TableProcesses, ReadersNeverSeeATornQuoteNorAnOlderOne) {
  const uint64_t reads = kSanitized ? 500'000 : LongRun() ? 1'000'000'000 : 10'000'000;
  ASSERT_NO_FATAL_FAILURE(Start(kBase));
  std::array<pid_t, 2> readers{};
  for (size_t i = 0; i < readers.size(); ++i) {
    readers[i] = ::fork();
    if (readers[i] == 0) ::_exit(Read(path_, i == 0 ? &TableReader::TryLoad : &TableReader::LoadQuote, reads / 2));
  }
  for (const pid_t reader : readers) {
    int status = 0;
    ASSERT_EQ(::waitpid(reader, &status, 0), reader);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), kFine);
  }
}

TEST_F(TableProcesses, PythonNeverSeesATornQuoteNorAnOlderOne) {
  ASSERT_NO_FATAL_FAILURE(Start(kBase));
  const char* const script = TICKBRIDGE_SOURCE_DIR "/tests/sink/table_torn_reads.py";
  const char* const reads = LongRun() ? "5000000" : "50000";
  const pid_t python = ::fork();
  if (python == 0) {
    ::execl("/usr/bin/python3", "python3", script, path_.c_str(), reads, nullptr);
    ::_exit(127);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(python, &status, 0), python);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

// A killed writer leaves at most one slot in the middle of a write. A reader gets its snapshot, if that is as new, or
// is told that it is busy, by bounded tries. The next writer empties that slot, keeps all others, and goes on.
TEST_F(TableProcesses, AKilledWriterLeavesOneSlotHalfDoneAtMost) {
  const int kills = kSanitized ? 100 : LongRun() ? 20'000 : 1'000;
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  std::array<uint64_t, kKinds> newest{};
  int torn_slots = 0;
  int torn_snapshots = 0;
  uint64_t generation = kBase;  // of the first writer, which makes the table
  // On until both have happened: copying a snapshot is a hundredth of the writer's time.
  for (int kill = 0; kill < kills || torn_slots == 0 || torn_snapshots == 0; ++kill) {
    // Under a sanitizer one in some thousands falls within a snapshot.
    ASSERT_LT(kill, 20 * std::max(kills, 1'000))
        << torn_slots << " kills within a write, " << torn_snapshots << " within a snapshot";
    ASSERT_NO_FATAL_FAILURE(Start(generation++, std::max(newest[kClock], kBase)));
    Quote quote;
    const MonoNs until = SystemClock::ReadMonotonic() + static_cast<int64_t>(random() % (300 * kNsPerUs));
    while (SystemClock::ReadMonotonic() < until) {
      const auto kind = static_cast<Kind>(random() % kKinds);
      if (reader_->LoadQuote(SymbolId{kind}, &quote) != Load::kOk) continue;
      ASSERT_TRUE(IsWhole(kind, quote));
    }
    Kill();

    std::array<Load, kKinds> slot{};
    std::array<uint64_t, kKinds> left{};
    for (uint32_t kind = 0; kind < kKinds; ++kind) {
      slot[kind] = reader_->TryLoad(SymbolId{kind}, &quote);
      const Load loaded = reader_->LoadQuote(SymbolId{kind}, &quote);
      ASSERT_TRUE(slot[kind] == Load::kOk || slot[kind] == Load::kBusy);
      ASSERT_TRUE(loaded == Load::kOk || (loaded == Load::kBusy && slot[kind] == Load::kBusy));
      if (loaded != Load::kOk) continue;
      ASSERT_TRUE(IsWhole(static_cast<Kind>(kind), quote));
      ASSERT_GE(quote.sequence, newest[kind]);
      left[kind] = newest[kind] = quote.sequence;
    }
    const auto busy = std::count(slot.begin(), slot.end(), Load::kBusy);
    ASSERT_LE(busy, 1);
    torn_slots += static_cast<int>(busy);
    const int torn = TornSnapshots();
    ASSERT_LE(torn + busy, 1) << "one at a time";
    torn_snapshots += torn;

    {
      const TableWriter next(path_, TableWriter::kCapacity, generation++);
      ASSERT_TRUE(next.shared->adopted());
      ASSERT_EQ(next.emptied, busy);
    }
    for (uint32_t kind = 0; kind < kKinds; ++kind) {
      const Load loaded = reader_->LoadQuote(SymbolId{kind}, &quote);
      if (slot[kind] == Load::kBusy) {
        ASSERT_EQ(loaded, Load::kNothing);
        newest[kind] = 0;
      } else {
        ASSERT_EQ(loaded, Load::kOk);
        ASSERT_TRUE(IsWhole(static_cast<Kind>(kind), quote));
        ASSERT_EQ(quote.sequence, left[kind]);
      }
    }
  }
  RecordProperty("kills_within_a_write", torn_slots);
  RecordProperty("kills_within_a_snapshot", torn_snapshots);
}

}  // namespace
}  // namespace tickbridge
