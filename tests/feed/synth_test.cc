// SPDX-License-Identifier: Apache-2.0
#include "feed/synth.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "feed/ndjson_decoder.h"
#include "tests/core_fixture.h"

namespace tickbridge {
namespace {

std::string Lines(const SynthMarket::Options& options, int count) {
  SynthMarket market(options);
  std::string text;
  for (int i = 0; i < count; ++i) market.AppendNdjson(&text);
  return text;
}

TEST(SynthMarket, IsTheSameForTheSameSeed) {
  const std::string text = Lines({.symbols = 100, .seed = 7}, 5000);
  EXPECT_EQ(text, Lines({.symbols = 100, .seed = 7}, 5000));
  EXPECT_NE(text, Lines({.symbols = 100, .seed = 8}, 5000));
  // On every machine and compiler: a change here changes what `synth` wrote for a seed before.
  EXPECT_EQ(Lines({.symbols = 1, .seed = 1}, 2).substr(0, 15), "{\"symbol\":\"MNQZ");
}

TEST(SynthMarket, HasDistinctNames) {
  std::set<std::string> names;
  for (uint32_t i = 0; i < 65'536; ++i) {
    const std::string name = SynthSymbolName(i);
    EXPECT_TRUE(SymbolTable::IsValidName(name));
    names.insert(name);
  }
  EXPECT_EQ(names.size(), 65'536U);
  EXPECT_EQ(SynthSymbolName(0), "MNQZ5");
}

TEST(SynthMarket, QuotesOnTheGridWithASpreadAndSkewedSymbols) {
  SynthMarket market({.symbols = 50, .seed = 3, .rate = 100'000});
  std::vector<int> count(50);
  int trades = 0;
  constexpr int kTicks = 200'000;
  VenueNs time;
  for (int i = 0; i < kTicks; ++i) {
    Tick tick;
    uint32_t symbol;
    market.Next(&tick, &symbol);
    ASSERT_LT(symbol, 50U);
    ++count[symbol];
    ASSERT_GE(tick.quote_time, time);
    ASSERT_EQ(tick.quote_time.value % 1'000'000, 0U);
    time = tick.quote_time;
    if ((tick.given & Bit(Field::kLast)) != 0) {
      ++trades;
      ASSERT_GT(tick.value[Index(Field::kLastSize)].mantissa, 0);
      continue;
    }
    ASSERT_EQ(tick.given, kQuoteFields);
    ASSERT_GT(tick.value[Index(Field::kBid)].mantissa, 0);
    ASSERT_LT(tick.value[Index(Field::kBid)], tick.value[Index(Field::kAsk)]);
  }
  EXPECT_NEAR(trades, kTicks * 40 / 256, kTicks / 50);
  EXPECT_GT(count[0], 5 * count[20]);
  EXPECT_GT(count[49], 0);
  // The mean rate, bursts included.
  EXPECT_NEAR(static_cast<double>(market.elapsed_ns()), kTicks * 10'000.0, kTicks * 500.0);
}

TEST(SynthMarket, WritesLinesThatSayTheSameAsItsTicks) {
  CoreFixture direct;
  CoreFixture decoded;
  const auto to = direct.MakeIngest(Ingest::Options{.feed = "a", .replay = true});
  const auto via = decoded.MakeIngest(Ingest::Options{.feed = "b", .replay = true});
  to->BeginBatch(direct.sources.Open(0, direct.clock.Now()), direct.clock.Now());
  via->BeginBatch(decoded.sources.Open(0, decoded.clock.Now()), decoded.clock.Now());
  NdjsonDecoder decoder(via.get());
  SynthMarket a({.symbols = 300, .seed = 11});
  SynthMarket b({.symbols = 300, .seed = 11});
  for (int i = 0; i < 20'000; ++i) {
    Tick tick;
    uint32_t symbol;
    a.Next(&tick, &symbol);
    to->OnTick(a.SymbolName(symbol), tick);
    std::string line;
    b.AppendNdjson(&line);
    line.pop_back();
    const size_t bytes = line.size();
    line.append(limits::kParsePaddingBytes, ' ');
    decoder.Decode(line.data(), bytes, 0);
  }
  EXPECT_EQ(to->counts().accepted->Get(), 20'000U);
  EXPECT_EQ(via->counts().accepted->Get(), 20'000U);
  for (uint32_t i = 0; i < 300; ++i) {
    const auto x = direct.Find(SynthSymbolName(i));
    const auto y = decoded.Find(SynthSymbolName(i));
    ASSERT_EQ(x.has_value(), y.has_value());
    if (!x) continue;
    EXPECT_EQ(x->timestamp, y->timestamp);
    EXPECT_EQ(x->sequence, y->sequence);
    for (size_t field = 0; field < kFieldCount; ++field) {
      EXPECT_EQ(FieldText(*x, static_cast<Field>(field)), FieldText(*y, static_cast<Field>(field)));
    }
  }
}

TEST(SynthFeed, KeepsItsRateByTheClockInBoundedBatches) {
  CoreFixture core;
  const auto ingest = core.MakeIngest(Ingest::Options{.feed = "s"});
  auto feed =
      SynthFeed::Open({.name = "s", .rate = 100'000, .duration_ns = kNsPerSec}, ingest.get(), core.counters.get());
  ASSERT_TRUE(feed.ok()) << feed.status();
  for (int ms = 0; ms < 500; ++ms) {
    while ((*feed)->DoWork() != 0) {
    }
    core.clock.Advance(kNsPerMs);
  }
  EXPECT_NEAR(static_cast<double>((*feed)->sent()), 50'000, 2'500);
  // A stall is caught up with, a batch at a time.
  core.clock.Advance(400 * kNsPerMs);
  EXPECT_EQ((*feed)->DoWork(), 256);
  while ((*feed)->DoWork() != 0) {
  }
  EXPECT_NEAR(static_cast<double>((*feed)->sent()), 90'000, 4'500);
  EXPECT_TRUE((*feed)->IsAlive(core.clock.Now()));
  core.clock.Advance(101 * kNsPerMs);
  while (!(*feed)->done()) (*feed)->DoWork();
  EXPECT_FALSE((*feed)->IsAlive(core.clock.Now()));
  EXPECT_EQ(ingest->counts().accepted->Get(), (*feed)->sent());
}

TEST(SynthFeed, SendsExactlyItsCount) {
  CoreFixture core;
  const auto ingest = core.MakeIngest(Ingest::Options{.feed = "s"});
  auto feed = SynthFeed::Open({.name = "s", .rate = 0, .count = 1000}, ingest.get(), core.counters.get());
  ASSERT_TRUE(feed.ok()) << feed.status();
  while (!(*feed)->done()) EXPECT_GT((*feed)->DoWork(), 0);
  EXPECT_EQ((*feed)->DoWork(), 0);
  EXPECT_EQ(ingest->counts().accepted->Get(), 1000U);
  EXPECT_FALSE(SynthFeed::Open({.rate = -1}, ingest.get(), core.counters.get()).ok());
  EXPECT_FALSE(SynthFeed::Open({.market = {.symbols = 0}}, ingest.get(), core.counters.get()).ok());
}

}  // namespace
}  // namespace tickbridge
