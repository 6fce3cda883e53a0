// SPDX-License-Identifier: Apache-2.0
// Both ends of the shared-memory ring, each alone on its core: what a publish costs the feed handler, and how fast the
// bridge takes records from the ring into the slots, dirty mark and counting included.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "feed/publisher.h"
#include "feed/ring_feed.h"
#include "tests/core_fixture.h"

namespace tickbridge {
namespace {

constexpr uint32_t kSymbols = 1000;
constexpr int kBatch = 8192;  // records: an eighth of the default ring
using Clock = std::chrono::steady_clock;

Publisher::Options RingOptions(const char* name) {
  Publisher::Options options;
  options.file.ring = "/dev/shm/tickbridge-bm-" + std::to_string(::getpid()) + "-" + name + ".ring";
  return options;
}

struct Market {
  explicit Market(const char* name) {
    RingError error;
    publisher = Publisher::Open(RingOptions(name), &error);
    for (uint32_t i = 0; i < kSymbols; ++i) numbers.push_back(publisher->Declare("SYM" + std::to_string(i)));
    quote.Set(Field::kBid, {2'100'000, -2});
    quote.Set(Field::kAsk, {2'100'025, -2});
    quote.Set(Field::kBidSize, {12, 0});
    quote.Set(Field::kAskSize, {7, 0});
    trade.Set(Field::kLast, {2'100'000, -2});
    trade.Set(Field::kLastSize, {3, 0});
    quote.quote_time = trade.trade_time = VenueNsFromMs(1'700'000'000'000);
  }
  ~Market() {
    const std::string path = publisher->path();
    publisher.reset();
    ::unlink(path.c_str());
  }
  // A step through the symbols that hits each before any twice, in no order that a prefetcher knows.
  uint32_t NextNumber() {
    at = (at + 387) % kSymbols;
    return numbers[at];
  }

  std::unique_ptr<Publisher> publisher;
  std::vector<uint32_t> numbers;
  uint32_t at = 0;
  Tick quote;
  Tick trade;
};

template <bool kTrades>
int PublishBatch(Market* market) {
  int kept = 0;
  Tick& tick = kTrades ? market->trade : market->quote;
  for (int i = 0; i < kBatch; ++i) {
    ++(kTrades ? tick.trade_time : tick.quote_time).value;
    kept += market->publisher->Publish(market->NextNumber(), tick) == Publisher::Result::kPublished ? 0 : 1;
  }
  return kept;
}

struct Bridge {
  explicit Bridge(const std::string& path) : ingest(core.MakeIngest(Ingest::Options{.feed = "ring"})) {
    core.clock.Set(MonoNs{Clock::now().time_since_epoch().count()});  // the publisher's clock is the machine's
    RingFeed::Options options;
    options.path = path;
    options.records_per_cycle = kBatch;
    options.own_thread = false;
    feed = *RingFeed::Open(options, ingest.get(), core.counters.get());
    feed->watch().Look();
  }
  CoreFixture core;
  std::unique_ptr<Ingest> ingest;
  std::unique_ptr<RingFeed> feed;
};

void Finish(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * kBatch);
  state.counters["ns_per_tick"] = benchmark::Counter(static_cast<double>(state.iterations() * kBatch) * 1e-9,
                                                     benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

template <bool kTrades>
void Publish(benchmark::State& state) {
  Market market("publish");
  Bridge bridge(market.publisher->path());
  for (auto _ : state) {
    const auto begin = Clock::now();
    const int kept = PublishBatch<kTrades>(&market);
    state.SetIterationTime(std::chrono::duration<double>(Clock::now() - begin).count());
    if (kept != 0) state.SkipWithError("the ring was full");
    while (bridge.feed->DoWork() != 0) {
    }
    bridge.core.DrainDirty();
  }
  Finish(state);
}
BENCHMARK(Publish<false>)->Name("BM_Ring_PublishQuote")->UseManualTime();
BENCHMARK(Publish<true>)->Name("BM_Ring_PublishTrade")->UseManualTime();

template <bool kTrades>
void RingToSlot(benchmark::State& state) {
  Market market("slot");
  Bridge bridge(market.publisher->path());
  for (auto _ : state) {
    if (PublishBatch<kTrades>(&market) != 0) state.SkipWithError("the ring was full");
    const auto begin = Clock::now();
    int taken = 0;
    while (const int some = bridge.feed->DoWork()) taken += some;
    state.SetIterationTime(std::chrono::duration<double>(Clock::now() - begin).count());
    if (taken != kBatch) state.SkipWithError("a record was lost");
    bridge.core.DrainDirty();
  }
  if (bridge.ingest->counts().accepted->Get() != static_cast<uint64_t>(state.iterations()) * kBatch) {
    state.SkipWithError("a record was rejected");
  }
  Finish(state);
}
BENCHMARK(RingToSlot<false>)->Name("BM_Ring_QuoteToSlot")->UseManualTime();
BENCHMARK(RingToSlot<true>)->Name("BM_Ring_TradeToSlot")->UseManualTime();

}  // namespace
}  // namespace tickbridge
