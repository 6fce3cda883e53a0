// SPDX-License-Identifier: Apache-2.0
// Goal: no record of a ring is lost, torn, doubled or invented, between threads and between processes; whatever is
// refused by a full ring comes to the same in the bridge; and each way in which a ring can be damaged ends as its
// header says. Method: checksummed streams through the real writer and reader; random ticks through a real Publisher
// with a tiny ring, against a LatestTable that gets every tick; and files that are cut, scribbled over and replaced by
// hand. The watch is stepped by hand, so that nothing depends on time.
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/log.h"
#include "feed/publisher.h"
#include "feed/ring_feed.h"
#include "tests/core_fixture.h"
#include "tests/feed/test_files.h"
#include "tests/sanitized.h"

namespace tickbridge {
namespace {

constexpr uint32_t kNumbers = 64;

RingFileOptions SmallRing(const std::string& path, uint64_t bytes = kRingDataBytesMin) {
  RingFileOptions options;
  options.ring = path;
  options.max_symbols = kNumbers;
  options.data_bytes = bytes;
  return options;
}

std::unique_ptr<Publisher> OpenPublisher(const std::string& path, bool guard = false) {
  Publisher::Options options;
  options.file = SmallRing(path);
  options.guard_sigbus = guard;
  RingError error;
  std::unique_ptr<Publisher> publisher = Publisher::Open(options, &error);
  EXPECT_NE(publisher, nullptr) << error.message;
  return publisher;
}

RingError PublisherError(const RingFileOptions& file) {
  Publisher::Options options;
  options.file = file;
  RingError error;
  EXPECT_EQ(Publisher::Open(options, &error), nullptr);
  return error;
}

RingError BridgeError(const std::string& path) {
  RingError error;
  EXPECT_EQ(RingFile::OpenForBridge(path, &error), nullptr);
  return error;
}

void Overwrite(const std::string& path, size_t offset, const std::string& bytes) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)), static_cast<ssize_t>(bytes.size()));
  ::close(fd);
}

Tick QuoteOf(int64_t n, uint64_t time_ns = 0) {
  Tick tick;
  tick.Set(Field::kBid, {n, -2});
  tick.Set(Field::kAsk, {n + 1, -2});
  tick.quote_time.value = time_ns;
  return tick;
}

// ---- The ring itself ----

uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// The n-th record of the stream: every value and time is a function of n, so each record is its own checksum.
Tick StreamTick(uint64_t n) {
  Tick tick;
  const auto value = [&](uint64_t salt) { return static_cast<int64_t>(Mix(n * 16 + salt) % 1'000'000'000'000); };
  const auto exponent = static_cast<int8_t>(Mix(n) % 37 - 18);
  if (n % 3 != 1) {
    for (const Field field : {Field::kBid, Field::kAsk, Field::kBidSize, Field::kAskSize}) {
      tick.Set(field, {value(Index(field)), exponent});
    }
    tick.quote_time.value = n + 1;
  }
  if (n % 3 != 0) {
    tick.Set(Field::kLast, {value(Index(Field::kLast)), exponent});
    tick.Set(Field::kLastSize, {value(Index(Field::kLastSize)), exponent});
    tick.trade_time.value = n + 1;
  }
  if (n % 97 == 0) tick.Clear(Field::kAsk);
  return tick;
}

bool IsSame(const Tick& a, const Tick& b) {
  if (a.given != b.given || a.cleared != b.cleared || a.quote_time != b.quote_time || a.trade_time != b.trade_time) {
    return false;
  }
  for (size_t i = 0; i < kFieldCount; ++i) {
    if ((a.given >> i & 1) == 0) continue;
    if (a.value[i].mantissa != b.value[i].mantissa || a.value[i].exponent != b.value[i].exponent) return false;
  }
  return true;
}

// A document now and then, so that records have all lengths.
std::string StreamText(uint64_t n) { return std::string(n % 700, static_cast<char>('a' + n % 26)); }
bool IsText(uint64_t n) { return n % 1009 == 5; }

void WriteStream(RingFile* file, uint64_t count) {
  RingWriter writer(&file->header(), file->data(), file->layout().data_bytes);
  for (uint64_t n = 0; n < count; ++n) {
    const std::string text = IsText(n) ? StreamText(n) : "";
    const Tick tick = IsText(n) ? Tick() : StreamTick(n);
    const uint64_t lines = IsText(n) ? RingLinesOfText(text.size()) : RingLinesOf(RingTypeOf(tick));
    while (!writer.HasRoom(lines)) std::this_thread::yield();
    if (IsText(n)) {
      writer.WriteLine(text.data(), text.size(), static_cast<uint32_t>(n), false);
    } else {
      writer.Write(RingTypeOf(tick), static_cast<uint32_t>(n % kNumbers), tick, static_cast<uint32_t>(n), n % 5 == 0);
    }
    writer.Publish();
  }
}

// The number of the first record that is not as it was written; `count` if all are.
uint64_t ReadStream(RingFile* file, uint64_t count) {
  RingReader reader(&file->header(), file->data(), file->layout().data_bytes);
  RingReader::Record record;
  RingReader::TickRecord got;
  std::vector<char> text(4096);
  for (uint64_t n = 0; n < count; ++n) {
    RingReader::Look look;
    while ((look = reader.Next(&record)) == RingReader::Look::kEmpty) std::this_thread::yield();
    if (look != RingReader::Look::kRecord) return n;
    if (IsText(n)) {
      size_t bytes;
      uint32_t stamp;
      bool late;
      if (record.type != RingRecordType::kLine || !RingReader::ReadLine(record, text.data(), &bytes, &stamp, &late) ||
          std::string(text.data(), bytes) != StreamText(n) || stamp != static_cast<uint32_t>(n)) {
        return n;
      }
    } else {
      if (record.type == RingRecordType::kLine || RingReader::ReadTick(record, &got) != RingReader::Problem::kNone ||
          got.number != n % kNumbers || got.stamp != static_cast<uint32_t>(n) || got.late != (n % 5 == 0) ||
          !IsSame(got.tick, StreamTick(n))) {
        return n;
      }
    }
    reader.Release(record);
  }
  return count;
}

