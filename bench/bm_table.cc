// SPDX-License-Identifier: Apache-2.0
// What a strategy on the same host pays: a look-up and a load from the shared latest table.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "bench/cycles.h"
#include "bench/shared_stage.h"

namespace tickbridge {
namespace {

constexpr uint32_t kSymbols = 4096;
constexpr uint64_t kSeed = 42;

void BM_TableReader_Find(benchmark::State& state) {
  const SharedStage stage(kSymbols);
  std::vector<std::string> names = stage.names();
  std::shuffle(names.begin(), names.end(), std::mt19937_64(kSeed));
  size_t at = 0;
  Cycles cycles;
  for (auto _ : state) {
    if (stage.reader().Find(names[at]) == kNoSymbol) state.SkipWithError("not found");
    if (++at == names.size()) at = 0;
  }
  cycles.Stop();
  cycles.Report(state, state.iterations());
}
BENCHMARK(BM_TableReader_Find);

void BM_TableReader_TryLoad(benchmark::State& state) {
  const SharedStage stage(kSymbols);
  std::vector<SymbolId> order;
  for (uint32_t i = 0; i < kSymbols; ++i) order.push_back(SymbolId{i});
  std::shuffle(order.begin(), order.end(), std::mt19937_64(kSeed));
  size_t at = 0;
  Quote quote;
  Cycles cycles;
  for (auto _ : state) {
    if (stage.reader().TryLoad(order[at], &quote) != TableReader::Load::kOk) state.SkipWithError("no quote");
    benchmark::DoNotOptimize(quote);
    if (++at == order.size()) at = 0;
  }
  cycles.Stop();
  cycles.Report(state, state.iterations());
}
BENCHMARK(BM_TableReader_TryLoad);

// One symbol whose lines are in the core's first cache, and whose last quote is used: what a strategy pays that polls.
template <TableReader::Load (TableReader::*kLoad)(SymbolId, Quote*) const noexcept>
void BM_TableReader_Hot(benchmark::State& state) {
  const SharedStage stage(kSymbols);
  const SymbolId id = stage.reader().Find(stage.names()[kSymbols / 2]);
  Quote quote;
  Cycles cycles;
  for (auto _ : state) {
    if ((stage.reader().*kLoad)(id, &quote) != TableReader::Load::kOk) state.SkipWithError("no quote");
    benchmark::DoNotOptimize(quote);
  }
  cycles.Stop();
  cycles.Report(state, state.iterations());
}
BENCHMARK(BM_TableReader_Hot<&TableReader::TryLoad>)->Name("BM_TableReader_TryLoadHot");
BENCHMARK(BM_TableReader_Hot<&TableReader::LoadQuote>)->Name("BM_TableReader_LoadQuoteHot");

}  // namespace
}  // namespace tickbridge
