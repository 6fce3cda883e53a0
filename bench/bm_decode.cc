// SPDX-License-Identifier: Apache-2.0
// From the bytes of NDJSON lines to the merged slot and the dirty queue, by line shape and way through the decoder; and
// the part of it that is the decoder's alone, as lines that end as `stale` in the Ingest.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "bench/cycles.h"
#include "core/dirty_queue.h"
#include "feed/line_splitter.h"
#include "feed/ndjson_decoder.h"
#include "feed/synth.h"
#include "tests/core_fixture.h"

namespace tickbridge {
namespace {

constexpr uint32_t kSymbols = 4096;
constexpr size_t kLines = size_t{1} << 16;
constexpr uint64_t kSeed = 42;

enum Shape : int64_t { kFull, kSynth, kQuotedNumbers, kSpaced };

std::string Line(Shape shape, std::mt19937_64& random) {
  const std::string symbol = SynthSymbolName(static_cast<uint32_t>(random() % kSymbols));
  const uint64_t ticks = 80'000 + random() % 4'000;
  const auto price = [](uint64_t quarters) {
    static constexpr const char* kFractions[] = {".0", ".25", ".5", ".75"};
    return std::to_string(quarters / 4) + kFractions[quarters % 4];
  };
  switch (shape) {
    case kQuotedNumbers:
      return "{\"symbol\":\"" + symbol + "\",\"Bid\":\"" + price(ticks) + "0000000\",\"Ask\":\"" + price(ticks + 1) +
             "0000000\",\"BidSize\":\"" + std::to_string(random() % 100) + ".02920000\",\"AskSize\":\"" +
             std::to_string(random() % 100) + ".43950000\"}";
    case kSpaced:
      return "{\"symbol\": \"" + symbol + "\", \"Bid\": " + price(ticks) + ", \"Ask\": " + price(ticks + 1) +
             ", \"Timestamp\": 1700000000000}";
    default:
      return "{\"symbol\":\"" + symbol + "\",\"Last\":" + price(ticks) + ",\"Bid\":" + price(ticks) +
             ",\"Ask\":" + price(ticks + 1) + ",\"Volume\":" + std::to_string(10'000 + random() % 90'000) +
             ",\"High\":" + price(ticks + 400) + ",\"Low\":" + price(ticks - 400) + ",\"Timestamp\":1700000000000}";
  }
}

std::string Text(Shape shape) {
  std::string text;
  if (shape == kSynth) {
    SynthMarket market({.symbols = kSymbols, .seed = kSeed});
    for (size_t i = 0; i < kLines; ++i) market.AppendNdjson(&text);
    return text;
  }
  std::mt19937_64 random(kSeed);
  for (size_t i = 0; i < kLines; ++i) text += Line(shape, random) + "\n";
  return text;
}

// Feeds the text in blocks as a file does. Returns how many lines there were.
size_t Play(const std::string& text, NdjsonDecoder* decoder, LineSplitter* splitter) {
  size_t lines = 0;
  for (size_t at = 0; at != text.size();) {
    const std::span<char> space = splitter->WritableSpace();
    const size_t bytes = std::min(space.size(), text.size() - at);
    std::copy_n(text.data() + at, bytes, space.data());
    splitter->Commit(bytes);
    at += bytes;
    LineSplitter::Line line;
    while (splitter->Next(&line)) {
      decoder->Decode(line.data, line.bytes, line.offset);
      ++lines;
    }
  }
  return lines;
}

void Report(benchmark::State& state, const Cycles& cycles, size_t bytes) {
  state.counters["line_bytes"] = static_cast<double>(bytes) / kLines;
  ReportPerItem(state, cycles, static_cast<int64_t>(kLines) * state.iterations(), "ns_per_tick");
}

// The whole way: lines, decoder, symbol, slot, dirty queue (which is emptied as a sink would, outside of the time).
void BM_Decode_NdjsonToSlot(benchmark::State& state) {
  const std::string text = Text(static_cast<Shape>(state.range(0)));
  CoreFixture core({.symbols = kSymbols});
  const auto ingest = core.MakeIngest(Ingest::Options{.feed = "bench", .replay = true});
  ingest->BeginBatch(core.sources.Open(0, core.clock.Now()), core.clock.Now());
  NdjsonDecoder decoder(ingest.get(), {.fast_path = state.range(1) != 0});
  LineSplitter splitter;
  size_t lines = 0;
  Cycles cycles;
  for (auto _ : state) {
    cycles.Start();
    lines += Play(text, &decoder, &splitter);
    cycles.Stop();
    state.PauseTiming();
    core.DrainDirty();
    state.ResumeTiming();
  }
  if (ingest->counts().accepted->Get() + ingest->counts().rejected[static_cast<size_t>(RejectReason::kStale)]->Get() !=
      lines) {
    state.SkipWithError("lines were lost");
  }
  Report(state, cycles, text.size());
}
BENCHMARK(BM_Decode_NdjsonToSlot)
    ->ArgNames({"shape", "fast"})
    ->ArgsProduct({{kFull, kSynth, kQuotedNumbers, kSpaced}, {1, 0}});

// Nearly the decoder alone: behind it, the symbol is looked up, and the tick is found older than its slot.
void BM_Decode_NdjsonOnly(benchmark::State& state) {
  const std::string text = Text(static_cast<Shape>(state.range(0)));
  CoreFixture core({.symbols = kSymbols});
  const auto ingest = core.MakeIngest(Ingest::Options{.feed = "bench", .replay = true});
  ingest->BeginBatch(core.sources.Open(0, core.clock.Now()), core.clock.Now());
  Tick newest;
  for (size_t field = 0; field < kFieldCount; ++field) newest.Set(static_cast<Field>(field), {1, 0});
  newest.quote_time = newest.trade_time = VenueNsFromMs(limits::kUnixMsMax);
  for (uint32_t i = 0; i < kSymbols; ++i) ingest->OnTick(SynthSymbolName(i), newest);
  NdjsonDecoder decoder(ingest.get(), {.fast_path = state.range(1) != 0});
  LineSplitter splitter;
  Cycles cycles;
  for (auto _ : state) Play(text, &decoder, &splitter);
  cycles.Stop();
  Report(state, cycles, text.size());
}
BENCHMARK(BM_Decode_NdjsonOnly)->ArgNames({"shape", "fast"})->ArgsProduct({{kFull}, {1, 0}});

// What the synthetic market itself costs, and a whole in-process run of it: market, merge, dirty queue.
void BM_Synth_Next(benchmark::State& state) {
  SynthMarket market({.symbols = kSymbols, .seed = kSeed});
  Tick tick;
  uint32_t symbol = 0;
  uint64_t sum = 0;
  for (auto _ : state) {
    market.Next(&tick, &symbol);
    sum += symbol;
    benchmark::DoNotOptimize(tick);
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Synth_Next);

void BM_Synth_FeedToSlot(benchmark::State& state) {
  constexpr int kBatch = 256;
  CoreFixture core({.symbols = kSymbols});
  const auto ingest = core.MakeIngest(Ingest::Options{.feed = "bench"});
  auto feed =
      SynthFeed::Open({.name = "bench", .market = {.symbols = kSymbols, .seed = kSeed}, .rate = 0, .batch = kBatch},
                      ingest.get(), core.counters.get());
  if (!feed.ok()) return state.SkipWithError("no feed");
  std::vector<SymbolId> ids(kBatch);
  int64_t ticks = 0;
  for (auto _ : state) {
    ticks += (*feed)->DoWork();
    const size_t taken = core.dirty.Take(0, ids);
    for (size_t i = 0; i < taken; ++i) core.dirty.Begin(ids[i]);
  }
  if (ingest->counts().accepted->Get() != static_cast<uint64_t>(ticks)) state.SkipWithError("ticks were lost");
  state.SetItemsProcessed(ticks);
}
BENCHMARK(BM_Synth_FeedToSlot);

}  // namespace
}  // namespace tickbridge