TEST(Ring, LosesAndTearsNothingBetweenThreads) {
  const TempDir folder;
  const std::string path = folder.Path("a.ring");
  RingError error;
  const auto writing = RingFile::OpenForPublisher(SmallRing(path), false, &error);
  ASSERT_NE(writing, nullptr) << error.message;
  const auto reading = RingFile::OpenForBridge(path, &error);
  ASSERT_NE(reading, nullptr) << error.message;
  const uint64_t count = kSanitized ? 300'000 : 5'000'000;
  // Both through one mapping: ThreadSanitizer tells accesses apart by address.
  std::thread writer([&] { WriteStream(writing.get(), count); });
  EXPECT_EQ(ReadStream(writing.get(), count), count);
  writer.join();
}

TEST(Ring, LosesAndTearsNothingBetweenProcesses) {
  const TempDir folder;
  const std::string path = folder.Path("a.ring");
  const bool long_run = std::getenv("TICKBRIDGE_LONG") != nullptr;
  const uint64_t count = kSanitized ? 200'000 : long_run ? 1'000'000'000 : 100'000'000;
  RingError error;
  auto writing = RingFile::OpenForPublisher(SmallRing(path, uint64_t{1} << 20), false, &error);
  ASSERT_NE(writing, nullptr) << error.message;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    WriteStream(writing.get(), count);
    ::_exit(0);
  }
  const auto reading = RingFile::OpenForBridge(path, &error);
  ASSERT_NE(reading, nullptr) << error.message;
  EXPECT_EQ(ReadStream(reading.get(), count), count);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(Ring, OfAWriterThatStopsInTheMiddleNothingIsSeen) {
  const TempDir folder;
  RingError error;
  const auto file = RingFile::OpenForPublisher(SmallRing(folder.Path("a.ring")), false, &error);
  RingReader reader(&file->header(), file->data(), file->layout().data_bytes);
  {
    RingWriter writer(&file->header(), file->data(), file->layout().data_bytes);
    writer.Write(RingRecordType::kQuote, 0, QuoteOf(1), 0, false);  // and never Publish
  }
  RingReader::Record record;
  EXPECT_EQ(reader.Next(&record), RingReader::Look::kEmpty);
  RingWriter again(&file->header(), file->data(), file->layout().data_bytes);
  again.Write(RingRecordType::kQuote, 7, QuoteOf(2), 0, false);
  again.Publish();
  ASSERT_EQ(reader.Next(&record), RingReader::Look::kRecord);
  RingReader::TickRecord tick;
  EXPECT_EQ(RingReader::ReadTick(record, &tick), RingReader::Problem::kNone);
  EXPECT_EQ(tick.number, 7u);
}

TEST(Ring, ItsSizeIsBelievedOnceAndNotAgain) {
  const TempDir folder;
  RingError error;
  const auto writing = RingFile::OpenForPublisher(SmallRing(folder.Path("a.ring")), false, &error);
  auto reading = RingFile::OpenForBridge(folder.Path("a.ring"), &error);
  ASSERT_NE(reading, nullptr) << error.message;
  // Somebody says after the check that the ring is far larger, and that a record lies beyond the mapping.
  RingHeader& header = writing->header();
  header.layout.data_bytes = uint64_t{1} << 46;
  header.head = uint64_t{1} << 40;
  header.tail = (uint64_t{1} << 40) + kRingLineBytes;
  RingWatch::Ring ring(std::move(reading));
  RingReader::Record record;
  EXPECT_EQ(ring.reader.Next(&record), RingReader::Look::kBroken);
  RingWriter writer(&header, writing->data(), writing->layout().data_bytes);
  writer.Write(RingRecordType::kQuote, 7, QuoteOf(2), 0, false);
  writer.Publish();
  ring.reader.Skip();
  EXPECT_EQ(ring.reader.Next(&record), RingReader::Look::kRecord);
}

