// SPDX-License-Identifier: Apache-2.0
// The shared table from both sides: one writer, readers over their own read-only mapping.
#include "sink/table_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/futex.h"

namespace tickbridge {
namespace {

class TableReaderTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kCapacity = 100;

  ~TableReaderTest() override { std::filesystem::remove(path_); }

  // A bridge's part of it.
  struct Writer {
    explicit Writer(const std::string& path, uint32_t capacity = kCapacity, uint64_t generation = 1'000)
        : shared(*SharedTable::Open({path, capacity, generation})),
          symbols(capacity, shared->symbol_storage()),
          table(shared->table_options()),
          sources(shared->source_cells()) {
      if (shared->adopted()) emptied = shared->Salvage(&table, symbols);
      shared->GoLive(SystemClock::ReadMonotonic());
      source = sources.Open(kNsPerSec, SystemClock::ReadMonotonic());
    }
    SymbolId Quote(std::string_view symbol, int64_t bid) {
      const SymbolId id = symbols.Insert(symbol);
      table.Claim(id, OwnerId{1});
      Tick tick;
      tick.Set(Field::kBid, {bid, -2});
      tick.Set(Field::kAsk, {bid + 1, -2});
      table.Merge(id, tick, {SystemClock::ReadMonotonic(), {}, source});
      return id;
    }
    std::unique_ptr<SharedTable> shared;
    SymbolTable symbols;
    LatestTable table;
    SourceTable sources;
    SourceId source{};
    uint32_t emptied = 0;
  };

  const std::string path_ = "/dev/shm/tickbridge-reader-test." + std::to_string(::getpid());
};

TEST_F(TableReaderTest, FindsAndLoads) {
  Writer writer(path_);
  writer.Quote("A", 100);
  const auto reader = *TableReader::Open(path_);
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
  const auto reader = *TableReader::Open(path_);
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
  const auto reader = *TableReader::Open(path_);
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
  ASSERT_EQ(::pwrite(fd, &huge, sizeof(huge), static_cast<off_t>(layout.slots_offset + 192 + 72)), 8);
  ::close(fd);
  const auto reader = *TableReader::Open(path_);
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
  EXPECT_EQ(TableReader::Open(path_).status().code(), absl::StatusCode::kNotFound);
  const Writer writer(path_);
  EXPECT_EQ(SharedTable::Open({path_, kCapacity, 2'000}).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(SharedTable::Open({path_, kCapacity + 1, 2'000}).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(TableReader::Open("/dev/null").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::filesystem::status(path_).permissions(), std::filesystem::perms(0640));
}

TEST_F(TableReaderTest, WakesWhoWaits) {
  Writer writer(path_);
  const auto reader = *TableReader::Open(path_);
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

// One writer without pause, two readers over a mapping of their own: what they load is never torn.
TEST_F(TableReaderTest, NeverShowsATornQuote) {
  Writer writer(path_);
  const SymbolId id = writer.Quote("A", 0);
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      const auto reader = *TableReader::Open(path_);
      Quote quote;
      int64_t newest = 0;
      while (!done.load()) {
        if (reader->TryLoad(id, &quote) != TableReader::Load::kOk) continue;
        const int64_t bid = quote.Get(Field::kBid).mantissa;
        ASSERT_EQ(quote.Get(Field::kAsk).mantissa, bid + 1);
        ASSERT_GE(bid, newest);
        newest = bid;
      }
    });
  }
  for (int64_t i = 1; i < 300'000; ++i) writer.Quote("A", i);
  done = true;
  for (std::thread& reader : readers) reader.join();
}

}  // namespace
}  // namespace tickbridge
