// SPDX-License-Identifier: Apache-2.0
#include "bench/generator.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "bench/schedule.h"
#include "sink/quote_encoder.h"
#include "tests/core_fixture.h"

namespace tickbridge {
namespace {

constexpr uint32_t kSymbols = 8;

Schedule::Options TestSchedule(uint64_t count) {
  Schedule::Options options;
  options.symbols = kSymbols;
  options.rate = 10'000;
  options.count = count;
  return options;
}

struct Harness {
  CoreFixture core;
  AckMeter meter{kSymbols, 10'000};
  std::unique_ptr<Ingest> ingest = core.MakeIngest(Ingest::Options{.feed = "bench"});

  // What a lane would tell that has written all there is.
  void AcknowledgeAll() {
    for (uint32_t i = 0; i < kSymbols; ++i) {
      meter.OnAcknowledged(SymbolId{i}, core.table.Sequence(SymbolId{i}), core.clock.Now());
    }
  }
};

TEST(Generator, ALatencyCountsFromWhenTheTickWasDueHoweverLateItIsSent) {
  Harness h;
  Generator generator(TestSchedule(3'000), Generator::Way::kMerge, nullptr, h.ingest.get(), &h.meter, {});
  const MonoNs start = h.core.clock.Now() + kNsPerMs;
  const MeasuredTime measured{start, start + kNsPerSec};
  h.meter.Begin(h.core.table.sequence_base(), measured);
  generator.Begin(start, measured);
  EXPECT_EQ(generator.DoWork(), 0) << "nothing is due yet";
  // Held up for 200 ms: 2,000 ticks of 100 us each are due, and go at once.
  h.core.clock.Set(start + 200 * kNsPerMs);
  int sent = 0;
  while (const int now = generator.DoWork()) sent += now;
  EXPECT_EQ(sent, 2'001);
  h.AcknowledgeAll();
  const auto latency = h.meter.TakeLatency();
  const HistogramSummary summary = Summarize(*latency);
  EXPECT_EQ(summary.count, 2'001U);
  EXPECT_EQ(summary.max, 200 * kNsPerMs);
  EXPECT_NEAR(static_cast<double>(summary.p50), 100e6, 1e6);
  EXPECT_NEAR(static_cast<double>(summary.p99), 198e6, 2e6);
}

TEST(Generator, EachTickIsInOneSum) {
  Harness h;
  Generator generator(TestSchedule(3'000), Generator::Way::kMerge, nullptr, h.ingest.get(), &h.meter, {});
  const MonoNs start = h.core.clock.Now() + 1;
  const MeasuredTime measured{start + 100 * kNsPerMs, start + 200 * kNsPerMs};
  h.meter.Begin(h.core.table.sequence_base(), measured);
  generator.Begin(start, measured);
  while (!generator.done()) {
    h.core.clock.Advance(kNsPerMs);
    while (generator.DoWork() != 0) {
    }
    if (h.meter.sent() % 3 == 0) h.AcknowledgeAll();
    ASSERT_EQ(h.meter.sent(), h.meter.measured_ticks() + h.meter.unmeasured() + h.meter.waiting());
  }
  h.AcknowledgeAll();
  EXPECT_EQ(h.meter.sent(), 3'000U);
  EXPECT_EQ(h.meter.measured_ticks(), 1'000U);
  EXPECT_EQ(h.meter.unmeasured(), 2'000U);
  EXPECT_EQ(h.meter.waiting(), 0U);
  EXPECT_EQ(h.ingest->counts().accepted->Get(), 3'000U);
}

TEST(Schedule, EveryValueIsAsLongAsAllBenchmarksSay) {
  Harness h;
  Generator generator(TestSchedule(500), Generator::Way::kMerge, nullptr, h.ingest.get(), &h.meter, {});
  const MonoNs start = h.core.clock.Now();
  h.meter.Begin(h.core.table.sequence_base(), {});
  generator.Begin(start, {});
  QuoteEncoder encoder(h.core.classes[0].members);
  while (!generator.done()) {
    h.core.clock.Advance(kNsPerMs);
    while (generator.DoWork() != 0) {
    }
    const std::optional<Quote> quote = h.core.Find(BenchSymbolName(0));
    if (!quote.has_value()) continue;
    char value[512];
    ASSERT_EQ(encoder.Encode(value, *quote, UnixNs{}, UnixNs{}) - value, 115) << value;
  }
}

TEST(Schedule, SaysTheSameTwiceAndNumbersEachSymbolsTicks) {
  Schedule::Options options = TestSchedule(5'000);
  options.burst = 10;
  Schedule a(options);
  Schedule b(options);
  std::map<uint32_t, uint64_t> numbers;
  for (uint64_t i = 0; !a.done(); ++i) {
    ASSERT_EQ(a.due_ns(), static_cast<int64_t>(i / 10) * 1'000'000) << "ten at one time, every millisecond";
    ASSERT_EQ(a.number(), ++numbers[a.symbol()]);
    ASSERT_EQ(ToUnixMs(a.tick().quote_time).value, Schedule::kTimeBaseMs + static_cast<int64_t>(a.number()));
    std::string line_a;
    std::string line_b;
    a.AppendLine(&line_a);
    b.AppendLine(&line_b);
    ASSERT_EQ(line_a, line_b);
    a.Advance();
    b.Advance();
  }
  EXPECT_TRUE(b.done());
}

}  // namespace
}  // namespace tickbridge