TEST(Ring, StampsSayTheTimeAlsoWhereTheyWrap) {
  for (const int64_t now : {int64_t{5} << 50, (int64_t{1} << 52) + 1000, int64_t{12345}}) {
    for (const int64_t age : {int64_t{0}, kNsPerMs * 5, kNsPerSec * 100, kNsPerSec * 86'400 * 30}) {
      if (age > now) continue;
      const MonoNs stamped = RingStampTime(RingStamp(MonoNs{now - age}), MonoNs{now});
      EXPECT_LE(std::abs(stamped.value - (now - age)), int64_t{1} << 20) << now << " " << age;
      EXPECT_LE(stamped.value, now);
    }
  }
  EXPECT_EQ(RingStampTime(RingStamp(MonoNs{kNsPerSec * 10}), MonoNs{kNsPerSec}).value, kNsPerSec);
}

// ---- What a full ring refuses ----

// A feed over rings, stepped by hand. Its clock is the machine's, as the publisher's is.
class Reader {
 public:
  explicit Reader(const std::string& path, const std::string& folder = "")
      : ingest_(core.MakeIngest({.feed = "ring"})) {
    RingFeed::Options options;
    options.path = path;
    options.folder = folder;
    options.own_thread = false;
    feed = *RingFeed::Open(options, ingest_.get(), core.counters.get());
    Tell();
    feed->watch().Look();
  }
  void Tell() { core.clock.Set(MonoNs{std::chrono::steady_clock::now().time_since_epoch().count()}); }
  int Step() {
    Tell();
    return feed->DoWork();
  }
  void Drain() {
    while (Step() != 0) {
    }
  }
  uint64_t rejected(RejectReason reason) { return ingest_->counts().rejected[static_cast<size_t>(reason)]->Get(); }
  uint64_t accepted() { return ingest_->counts().accepted->Get(); }
  uint64_t control() { return ingest_->counts().control->Get(); }

  CoreFixture core;

 private:
  std::unique_ptr<Ingest> ingest_;

 public:
  std::unique_ptr<RingFeed> feed;
};

class RandomTicks {
 public:
  explicit RandomTicks(uint64_t seed) : random_(seed) {}
  uint64_t Below(uint64_t n) { return random_() % n; }
  Decimal Value() {
    return {static_cast<int64_t>(Below(Below(200) == 0 ? 900'000'000'000'000'000 : 100'000)),
            static_cast<int8_t>(-static_cast<int>(Below(4)))};
  }
  Tick Next(uint32_t symbol) {
    Tick tick;
    const bool times = symbol % 3 != 0;   // a venue stamps always or never
    const bool counts = symbol % 4 == 1;  // and gives its own sums, or does not
    const auto maybe = [&](Field field, uint64_t per_ten) {
      if (Below(10) >= per_ten) return;
      if (Below(8) == 0) {
        tick.Clear(field);
      } else {
        tick.Set(field, Value());
      }
    };
    if (Below(2) == 0) {
      for (const Field field : {Field::kBid, Field::kAsk, Field::kBidSize, Field::kAskSize}) maybe(field, 6);
    }
    if (Below(2) == 0) {
      maybe(Field::kLast, 8);
      maybe(Field::kLastSize, 7);
      if (counts || Below(40) == 0) {
        for (const Field field : {Field::kVolume, Field::kHigh, Field::kLow}) maybe(field, 3);
      }
    }
    if (times) {
      // Now and then one that is late.
      clock_ += Below(3) * kNsPerMs;
      tick.quote_time.value = kBegin + clock_ - (Below(10) == 0 ? Below(20) * kNsPerMs : 0);
      tick.trade_time.value = kBegin + clock_ - (Below(10) == 0 ? Below(20) * kNsPerMs : 0);
    }
    if (Below(30) == 0) {
      tick.has_status = true;
      tick.status = static_cast<Status>(Below(4));
    }
    return tick;
  }
  static constexpr uint64_t kBegin = 1'700'000'000'000'000'000;

 private:
  std::mt19937_64 random_;
  uint64_t clock_ = 1'000'000'000;
};

std::string Shown(const LatestTable& table, SymbolId id, bool times) {
  Quote quote;
  EXPECT_TRUE(table.TryLoad(id, &quote));
  std::string text;
  for (size_t i = 0; i < kFieldCount; ++i) text += FieldText(quote, static_cast<Field>(i)) + " ";
  text += std::to_string(static_cast<int>(quote.status));
  if (times) {
    text += " " + std::to_string(quote.timestamp.value) + " " + std::to_string(quote.quote_time.value) + " " +
            std::to_string(quote.trade_time.value);
  }
  return text;
}

TEST(Publisher, WhatAFullRingRefusesComesToTheSame) {
  const uint64_t first_seed = std::random_device()();
  const int runs = kSanitized ? 20 : 200;
  for (int run = 0; run < runs; ++run) {
    const uint64_t seed = first_seed + static_cast<uint64_t>(run);
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomTicks random(seed);
    const TempDir folder;
    const auto publisher = OpenPublisher(folder.Path("a.ring"));
    Reader reader(folder.Path("a.ring"));
    constexpr uint32_t kSymbols = 12;
    LatestTable model({kSymbols, 0});
    for (uint32_t i = 0; i < kSymbols; ++i) ASSERT_EQ(publisher->Declare("S" + std::to_string(i)), i);
    uint64_t handed = 0;
    for (int burst = 0; burst < 4; ++burst) {
      // More than the ring takes (1024 lines), so that much is refused; read from in between, now and then.
      const uint64_t ticks = random.Below(3000);
      for (uint64_t i = 0; i < ticks; ++i) {
        const auto symbol = static_cast<uint32_t>(random.Below(kSymbols));
        ++handed;
        if (random.Below(50) == 0) {
          model.Reset(SymbolId{symbol});
          ASSERT_GE(static_cast<int>(publisher->Reset(symbol)), 0);
          continue;
        }
        const Tick tick = random.Next(symbol);
        model.Merge(SymbolId{symbol}, tick, {});
        ASSERT_GE(static_cast<int>(publisher->Publish(symbol, tick)), 0);
        if (random.Below(1500) == 0) {
          for (uint64_t steps = random.Below(3); steps != 0; --steps) reader.Step();
        }
      }
    }
    for (int i = 0; i < 4; ++i) {
      reader.Drain();
      publisher->Heartbeat();
    }
    reader.Drain();
    const Publisher::Counts counts = publisher->counts();
    EXPECT_EQ(counts.pending, 0u);
    EXPECT_EQ(counts.refused, counts.late + counts.conflated);
    EXPECT_EQ(counts.published + counts.refused, handed);
    for (uint32_t symbol = 0; symbol < kSymbols; ++symbol) {
      const SymbolId id = reader.core.symbols.Find("S" + std::to_string(symbol));
      if (id == kNoSymbol) continue;
      // Without a venue time the Timestamp is when it was received.
      ASSERT_EQ(Shown(reader.core.table, id, symbol % 3 != 0), Shown(model, SymbolId{symbol}, symbol % 3 != 0))
          << "symbol " << symbol;
    }
  }
}

TEST(Publisher, TheNewestArrivesByTheHeartbeat) {
  const TempDir folder;
  const auto publisher = OpenPublisher(folder.Path("a.ring"));
  for (uint32_t i = 0; i < 4; ++i) publisher->Declare("S" + std::to_string(i));
  int64_t n = 0;
  while (publisher->Publish(static_cast<uint32_t>(n % 4), QuoteOf(n)) == Publisher::Result::kPublished) ++n;
  for (int i = 0; i < 1000; ++i, ++n)
    EXPECT_EQ(publisher->Publish(static_cast<uint32_t>(n % 4), QuoteOf(n)), Publisher::Result::kKept);
  EXPECT_EQ(publisher->counts().pending, 4u);
  Reader reader(folder.Path("a.ring"));
  reader.Drain();
  publisher->Heartbeat();
  reader.Drain();
  EXPECT_EQ(publisher->counts().pending, 0u);
  for (int64_t i = n - 4; i < n; ++i) {
    const auto quote = reader.core.Find("S" + std::to_string(i % 4));
    ASSERT_TRUE(quote.has_value());
    EXPECT_EQ(quote->Get(Field::kBid).mantissa, i);
  }
}

TEST(Publisher, OfRefusedDocumentsTheNewestArrives) {
  const TempDir folder;
  const auto publisher = OpenPublisher(folder.Path("a.ring"));
  const std::pair<std::string_view, std::string_view> account{"account", "PA\"1"};
  Publisher::Document document;
  document.key_class = "positions";
  document.fields = {&account, 1};
  int n = 0;
  Publisher::Result result;
  do {
    const std::string value = std::to_string(++n);
    document.value = value;
    result = publisher->PublishDocument(document);
  } while (n < 5000 || result == Publisher::Result::kPublished);
  EXPECT_EQ(result, Publisher::Result::kKept);
  document.value = "\"the newest\"";
  publisher->PublishDocument(document);
  EXPECT_EQ(publisher->counts().pending, 1u);
  Reader reader(folder.Path("a.ring"));
  reader.Drain();
  publisher->Heartbeat();
  reader.Drain();
  const auto taken = reader.core.TakeDocuments();
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].document->key, "hft:positions:PA\"1:all");
  EXPECT_EQ(taken[0].document->value, "\"the newest\"");
  document.value = "not JSON";
  EXPECT_EQ(publisher->PublishDocument(document), Publisher::Result::kPublished);
  reader.Drain();
  EXPECT_EQ(reader.rejected(RejectReason::kMalformed), 1u);
  const std::string large(20'000, '1');
  document.value = large;
  EXPECT_EQ(publisher->PublishDocument(document), Publisher::Result::kInvalid) << "more than a quarter of the ring";
}

