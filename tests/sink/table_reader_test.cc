// SPDX-License-Identifier: Apache-2.0
// The shared table from both sides: one writer, readers over their own read-only mapping.
#include "sink/table_reader.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/futex.h"
#include "core/shared_table.h"
#include "core/source_table.h"
#include "core/symbol_table.h"
#include "tests/sink/table_writer.h"

namespace tickbridge {
namespace {

// Whether each number of a copy could have been written by a LatestTable.
bool InRange(const Quote& quote) {
  for (const Decimal& value : quote.value) {
    if (value.mantissa < -kMaxMantissa || value.mantissa > kMaxMantissa) return false;
    if (value.exponent < kMinExponent || value.exponent > kMaxExponent) return false;
  }
  return quote.timestamp.value >= 0 && quote.timestamp.value <= limits::kUnixMsMax;
}

class TableReaderTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kCapacity = TableWriter::kCapacity;

  ~TableReaderTest() override { std::filesystem::remove(path_); }

  using Writer = TableWriter;

  const std::string path_ = "/dev/shm/tickbridge-reader-test." + std::to_string(::getpid());
};

TEST_F(TableReaderTest, FindsAndLoads) {
  Writer writer(path_);
  writer.Quote("A", 100);
  const auto reader = TableReader::Open(path_);
  EXPECT_EQ(reader->Find("B"), kNoSymbol);
  writer.Quote("B", 200);
  Quote quote;
  ASSERT_EQ(reader->LoadQuote(reader->Find("B"), &quote), TableReader::Load::kOk);
  EXPECT_EQ(quote.Get(Field::kBid), (Decimal{200, -2}));
  EXPECT_EQ(reader->Name(reader->Find("B")), "B");
  EXPECT_EQ(reader->symbols(), 2u);
  writer.symbols.Insert("C");
  EXPECT_EQ(reader->TryLoad(reader->Find("C"), &quote), TableReader::Load::kNothing);
  EXPECT_EQ(reader->TryLoad(SymbolId{kCapacity}, &quote), TableReader::Load::kInvalid);
  EXPECT_EQ(reader->Name(SymbolId{3}), "");
}

TEST_F(TableReaderTest, KnowsWhoLives) {
  const MonoNs now = SystemClock::ReadMonotonic();
  auto writer = std::make_unique<Writer>(path_);
  writer->Quote("A", 100);
  const auto reader = TableReader::Open(path_);
  Quote quote;
  ASSERT_EQ(reader->LoadQuote(SymbolId{0}, &quote), TableReader::Load::kOk);
  EXPECT_GE(TableReader::AgeNs(quote, SystemClock::ReadMonotonic()), 0);
  EXPECT_TRUE(reader->SourceAgeNs(quote, now).has_value());
  writer->sources.Close(writer->source);
  EXPECT_FALSE(reader->SourceAgeNs(quote, now).has_value());
  EXPECT_EQ(reader->life(now), TableReader::Life::kAlive);
  EXPECT_EQ(reader->life(now + 10 * kNsPerSec), TableReader::Life::kSilent);
  writer.reset();
  EXPECT_EQ(reader->life(now), TableReader::Life::kClosed);
  EXPECT_EQ(reader->LoadQuote(SymbolId{0}, &quote), TableReader::Load::kOk) << "the last values stay";
  Writer(path_, kCapacity + 1, 2'000);
  EXPECT_EQ(reader->life(now), TableReader::Life::kSuperseded);
}

// As by a bridge that was killed before it could mark the old table, or after somebody removed the file.
TEST_F(TableReaderTest, KnowsThatItsTableWasReplacedWithoutAWord) {
  const MonoNs now = SystemClock::ReadMonotonic();
  const MonoNs later = now + 10 * kNsPerSec;
  auto writer = std::make_unique<Writer>(path_);
  const auto reader = TableReader::Open(path_);
  std::filesystem::remove(path_);
  EXPECT_EQ(reader->life(now), TableReader::Life::kAlive);
  EXPECT_EQ(reader->life(later), TableReader::Life::kSilent) << "there is no other one";
  Writer next(path_, kCapacity, 2'000);
  next.Quote("B", 200);
  EXPECT_EQ(reader->life(now), TableReader::Life::kAlive) << "its bridge still writes it";
  EXPECT_EQ(reader->life(later), TableReader::Life::kSuperseded);
  writer.reset();
  EXPECT_EQ(reader->life(now), TableReader::Life::kSuperseded);
  const auto again = TableReader::Open(path_);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->life(now), TableReader::Life::kAlive);
  EXPECT_NE(again->Find("B"), kNoSymbol);
}

TEST_F(TableReaderTest, IsTakenOverWithAllThatIsInIt) {
  uint64_t sequence = 0;
  {
    Writer writer(path_);
    const SymbolId id = writer.Quote("A", 100);
    sequence = writer.table.Sequence(id);
    writer.Quote("B", 100);
    writer.table.Dirty(id).store(1);
  }
  Writer writer(path_, kCapacity, 2'000);
  ASSERT_TRUE(writer.shared->adopted());
  EXPECT_EQ(writer.emptied, 0u);
  EXPECT_EQ(writer.symbols.size(), 2u);
  const SymbolId id = writer.symbols.Find("A");
  EXPECT_EQ(writer.table.Owner(id), kNoOwner);
  EXPECT_EQ(writer.table.Dirty(id).load(), 0u);
  EXPECT_TRUE(writer.table.Restored(id));
  EXPECT_EQ(writer.table.Sequence(id), sequence);
  writer.Quote("A", 300);
  const auto reader = TableReader::Open(path_);
  Quote quote;
  ASSERT_EQ(reader->LoadQuote(id, &quote), TableReader::Load::kOk);
  EXPECT_EQ(quote.sequence, sequence + 1);
  EXPECT_EQ(reader->generation(), 2'000u);
}

TEST_F(TableReaderTest, EmptiesWhatAWriterLeftHalfDone) {
  SharedTableLayout layout;
  {
    Writer writer(path_);
    writer.Quote("A", 100);
    writer.Quote("B", 100);
    layout = writer.shared->header().layout;
  }
  // As if it had died between the odd version and the even one.
  const int fd = ::open(path_.c_str(), O_RDWR);
  const uint64_t odd = 7;
  ASSERT_EQ(::pwrite(fd, &odd, sizeof(odd), static_cast<off_t>(layout.slots_offset)), 8);
  // And, in another slot, a number that cannot be.
  const int64_t huge = INT64_MAX;
  ASSERT_EQ(::pwrite(fd, &huge, sizeof(huge), static_cast<off_t>(layout.slots_offset + 192 + 32)), 8);
  ::close(fd);
  const auto reader = TableReader::Open(path_);
  Quote quote;
  EXPECT_EQ(reader->LoadQuote(SymbolId{0}, &quote), TableReader::Load::kBusy);
  EXPECT_EQ(reader->LoadQuote(SymbolId{1}, &quote), TableReader::Load::kInvalid);
  Writer writer(path_, kCapacity, 2'000);
  EXPECT_TRUE(writer.shared->adopted());
  EXPECT_EQ(writer.emptied, 2u);
  EXPECT_EQ(reader->LoadQuote(SymbolId{0}, &quote), TableReader::Load::kNothing);
  EXPECT_FALSE(writer.table.Restored(SymbolId{0})) << "what stands in Redis is still wanted";
}

TEST_F(TableReaderTest, RefusesWhatIsNoTableAndASecondWriter) {
  TableReader::OpenResult result{};
  std::string error;
  EXPECT_EQ(TableReader::Open(path_, &result, &error), nullptr);
  EXPECT_EQ(result, TableReader::OpenResult::kNotFound) << error;
  const Writer writer(path_);
  EXPECT_EQ(SharedTable::Open({path_, kCapacity, 2'000, {}}).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(SharedTable::Open({path_, kCapacity + 1, 2'000, {}}).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(TableReader::Open("/dev/null", &result, &error), nullptr);
  EXPECT_EQ(result, TableReader::OpenResult::kNoTable) << error;
  EXPECT_EQ(std::filesystem::status(path_).permissions(), std::filesystem::perms(0640));
}

TEST_F(TableReaderTest, RefusesAFileThatEverybodyMayWrite) {
  const Writer writer(path_);
  TableReader::OpenResult result{};
  std::string error;
  ASSERT_EQ(::chmod(path_.c_str(), 0666), 0);
  EXPECT_EQ(TableReader::Open(path_, &result, &error), nullptr);
  EXPECT_EQ(result, TableReader::OpenResult::kAnyoneWrites);
  EXPECT_NE(error.find("everybody may write it"), std::string::npos) << error;
  ASSERT_EQ(::chmod(path_.c_str(), 0660), 0);
  EXPECT_NE(TableReader::Open(path_, &result, &error), nullptr) << error;
}

TEST_F(TableReaderTest, TakesAsManyBytesAsItSays) {
  for (const uint32_t capacity : {1U, 100U, 65'536U}) {
    std::filesystem::remove(path_);
    const Writer writer(path_, capacity);
    EXPECT_EQ(std::filesystem::file_size(path_), SharedTable::FileBytes(capacity));
  }
  EXPECT_EQ(SharedTable::FileBytes(65'536), 34'672'640U);
}

TEST_F(TableReaderTest, WakesWhoWaits) {
  Writer writer(path_);
  const auto reader = TableReader::Open(path_);
  uint32_t epoch = writer.shared->header().epoch.load();
  EXPECT_FALSE(reader->WaitForChange(&epoch, kNsPerMs));
  std::thread waker([&] {
    writer.shared->header().epoch.fetch_add(1, std::memory_order_release);
    FutexWakeAll(&writer.shared->header().epoch);
  });
  EXPECT_TRUE(reader->WaitForChange(&epoch, 30 * kNsPerSec));
  waker.join();
  EXPECT_FALSE(reader->WaitForChange(&epoch, kNsPerMs));
}

// A sum of now and the timeout that left 64 bits would be a deadline anywhere. Should it be one, a change ends the wait
// for the past, so that the test fails and does not hang.
TEST_F(TableReaderTest, WaitsForAnyTimeout) {
  Writer writer(path_);
  const auto reader = TableReader::Open(path_);
  uint32_t epoch = writer.shared->header().epoch.load();
  const auto wake = [&] {
    writer.shared->header().epoch.fetch_add(1, std::memory_order_release);
    FutexWakeAll(&writer.shared->header().epoch);
  };
  std::atomic<bool> returned{false};
  std::thread rescuer([&] {
    const MonoNs deadline = SystemClock::ReadMonotonic() + 10 * kNsPerSec;
    while (!returned.load() && SystemClock::ReadMonotonic() < deadline) ::usleep(1'000);
    if (!returned.load()) wake();
  });
  EXPECT_FALSE(reader->WaitForChange(&epoch, INT64_MIN));
  returned = true;
  rescuer.join();
  std::thread waker(wake);
  EXPECT_TRUE(reader->WaitForChange(&epoch, INT64_MAX));
  waker.join();
}

// One writer without pause, two readers over a mapping of their own: what they load is never torn.
TEST_F(TableReaderTest, NeverShowsATornQuote) {
  Writer writer(path_);
  const SymbolId id = writer.Quote("A", 0);
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      const auto reader = TableReader::Open(path_);
      Quote quote;
      int64_t newest = 0;
      while (!done.load()) {
        if (reader->TryLoad(id, &quote) != TableReader::Load::kOk) continue;
        const int64_t bid = quote.Get(Field::kBid).mantissa;
        ASSERT_EQ(quote.Get(Field::kAsk).mantissa, bid + 1);
        ASSERT_EQ(quote.Get(Field::kLow).mantissa, bid);
        ASSERT_GE(bid, newest);
        newest = bid;
      }
    });
  }
  for (int64_t i = 1; i < 300'000; ++i) writer.Quote("A", i);
  done = true;
  for (std::thread& reader : readers) reader.join();
}

// A writer without pause: each load succeeds, is whole, and is not older than what was there when it began. The number
// of the newest merge is published before the load, as another thread of a strategy might have seen it.
TEST_F(TableReaderTest, IsNotStarvedByAWriterWithoutPause) {
  Writer writer(path_);
  const SymbolId id = writer.Quote("A", 0);
  std::atomic<int64_t> newest{0};
  std::atomic<bool> done{false};
  std::thread reading([&] {
    const auto reader = TableReader::Open(path_);
    Quote quote;
    for (int i = 0; i < 20'000; ++i) {
      const int64_t before = newest.load(std::memory_order_acquire);
      // Busy only where the scheduler puts the writer aside within a write.
      while (reader->LoadQuote(id, &quote) != TableReader::Load::kOk) std::this_thread::yield();
      const int64_t bid = quote.Get(Field::kBid).mantissa;
      ASSERT_EQ(quote.Get(Field::kAsk).mantissa, bid + 1);
      ASSERT_EQ(quote.Get(Field::kLow).mantissa, bid);
      ASSERT_GE(bid, before);
    }
    done = true;
  });
  for (int64_t i = 1; !done.load(std::memory_order_relaxed) && !HasFailure(); ++i) {
    writer.Quote("A", i);
    newest.store(i, std::memory_order_release);
  }
  reading.join();
}

// The slot as a writer left it that was killed in the middle of a write, or while it copied the slot: what the snapshot
// shows is taken only where it is not older than the slot.
TEST_F(TableReaderTest, ReadsTheSnapshotOnlyWhereItIsNotOlder) {
  SharedTableLayout layout;
  Writer writer(path_);
  layout = writer.shared->header().layout;
  SymbolId id{};
  for (uint64_t i = 1; i <= LatestTable::kSnapshotEvery; ++i) id = writer.Quote("A", static_cast<int64_t>(i));
  const auto reader = TableReader::Open(path_);
  const int fd = ::open(path_.c_str(), O_RDWR);
  const auto put = [&](uint64_t offset, uint64_t word) {
    ASSERT_EQ(::pwrite(fd, &word, sizeof(word), static_cast<off_t>(offset)), 8);
  };
  uint64_t version = 0;
  ASSERT_EQ(::pread(fd, &version, sizeof(version), static_cast<off_t>(layout.slots_offset)), 8);
  ASSERT_EQ(version, 2 * LatestTable::kSnapshotEvery);
  Quote quote;
  // In the middle of the next write: the snapshot is as new as the slot was.
  put(layout.slots_offset, version + 1);
  EXPECT_EQ(reader->TryLoad(id, &quote), TableReader::Load::kBusy);
  ASSERT_EQ(reader->LoadQuote(id, &quote), TableReader::Load::kOk);
  EXPECT_EQ(quote.Get(Field::kBid).mantissa, static_cast<int64_t>(LatestTable::kSnapshotEvery));
  // In the middle of the one after it: it is older.
  put(layout.slots_offset, version + 3);
  EXPECT_EQ(reader->LoadQuote(id, &quote), TableReader::Load::kBusy);
  // In the middle of copying: the slot is whole, and nobody reads the copy.
  put(layout.slots_offset, version);
  put(layout.snapshots_offset, version - 1);
  EXPECT_EQ(reader->LoadQuote(id, &quote), TableReader::Load::kOk);
  put(layout.slots_offset, version + 1);
  EXPECT_EQ(reader->LoadQuote(id, &quote), TableReader::Load::kBusy);
  // What somebody scribbled there does not outlive the next bridge.
  put(layout.snapshots_offset, UINT64_MAX - 1);
  EXPECT_EQ(reader->LoadQuote(id, &quote), TableReader::Load::kOk) << "a lie that only the file's owner can tell";
  EXPECT_FALSE(writer.table.Salvage(id, true));
  EXPECT_EQ(reader->LoadQuote(id, &quote), TableReader::Load::kNothing);
  ::close(fd);
}

// The same of its very first write: there is nothing older to show.
TEST_F(TableReaderTest, ShowsNothingWhileTheFirstTickIsWritten) {
  Writer writer(path_);
  const SymbolId id = writer.Quote("A", 1);
  const auto reader = TableReader::Open(path_);
  const int fd = ::open(path_.c_str(), O_RDWR);
  const uint64_t first = 1;
  ASSERT_EQ(::pwrite(fd, &first, sizeof(first), static_cast<off_t>(writer.shared->header().layout.slots_offset)), 8);
  Quote quote;
  EXPECT_EQ(reader->TryLoad(id, &quote), TableReader::Load::kBusy);
  EXPECT_EQ(reader->LoadQuote(id, &quote), TableReader::Load::kBusy);
  ::close(fd);
}

TEST_F(TableReaderTest, CannotWrite) {
  const Writer writer(path_);
  const auto reader = TableReader::Open(path_);
  // How the kernel has it mapped: once by the writer, once by the reader.
  std::ifstream maps("/proc/self/maps");
  int read_only = 0;
  int writable = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(path_) == std::string::npos) continue;
    ++(line.find(" r--s ") != std::string::npos ? read_only : writable);
  }
  EXPECT_EQ(read_only, 1);
  EXPECT_EQ(writable, 1);
}

TEST_F(TableReaderTest, BelongsToWhomTheConfigurationSays) {
  if (::geteuid() != 0) GTEST_SKIP() << "not root: only root may give a file away";
  const Ownership to = *FindOwnership("nobody", "nogroup");
  const mode_t before = ::umask(077);
  const auto shared = *SharedTable::Open({path_, kCapacity, 1'000, to});
  ::umask(before);
  struct stat info{};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, to.owner);
  EXPECT_EQ(info.st_gid, to.group);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
}

TEST(Ownership, RefusesNamesThatThereAreNot) {
  EXPECT_EQ(FindOwnership("no-such-user", "").status(), absl::NotFoundError("there is no user \"no-such-user\""));
  EXPECT_EQ(FindOwnership("", "no-such-group").status(), absl::NotFoundError("there is no group \"no-such-group\""));
  EXPECT_TRUE(FindOwnership("nobody", "0").ok());
}

// Who may not give files away is told so, and leaves no file behind.
TEST_F(TableReaderTest, SaysThatItMayNotGiveTheFileAway) {
  const Ownership root{.owner = 0, .group = 0};
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && (::setgroups(0, nullptr) != 0 || ::setgid(65'534) != 0 || ::setuid(65'534) != 0)) {
      ::_exit(100);
    }
    const absl::Status status = SharedTable::Open({path_, kCapacity, 1'000, root}).status();
    const bool said = status.code() == absl::StatusCode::kPermissionDenied &&
                      status.message().find("cannot give to user 0 and group 0") != std::string_view::npos;
    ::_exit(said ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    EXPECT_FALSE(entry.path().string().starts_with(path_)) << entry.path();
  }
}

// As another user: its group reads, others do not, nobody but the owner writes.
TEST_F(TableReaderTest, ShowsItselfToItsGroupOnly) {
  if (::geteuid() != 0) GTEST_SKIP() << "not root: only root may become somebody else";
  for (const bool member : {true, false}) {
    std::filesystem::remove(path_);
    const Ownership nobody = *FindOwnership("nobody", "nogroup");
    Ownership ownership;
    if (member) ownership.group = nobody.group;
    Writer writer(path_, kCapacity, 1'000, ownership);
    writer.Quote("A", 1);
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setgroups(0, nullptr) != 0 || ::setgid(nobody.group) != 0 || ::setuid(nobody.owner) != 0) ::_exit(100);
      if (::open(path_.c_str(), O_RDWR) >= 0) ::_exit(101);
      TableReader::OpenResult result{};
      const auto reader = TableReader::Open(path_, &result);
      ::_exit(static_cast<int>(result));
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status),
              static_cast<int>(member ? TableReader::OpenResult::kOk : TableReader::OpenResult::kNotPermitted));
  }
}

// Whatever stands behind the header's layout, a reader neither crashes nor runs on for ever; nor does the next bridge.
TEST_F(TableReaderTest, ABridgeGoesOnWithNoFileOfAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make a file another user's";
  Writer(path_).Quote("A", 1);
  constexpr uid_t kSomebody = 65'533;
  ASSERT_EQ(::chown(path_.c_str(), kSomebody, ::getegid()), 0);
  SharedTable::Options options{path_, kCapacity, 2'000};
  const absl::Status refused = SharedTable::Open(options).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_NE(refused.message().find("belongs to user 65533"), std::string_view::npos) << refused.message();
  options.ownership.owner = kSomebody;
  const auto given = SharedTable::Open(options);
  ASSERT_TRUE(given.ok()) << given.status().message();
  EXPECT_TRUE((*given)->adopted());
}

TEST_F(TableReaderTest, BelievesNothingThatIsScribbled) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 50; ++round) {
    std::filesystem::remove(path_);
    auto writer = std::make_unique<Writer>(path_);
    for (int i = 0; i < 20; ++i) writer->Quote("S" + std::to_string(i), i);
    const auto reader = TableReader::Open(path_);
    const uint64_t bytes = writer->shared->header().layout.sources_offset;
    const int fd = ::open(path_.c_str(), O_RDWR);
    for (int i = 0; i < 2'000; ++i) {
      const uint64_t word = random();
      const uint64_t at = sizeof(SharedTableLayout) + random() % (bytes - sizeof(SharedTableLayout) - 8);
      ASSERT_EQ(::pwrite(fd, &word, 8, static_cast<off_t>(at)), 8);
    }
    ::close(fd);
    Quote quote;
    for (uint32_t id = 0; id < kCapacity + 10; ++id) {
      EXPECT_LE(reader->Name(SymbolId{id}).size(), SymbolTable::kNameBytes);
      const TableReader::Load load = reader->LoadQuote(SymbolId{id}, &quote);
      EXPECT_TRUE(load != TableReader::Load::kOk || InRange(quote));
      reader->SourceAgeNs(quote, SystemClock::ReadMonotonic());
    }
    for (int i = 0; i < 30; ++i) {
      const SymbolId id = reader->Find("S" + std::to_string(i));
      EXPECT_TRUE(id == kNoSymbol || reader->Name(id) == "S" + std::to_string(i));
    }
    reader->life(SystemClock::ReadMonotonic());
    // The bridge itself goes on: by what it knows.
    for (int i = 0; i < 20; ++i) {
      const std::string name = "S" + std::to_string(i);
      EXPECT_EQ(writer->symbols.Find(name), SymbolId{static_cast<uint32_t>(i)});
      EXPECT_EQ(writer->symbols.Name(writer->Quote(name, 5)), name);
    }
    EXPECT_EQ(writer->symbols.Find("UNKNOWN"), kNoSymbol);
    EXPECT_EQ(writer->Quote("LATE", 5), SymbolId{20});
    writer.reset();
    Writer next(path_, kCapacity, 2'000);
    next.Quote("NEW", 7);
    const auto again = TableReader::Open(path_);
    ASSERT_NE(again, nullptr);
    ASSERT_EQ(again->LoadQuote(again->Find("NEW"), &quote), TableReader::Load::kOk);
    EXPECT_EQ(quote.Get(Field::kBid).mantissa, 7);
  }
}

}  // namespace
}  // namespace tickbridge
