// SPDX-License-Identifier: Apache-2.0
// The steps from a decoded tick to the dirty queue, each alone and together, against the least that the protocol can
// cost: a bare seqlock write of as many words, the exchange, and a push to the same queue.
#include <benchmark/benchmark.h>
#include <concurrentqueue.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/cycles.h"
#include "core/dirty_queue.h"
#include "core/latest_table.h"
#include "core/memory.h"
#include "core/symbol_table.h"

namespace tickbridge {
namespace {

constexpr uint32_t kSymbols = 4096;
constexpr uint64_t kSeed = 42;

// Each symbol once a round, in random order: every tick takes the whole way, the push included.
std::vector<SymbolId> Order(uint32_t symbols) {
  std::vector<SymbolId> order;
  for (uint32_t i = 0; i < symbols; ++i) order.push_back(SymbolId{i});
  std::shuffle(order.begin(), order.end(), std::mt19937_64(kSeed));
  return order;
}

Tick QuoteTick(int64_t base) {
  Tick tick;
  tick.Set(Field::kBid, {base, -2});
  tick.Set(Field::kAsk, {base + 25, -2});
  tick.Set(Field::kBidSize, {base % 100, 0});
  tick.Set(Field::kAskSize, {base % 77, 0});
  tick.quote_time = VenueNsFromMs(1'700'000'000'000 + base);
  return tick;
}

Tick TradeTick(int64_t base) {
  Tick tick;
  tick.Set(Field::kLast, {base, -2});
  tick.Set(Field::kLastSize, {1 + base % 9, 0});
  tick.trade_time = VenueNsFromMs(1'700'000'000'000 + base);
  return tick;
}

using Clock = std::chrono::steady_clock;

// Times `write(round)` alone; the queue is emptied by `drain` outside of the time.
template <typename Write, typename Drain>
void TimeRounds(benchmark::State& state, uint32_t symbols, Write write, Drain drain) {
  int64_t round = 0;
  Cycles cycles;
  for (auto _ : state) {
    const auto begin = Clock::now();
    cycles.Start();
    write(++round);
    cycles.Stop();
    const std::chrono::duration<double> took = Clock::now() - begin;
    state.SetIterationTime(took.count());
    drain();
  }
  ReportPerItem(state, cycles, state.iterations() * symbols, "ns_per_tick");
}

void BM_Core_BareSeqlockAndPush(benchmark::State& state) {
  struct alignas(64) Slot {
    std::atomic<uint64_t> version{0};
    std::atomic<uint32_t> dirty{0};
    std::atomic<int64_t> words[10]{};
  };
  const auto symbols = static_cast<uint32_t>(state.range(0));
  std::vector<Slot> slots(symbols);
  moodycamel::ConcurrentQueue<uint32_t> queue(symbols, 1, 0);
  moodycamel::ProducerToken producer(queue);
  moodycamel::ConsumerToken consumer(queue);
  const std::vector<SymbolId> order = Order(symbols);
  std::vector<uint32_t> taken(symbols);
  TimeRounds(
      state, symbols,
      [&](int64_t round) {
        for (const SymbolId id : order) {
          Slot& slot = slots[Index(id)];
          const uint64_t version = slot.version.load(std::memory_order_relaxed);
          slot.version.store(version + 1, std::memory_order_relaxed);
          for (std::atomic<int64_t>& word : slot.words) word.store(round, std::memory_order_release);
          slot.version.store(version + 2, std::memory_order_release);
          if (slot.dirty.exchange(1, std::memory_order_acq_rel) == 0) queue.enqueue(producer, Index(id));
        }
      },
      [&] {
        const size_t count = queue.try_dequeue_bulk(consumer, taken.begin(), taken.size());
        if (count != symbols) state.SkipWithError("an id was lost");
        for (size_t i = 0; i < count; ++i) slots[taken[i]].dirty.store(0, std::memory_order_relaxed);
      });
}
BENCHMARK(BM_Core_BareSeqlockAndPush)->Arg(kSymbols)->UseManualTime();

// `conflate`: nobody takes the ids, so that each tick but the first of a symbol finds its mark set.
template <Tick (*kMake)(int64_t), bool conflate = false>
void MergeAndMark(benchmark::State& state) {
  const auto symbols = static_cast<uint32_t>(state.range(0));
  LatestTable table({symbols, 0});
  DirtyQueue dirty(&table, 1, 1);
  const std::vector<SymbolId> order = Order(symbols);
  std::vector<Tick> ticks;
  for (int64_t i = 0; i < 256; ++i) ticks.push_back(kMake(2'100'000 + i));
  std::vector<SymbolId> taken(symbols);
  TickContext context;
  TimeRounds(
      state, symbols,
      [&](int64_t round) {
        context.received.value = round;
        for (size_t i = 0; i < order.size(); ++i) {
          Tick& tick = ticks[i % ticks.size()];
          tick.quote_time.value += tick.quote_time.value != 0;
          tick.trade_time.value += tick.trade_time.value != 0;
          table.Merge(order[i], tick, context);
          dirty.Mark(0, order[i], context.received);
        }
      },
      [&] {
        if (conflate) return;
        size_t count = 0;
        while (const size_t n = dirty.Take(0, taken)) {
          for (size_t i = 0; i < n; ++i) dirty.Begin(taken[i]);
          count += n;
        }
        if (count != symbols) state.SkipWithError("an id was lost");
      });
}
BENCHMARK(MergeAndMark<QuoteTick, true>)->Name("BM_Core_MergeQuoteConflated")->Arg(kSymbols)->UseManualTime();
BENCHMARK(MergeAndMark<QuoteTick>)
    ->Name("BM_Core_MergeQuoteAndMark")
    ->Arg(100)
    ->Arg(kSymbols)
    ->Arg(100'000)
    ->UseManualTime();

// The same, in huge pages where they are to be had.
void MergeQuoteInHugePages(benchmark::State& state) {
  SetHugePages(HugePages::kTry);
  MergeAndMark<QuoteTick>(state);
  SetHugePages(HugePages::kOff);
}
BENCHMARK(MergeQuoteInHugePages)
    ->Name("BM_Core_MergeQuoteAndMarkHugePages")
    ->Arg(kSymbols)
    ->Arg(100'000)
    ->UseManualTime();
BENCHMARK(MergeAndMark<TradeTick>)->Name("BM_Core_MergeTradeAndMark")->Arg(kSymbols)->UseManualTime();

void BM_LatestTable_Merge(benchmark::State& state) {
  LatestTable table({kSymbols, 0});
  const std::vector<SymbolId> order = Order(kSymbols);
  Tick tick = QuoteTick(2'100'000);
  TimeRounds(
      state, kSymbols,
      [&](int64_t round) {
        tick.quote_time.value += round;
        for (const SymbolId id : order) table.Merge(id, tick, {});
      },
      [] {});
  Quote quote;
  if (!table.TryLoad(order[0], &quote) || quote.sequence != static_cast<uint64_t>(state.iterations())) {
    state.SkipWithError("a tick was lost");
  }
}
BENCHMARK(BM_LatestTable_Merge)->UseManualTime();

// The hand-off alone, by one thread: what both of its sides cost together without a cache line that travels.
void BM_DirtyQueue_MarkTakeBegin(benchmark::State& state) {
  const auto symbols = static_cast<uint32_t>(state.range(0));
  LatestTable table({symbols, 0});
  DirtyQueue dirty(&table, 1, 1);
  const std::vector<SymbolId> order = Order(symbols);
  std::vector<SymbolId> taken(64);  // as the sink does
  TimeRounds(
      state, symbols,
      [&](int64_t round) {
        for (const SymbolId id : order) dirty.Mark(0, id, MonoNs{round});
        size_t count = 0;
        while (const size_t n = dirty.Take(0, taken)) {
          for (size_t i = 0; i < n; ++i) dirty.Begin(taken[i]);
          count += n;
        }
        if (count != symbols) state.SkipWithError("an id was lost");
      },
      [] {});
}
BENCHMARK(BM_DirtyQueue_MarkTakeBegin)->Arg(kSymbols)->UseManualTime();

void BM_SymbolTable_Find(benchmark::State& state) {
  const auto symbols = static_cast<uint32_t>(state.range(0));
  SymbolTable table(symbols);
  std::vector<std::string> names;
  for (uint32_t i = 0; i < symbols; ++i) {
    names.push_back("SYM" + std::to_string(i));
    table.Insert(names.back());
  }
  std::shuffle(names.begin(), names.end(), std::mt19937_64(kSeed));
  size_t at = 0;
  Cycles cycles;
  for (auto _ : state) {
    benchmark::DoNotOptimize(table.Find(names[at]));
    if (++at == names.size()) at = 0;
  }
  cycles.Stop();
  cycles.Report(state, state.iterations());
}
BENCHMARK(BM_SymbolTable_Find)->Arg(kSymbols);

void BM_LatestTable_TryLoad(benchmark::State& state) {
  LatestTable table({kSymbols, 0});
  const Tick tick = QuoteTick(2'100'000);
  for (uint32_t i = 0; i < kSymbols; ++i) table.Merge(SymbolId{i}, tick, {});
  const std::vector<SymbolId> order = Order(kSymbols);
  size_t at = 0;
  Quote quote;
  Cycles cycles;
  for (auto _ : state) {
    if (!table.TryLoad(order[at], &quote)) state.SkipWithError("torn");
    benchmark::DoNotOptimize(quote);
    if (++at == order.size()) at = 0;
  }
  cycles.Stop();
  cycles.Report(state, state.iterations());
}
BENCHMARK(BM_LatestTable_TryLoad);

}  // namespace
}  // namespace tickbridge