// Fields that are no part of the key (a channel's) may differ, or come in another order: the newest wins all the same.
TEST(Publisher, RefusedDocumentsAreNotOvertakenByOlderOnes) {
  const TempDir folder;
  const auto publisher = OpenPublisher(folder.Path("a.ring"));
  publisher->Declare("S");
  const auto put = [&](std::string_view venue, std::string_view value) {
    const std::array<std::pair<std::string_view, std::string_view>, 2> fields = {{{"account", "A"}, {"venue", venue}}};
    return publisher->PublishDocument({.key_class = "positions", .fields = fields, .value = value});
  };
  while (publisher->Publish(0, QuoteOf(1)) == Publisher::Result::kPublished) {
  }
  EXPECT_EQ(put("1", "1"), Publisher::Result::kKept);
  EXPECT_EQ(put("2", "2"), Publisher::Result::kKept);
  EXPECT_EQ(put("1", "3"), Publisher::Result::kKept);
  Reader reader(folder.Path("a.ring"));
  reader.Drain();
  publisher->Heartbeat();
  reader.Drain();
  auto taken = reader.core.TakeDocuments();
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].document->value, "3");

  // One that is handed while others wait goes behind all of them.
  while (publisher->Publish(0, QuoteOf(1)) == Publisher::Result::kPublished) {
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(put(std::to_string(i), "\"old\""), Publisher::Result::kKept);
  reader.Drain();
  EXPECT_EQ(put("new", "\"new\""), Publisher::Result::kPublished);
  publisher->Heartbeat();
  reader.Drain();
  taken = reader.core.TakeDocuments();
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].document->value, "\"new\"");
}

// A publisher that is faster than the bridge for good: the symbols that wait never come to an end.
TEST(Publisher, DocumentsArriveAlsoWhileTheRingIsAlwaysFull) {
  const TempDir folder;
  Publisher::Options options;
  options.file = SmallRing(folder.Path("a.ring"));
  options.file.max_symbols = 4096;
  RingError error;
  const auto publisher = Publisher::Open(options, &error);
  ASSERT_NE(publisher, nullptr) << error.message;
  for (uint32_t i = 0; i < 4096; ++i) publisher->Declare("S" + std::to_string(i));
  const auto all = [&] {
    for (uint32_t i = 0; i < 4096; ++i) publisher->Publish(i, QuoteOf(1));
  };
  Reader reader(folder.Path("a.ring"));
  all();
  const std::pair<std::string_view, std::string_view> account{"account", "A"};
  EXPECT_EQ(publisher->PublishDocument({.key_class = "positions", .fields = {&account, 1}, .value = "1"}),
            Publisher::Result::kKept);
  for (int i = 0; i < 20; ++i) {
    reader.Drain();
    all();
  }
  EXPECT_EQ(reader.core.TakeDocuments().size(), 1u);
}

TEST(Publisher, TakesNoDocumentWhoseValueLeavesItsPlace) {
  const TempDir folder;
  const auto publisher = OpenPublisher(folder.Path("a.ring"));
  const std::pair<std::string_view, std::string_view> account{"account", "A"};
  for (const std::string_view value :
       {R"({"a":1},"account":"B")", R"(1,"delete":true)", R"({}})", R"("a" : 1)", R"("open)", "[1", "", R"(["\"],1)"}) {
    EXPECT_EQ(publisher->PublishDocument({.key_class = "positions", .fields = {&account, 1}, .value = value}),
              Publisher::Result::kInvalid)
        << value;
  }
  for (const std::string_view value : {R"({"a":[1,{"b":"}],:\""}]})", "1", "null", R"("x,y")", R"( [1 , 2] )"}) {
    EXPECT_EQ(publisher->PublishDocument({.key_class = "positions", .fields = {&account, 1}, .value = value}),
              Publisher::Result::kPublished)
        << value;
  }
  Reader reader(folder.Path("a.ring"));
  reader.Drain();
  EXPECT_EQ(reader.accepted(), 5u);
}

TEST(Publisher, RefusesWhatCannotBe) {
  const TempDir folder;
  const auto publisher = OpenPublisher(folder.Path("a.ring"));
  EXPECT_EQ(publisher->Declare(""), Publisher::kNoNumber);
  EXPECT_EQ(publisher->Declare("a{b"), Publisher::kNoNumber);
  EXPECT_EQ(publisher->Declare("\xff"), Publisher::kNoNumber);
  EXPECT_EQ(publisher->Declare(std::string(65, 'x')), Publisher::kNoNumber);
  EXPECT_EQ(publisher->Publish(0, QuoteOf(1)), Publisher::Result::kInvalid);
  for (uint32_t i = 0; i < kNumbers; ++i) EXPECT_EQ(publisher->Declare("S" + std::to_string(i)), i);
  EXPECT_EQ(publisher->Declare("S7"), 7u);
  EXPECT_EQ(publisher->Declare("one more"), Publisher::kNoNumber);
  Tick tick;
  tick.Set(Field::kBid, {kMaxMantissa + 1, 0});
  EXPECT_EQ(publisher->Publish(0, tick), Publisher::Result::kInvalid);
  tick.Set(Field::kBid, {1, 19});
  EXPECT_EQ(publisher->Publish(0, tick), Publisher::Result::kInvalid);
  EXPECT_EQ(PublisherError(SmallRing("")).code, RingErrorCode::kInvalid);
  EXPECT_EQ(PublisherError(SmallRing(folder.Path("b.ring"), 100'000)).code, RingErrorCode::kInvalid);
  RingFileOptions grouped = SmallRing(folder.Path("b.ring"));
  grouped.group = "no such group";
  EXPECT_EQ(PublisherError(grouped).code, RingErrorCode::kInvalid);
}

// ---- Comings and goings ----

TEST(RingFeed, ATickArrivesAndASourceLivesAsLongAsItsPublisher) {
  const TempDir folder;
  const std::string path = folder.Path("a.ring");
  Reader reader(path);
  EXPECT_EQ(reader.Step(), 0);
  EXPECT_EQ(reader.feed->open_sources(), 0u);
  auto publisher = OpenPublisher(path);
  publisher->Declare("MNQZ5");
  reader.feed->watch().Look();
  EXPECT_EQ(reader.Step(), 0);
  EXPECT_EQ(reader.feed->open_sources(), 1u) << "a living publisher is a source, also before its first tick";
  EXPECT_EQ(publisher->Publish(0, QuoteOf(5)), Publisher::Result::kPublished);
  EXPECT_EQ(reader.Step(), 1);
  const auto quote = reader.core.Find("MNQZ5");
  ASSERT_TRUE(quote.has_value());
  EXPECT_EQ(FieldText(*quote, Field::kAsk), "0.06");
  EXPECT_TRUE(reader.core.sources.IsAlive(quote->source, reader.core.clock.Now()));

  reader.core.clock.Advance(3 * kNsPerSec);
  EXPECT_FALSE(reader.feed->IsAlive(reader.core.clock.Now())) << "silent for longer than the time-out";
  publisher->Publish(0, QuoteOf(6));
  publisher.reset();
  reader.feed->watch().Look();
  EXPECT_EQ(reader.Step(), 1) << "what it left is still read";
  EXPECT_EQ(reader.feed->open_sources(), 1u);
  reader.Step();
  EXPECT_EQ(reader.feed->open_sources(), 0u);
  EXPECT_FALSE(reader.core.sources.IsAlive(quote->source, reader.core.clock.Now()));

  publisher = OpenPublisher(path);
  EXPECT_TRUE(publisher->adopted());
  EXPECT_EQ(publisher->Declare("other"), 1u) << "numbers go on where they were";
  EXPECT_EQ(publisher->Declare("MNQZ5"), 0u);
  publisher->Publish(0, QuoteOf(7));
  EXPECT_EQ(reader.Step(), 1);
  EXPECT_EQ(reader.core.Find("MNQZ5")->Get(Field::kBid).mantissa, 7);
}

TEST(RingFeed, AHeartbeatKeepsAQuietSourceAlive) {
  const TempDir folder;
  const auto publisher = OpenPublisher(folder.Path("a.ring"));
  Reader reader(folder.Path("a.ring"));
  reader.Step();
  publisher->Heartbeat();
  reader.Step();
  EXPECT_TRUE(reader.feed->IsAlive(reader.core.clock.Now()));
  reader.core.clock.Advance(2 * kNsPerSec + 1);
  EXPECT_FALSE(reader.feed->IsAlive(reader.core.clock.Now()));
}

TEST(RingFeed, ARestartedBridgeGoesOnWhereItWas) {
  const TempDir folder;
  const auto publisher = OpenPublisher(folder.Path("a.ring"));
  publisher->Declare("S");
  Tick trade;
  trade.Set(Field::kLast, {5, 0});
  trade.Set(Field::kLastSize, {1, 0});
  for (int i = 0; i < 10; ++i) publisher->Publish(0, trade);
  {
    Reader reader(folder.Path("a.ring"));
    reader.Drain();
    EXPECT_EQ(FieldText(*reader.core.Find("S"), Field::kVolume), "10");
  }
  for (int i = 0; i < 7; ++i) publisher->Publish(0, trade);
  Reader reader(folder.Path("a.ring"));
  reader.Drain();
  EXPECT_EQ(FieldText(*reader.core.Find("S"), Field::kVolume), "7");
}

TEST(RingFeed, WhatLayInTheRingWhileNobodyLookedIsAsOldAsItIs) {
  const TempDir folder;
  const auto publisher = OpenPublisher(folder.Path("a.ring"));
  publisher->Declare("S");
  publisher->Publish(0, QuoteOf(1));
  Reader reader(folder.Path("a.ring"));
  const MonoNs now = reader.core.clock.Now();
  reader.core.clock.Advance(30 * kNsPerSec);
  reader.feed->DoWork();
  EXPECT_LE(reader.core.Find("S")->received.value, now.value);
  EXPECT_GE(reader.core.Find("S")->received.value, now.value - 20 * kNsPerSec);
  publisher->Publish(0, QuoteOf(2));
  reader.feed->DoWork();
  EXPECT_EQ(reader.core.Find("S")->received.value, now.value + 30 * kNsPerSec) << "it looks all the time now";
}

// The time is another process's word: one that cannot be is none.
TEST(RingFeed, AnOldPriceIsNotFreshBecauseSomebodyWroteOverTheTime) {
  for (const int64_t looked : {INT64_MAX, INT64_MIN, int64_t{-1}}) {
    const TempDir folder;
    const std::string path = folder.Path("a.ring");
    const auto publisher = OpenPublisher(path);
    publisher->Declare("S");
    publisher->Publish(0, QuoteOf(1));
    Overwrite(path, offsetof(RingHeader, consumer_looked_mono_ns),
              std::string(reinterpret_cast<const char*>(&looked), sizeof(looked)));
    Reader reader(path);
    const MonoNs now = reader.core.clock.Now();
    reader.core.clock.Advance(30 * kNsPerSec);
    reader.feed->DoWork();
    EXPECT_LE(reader.core.Find("S")->received.value, now.value) << looked;
  }
}

TEST(RingFeed, APositionThatCannotBeIsCountedAlsoAtTheStart) {
  const TempDir folder;
  const std::string path = folder.Path("a.ring");
  const auto publisher = OpenPublisher(path);
  publisher->Declare("S");
  for (int i = 0; i < 10; ++i) publisher->Publish(0, QuoteOf(i));
  Overwrite(path, offsetof(RingHeader, head), std::string(8, '\x55'));
  Reader reader(path);
  reader.Drain();
  EXPECT_EQ(reader.rejected(RejectReason::kMalformed), 1u);
  publisher->Publish(0, QuoteOf(11));
  reader.Drain();
  EXPECT_EQ(reader.core.Find("S")->Get(Field::kBid).mantissa, 11);
}

TEST(RingFeed, ReadsEveryRingOfAFolder) {
  const TempDir folder;
  const auto a = OpenPublisher(folder.Path("a.ring"));
  a->Declare("A");
  a->Publish(0, QuoteOf(1));
  Reader reader("", folder.Path(""));
  reader.Drain();
  const auto b = OpenPublisher(folder.Path("b.ring"));
  b->Declare("B");
  b->Publish(0, QuoteOf(2));
  reader.feed->watch().Look();
  reader.Drain();
  EXPECT_TRUE(reader.core.Find("A").has_value());
  EXPECT_TRUE(reader.core.Find("B").has_value());
  EXPECT_EQ(reader.feed->open_sources(), 2u);
}

TEST(RingFile, OnePublisherAndOneBridge) {
  const TempDir folder;
  const std::string path = folder.Path("a.ring");
  auto publisher = OpenPublisher(path);
  RingError error = PublisherError(SmallRing(path));
  EXPECT_EQ(error.code, RingErrorCode::kBusy);
  EXPECT_NE(error.message.find("process " + std::to_string(::getpid())), std::string::npos) << error.message;
  RingFileOptions larger = SmallRing(path, kRingDataBytesMin * 2);
  EXPECT_EQ(PublisherError(larger).code, RingErrorCode::kBusy);
  auto bridge = RingFile::OpenForBridge(path, &error);
  ASSERT_NE(bridge, nullptr);
  error = BridgeError(path);
  EXPECT_EQ(error.code, RingErrorCode::kBusy);
  EXPECT_NE(error.message.find("another bridge reads it (process "), std::string::npos) << error.message;
  bridge.reset();
  EXPECT_NE(RingFile::OpenForBridge(path, &error), nullptr);
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
  EXPECT_GE(info.st_blocks * 512, info.st_size) << "all of it is there: nothing to run out of later";
}

TEST(RingFile, AGroupIsGivenAlsoToTheRingThatIsThere) {
  const TempDir folder;
  const std::string path = folder.Path("a.ring");
  OpenPublisher(path).reset();
  const group* const mine = ::getgrgid(::getegid());
  if (mine == nullptr) GTEST_SKIP() << "this user's group has no name";
  Publisher::Options options;
  options.file = SmallRing(path);
  options.file.group = mine->gr_name;
  RingError error;
  const auto publisher = Publisher::Open(options, &error);
  ASSERT_NE(publisher, nullptr) << error.message;
  EXPECT_TRUE(publisher->adopted());
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660u);
}

TEST(RingFile, OneThatAnybodyMayWriteIsNotRead) {
  const TempDir folder;
  const std::string path = folder.Path("a.ring");
  const auto publisher = OpenPublisher(path);
  ASSERT_EQ(::chmod(path.c_str(), 0666), 0);
  const RingError error = BridgeError(path);
  EXPECT_NE(error.message.find("everybody"), std::string::npos) << error.message;
}

TEST(RingFile, OneOfAnotherUserIsNotGoneOnWith) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make a file another user's";
  const TempDir folder;
  const std::string path = folder.Path("a.ring");
  OpenPublisher(path).reset();
  constexpr uid_t kSomebody = 65'533;
  ASSERT_EQ(::chown(path.c_str(), kSomebody, kSomebody), 0);
  const RingError error = PublisherError(SmallRing(path));
  EXPECT_NE(error.message.find("belongs to user 65533"), std::string::npos) << error.message;
  // A bridge reads it where not everybody may put files, or where they have a group in common.
  RingError none;
  EXPECT_NE(RingFile::OpenForBridge(path, &none), nullptr) << none.message;
  ASSERT_EQ(::chmod(folder.Path("").c_str(), 01777), 0);
  EXPECT_NE(BridgeError(path).message.find("belongs to user 65533"), std::string::npos);
  ASSERT_EQ(::chown(path.c_str(), kSomebody, ::getegid()), 0);
  EXPECT_NE(RingFile::OpenForBridge(path, &none), nullptr) << none.message;
}

// Publishers that begin at the same moment: one has the ring, and it is the one whose file is in place.
TEST(RingFile, OfPublishersThatRaceOneWins) {
  for (int round = 0; round < 50; ++round) {
    const TempDir folder;
    const std::string path = folder.Path("a.ring");
    if (round % 2 != 0) {
      OpenPublisher(path).reset();
      Overwrite(path, offsetof(RingLayout, version), "\x63");
    }
    std::array<std::unique_ptr<RingFile>, 4> files;
    std::array<RingError, 4> errors;
    std::atomic<int> ready{0};
    std::vector<std::thread> threads;
    for (size_t i = 0; i < files.size(); ++i) {
      threads.emplace_back([&, i] {
        ready.fetch_add(1);
        while (ready.load() != static_cast<int>(files.size())) std::this_thread::yield();
        files[i] = RingFile::OpenForPublisher(SmallRing(path), false, &errors[i]);
      });
    }
    for (std::thread& thread : threads) thread.join();
    int winners = 0;
    for (size_t i = 0; i < files.size(); ++i) {
      if (files[i] == nullptr) {
        EXPECT_EQ(errors[i].code, RingErrorCode::kBusy) << errors[i].message;
      } else {
        ++winners;
        EXPECT_TRUE(files[i]->IsInPlace());
      }
    }
    EXPECT_EQ(winners, 1) << round;
    size_t entries = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder.Path(""))) entries += entry.is_regular_file();
    EXPECT_EQ(entries, 1u) << "nothing else is left behind";
  }
}

TEST(RingFeed, AnotherSizeIsANewFileAndTheOldOneIsReadToItsEnd) {
  const TempDir folder;
  const std::string path = folder.Path("a.ring");
  auto publisher = OpenPublisher(path);
  publisher->Declare("S");
  Reader reader(path);
  reader.Drain();
  publisher->Publish(0, QuoteOf(1));
  publisher.reset();
  Publisher::Options options;
  options.file = SmallRing(path, kRingDataBytesMin * 4);
  RingError error;
  publisher = Publisher::Open(options, &error);
  ASSERT_NE(publisher, nullptr) << error.message;
  EXPECT_FALSE(publisher->adopted());
  publisher->Declare("T");
  publisher->Publish(0, QuoteOf(2));
  reader.feed->watch().Look();
  reader.Drain();
  EXPECT_TRUE(reader.core.Find("S").has_value());
  EXPECT_FALSE(reader.core.Find("T").has_value());
  reader.feed->watch().Look();  // lets the old one go, and finds the new one
  reader.Drain();
  EXPECT_TRUE(reader.core.Find("T").has_value());
}

TEST(Publisher, SaysWhenAnotherFileTookItsPlace) {
  const TempDir folder;
  const std::string path = folder.Path("a.ring");
  const auto publisher = OpenPublisher(path);
  publisher->Declare("S");
  ASSERT_EQ(::unlink(path.c_str()), 0);
  const auto other = OpenPublisher(path);
  Publisher::Result result;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while ((result = publisher->Heartbeat()) != Publisher::Result::kLost && std::chrono::steady_clock::now() < end) {
  }
  EXPECT_EQ(result, Publisher::Result::kLost);
  EXPECT_EQ(publisher->Publish(0, QuoteOf(1)), Publisher::Result::kLost);
  EXPECT_EQ(publisher->Reset(0), Publisher::Result::kLost);
  EXPECT_EQ(publisher->PublishDocument({.key_class = "positions", .fields = {}, .value = "1"}),
            Publisher::Result::kLost);
  EXPECT_EQ(other->Heartbeat(), Publisher::Result::kPublished);
}

// ---- Damage ----

TEST(RingFile, SaysWhatIsWrongWithAFile) {
  const TempDir folder;
  const std::string path = folder.Path("a.ring");
  EXPECT_EQ(BridgeError(path).code, RingErrorCode::kNotFound);
  const auto expect = [&](std::string_view what) {
    const RingError error = BridgeError(path);
    EXPECT_EQ(error.code, RingErrorCode::kNotARing);
    EXPECT_NE(error.message.find(what), std::string::npos) << error.message;
    EXPECT_NE(error.message.find(path), std::string::npos) << error.message;
  };
  folder.Write("a.ring", "");
  expect("truncated");
  folder.Write("a.ring", std::string(8192, 'x'));
  expect("is no ring");
  EXPECT_EQ(PublisherError(SmallRing(path)).code, RingErrorCode::kNotARing) << "it is not ours to replace";
  ::unlink(path.c_str());

  const auto again = [&] { OpenPublisher(path).reset(); };
  again();
  Overwrite(path, offsetof(RingLayout, version), "\x63");
  expect("version 99");
  again();
  Overwrite(path, offsetof(RingLayout, data_bytes), std::string(8, '\x7f'));
  expect("header was overwritten");
  again();
  Overwrite(path, offsetof(RingLayout, data_offset), std::string(8, '\x7f'));
  expect("header was overwritten");
  again();
  Overwrite(path, offsetof(RingLayout, boot_id), "another");
  expect("earlier boot");
  again();
  ASSERT_EQ(::truncate(path.c_str(), 10'000), 0);
  expect("truncated");
  again();
  RingError error;
  EXPECT_NE(RingFile::OpenForBridge(path, &error), nullptr) << "made anew each time: " << error.message;
}

TEST(RingFile, AScribbledRingIsNotTakenOver) {
  const TempDir folder;
  const std::string path = folder.Path("a.ring");
  for (const size_t offset : {offsetof(RingHeader, tail), offsetof(RingHeader, head), offsetof(RingHeader, symbols)}) {
    auto publisher = OpenPublisher(path);
    publisher->Declare("S");
    publisher.reset();
    publisher = OpenPublisher(path);
    EXPECT_TRUE(publisher->adopted());
    publisher.reset();
    Overwrite(path, offset, std::string(8, '\x55'));
    EXPECT_FALSE(OpenPublisher(path)->adopted()) << offset;
  }
}

TEST(RingFeed, ATruncatedRingEndsAndSaysSo) {
  const TempDir folder;
  const std::string path = folder.Path("a.ring");
  auto publisher = OpenPublisher(path, true);
  publisher->Declare("S");
  for (int i = 0; i < 100; ++i) publisher->Publish(0, QuoteOf(i));
  Reader reader(path);
  ASSERT_EQ(::truncate(path.c_str(), 0), 0);
  static std::string logged;
  logged.clear();
  SetLogHandler([](LogLevel, std::string_view line) { logged.append(line).append("\n"); });
  reader.Drain();
  EXPECT_FALSE(reader.core.Find("S").has_value()) << "zeros are no ticks";
  EXPECT_EQ(reader.feed->open_sources(), 0u);
  reader.feed->watch().Look();
  reader.feed->watch().Look();
  SetLogHandler(nullptr);
  EXPECT_NE(logged.find("truncated"), std::string::npos) << logged;

  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (publisher->Heartbeat() != Publisher::Result::kLost && std::chrono::steady_clock::now() < end) {
    publisher->Publish(0, QuoteOf(1));
  }
  EXPECT_EQ(publisher->Heartbeat(), Publisher::Result::kLost);
  publisher.reset();
  publisher = OpenPublisher(path);
  EXPECT_FALSE(publisher->adopted());
  publisher->Declare("S");
  publisher->Publish(0, QuoteOf(9));
  reader.feed->watch().Look();
  reader.Drain();
  EXPECT_EQ(reader.core.Find("S")->Get(Field::kBid).mantissa, 9);
}

// Random bytes anywhere, while both sides work: no crash, every record is counted, and once nobody scribbles any more,
// the newest arrives.
TEST(RingFeed, AScribbledRingMendsItself) {
  const uint64_t first_seed = std::random_device()();
  for (uint64_t seed = first_seed; seed < first_seed + (kSanitized ? 10 : 100); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const TempDir folder;
    const std::string path = folder.Path("a.ring");
    const auto publisher = OpenPublisher(path);
    for (uint32_t i = 0; i < 8; ++i) publisher->Declare("S" + std::to_string(i));
    Reader reader(path);
    struct stat info{};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    int64_t n = 0;
    for (int round = 0; round < 50; ++round) {
      for (uint64_t i = random() % 400; i != 0; --i) {
        ++n;
        ASSERT_GE(static_cast<int>(publisher->Publish(static_cast<uint32_t>(n % 8), QuoteOf(n))), 0);
      }
      std::string bytes(1 + random() % 100, '\0');
      for (char& c : bytes) c = static_cast<char>(random());
      const size_t targets[] = {offsetof(RingHeader, tail), offsetof(RingHeader, head),
                                sizeof(RingLayout) + random() % 400,
                                random() % static_cast<size_t>(info.st_size - 100)};
      const size_t target = std::max(targets[random() % 4], sizeof(RingLayout));
      // Names are written once, so what is written over them stays.
      if (target + bytes.size() < RingHeader::kBytes || target >= RingHeader::kBytes + kNumbers * sizeof(RingSymbol)) {
        Overwrite(path, target, bytes);
      }
      // Nor is a publisher's state, or how many names there are, ever written again.
      Overwrite(path, offsetof(RingHeader, state), std::string("\x01\0\0\0\x08\0\0\0", 8));
      reader.Step();
    }
    for (int i = 0; i < 10; ++i) {
      publisher->Heartbeat();
      reader.Drain();
    }
    for (uint32_t i = 0; i < 8; ++i)
      ASSERT_EQ(publisher->Publish(i, QuoteOf(1'000'000 + i)), Publisher::Result::kPublished);
    reader.Drain();
    for (uint32_t i = 0; i < 8; ++i) {
      const auto quote = reader.core.Find("S" + std::to_string(i));
      ASSERT_TRUE(quote.has_value()) << i;
      EXPECT_EQ(quote->Get(Field::kBid).mantissa, 1'000'000 + i);
    }
  }
}

}  // namespace
}  // namespace tickbridge
