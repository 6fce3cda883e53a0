// SPDX-License-Identifier: Apache-2.0
// The near cache of remote strategies, on a private redis-server: what a Get costs, and a Poll when nothing changed.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "sink/quote_decoder.h"
#include "sink/redis_reader.h"
#include "tests/redis_server.h"

namespace tickbridge {
namespace {

constexpr uint32_t kSymbols = 1'000;
constexpr const char* kValue =
    R"({"Last":21000.25,"Bid":21000.0,"Ask":21000.5,"Volume":12345,"High":21100.0,"Low":20950.0,"Timestamp":1700000000000})";

// A reader that has read all of its symbols; its server stays until the end.
RedisReader* Reader() {
  static RedisServer server;
  static RedisReader* const reader = [] {
    std::vector<std::string> symbols;
    for (uint32_t i = 0; i < kSymbols; ++i) {
      symbols.push_back(absl::StrCat("SYM", i));
      server.Call({"SETEX", absl::StrCat("price:", symbols.back(), ":latest"), "3600", kValue});
    }
    RedisReader::Options options;
    options.target.kind = RedisTarget::Kind::kUnix;
    options.target.unix_path = server.socket();
    return RedisReader::Create(options, symbols)->release();
  }();
  WaitFor([] { return reader->Poll(kNsPerSec) == RedisReader::Outcome::kCurrent; });
  return reader;
}

void BM_RedisReader_Get(benchmark::State& state) {
  RedisReader* const reader = Reader();
  const MonoNs now = SystemClock::ReadMonotonic();  // once for many, as a strategy does
  uint32_t at = 0;
  int64_t sum = 0;
  for (auto _ : state) {
    const Quote* quote = nullptr;
    if (reader->Get(SymbolId{at}, now, &quote) != QuoteState::kCurrent) state.SkipWithError("not current");
    sum += quote->Get(Field::kBid).mantissa;
    benchmark::DoNotOptimize(sum);
    at = at + 1 == state.range(0) ? 0 : at + 1;
  }
}
BENCHMARK(BM_RedisReader_Get)->Arg(1)->Arg(kSymbols);

void BM_RedisReader_GetByTheClock(benchmark::State& state) {
  RedisReader* const reader = Reader();
  for (auto _ : state) {
    const Quote* quote = nullptr;
    benchmark::DoNotOptimize(reader->Get(SymbolId{0}, &quote));
    benchmark::DoNotOptimize(quote);
    // Silence is believed for a second only.
    if (quote == nullptr) state.SkipWithError("no quote");
  }
}
BENCHMARK(BM_RedisReader_GetByTheClock);

void BM_RedisReader_PollUnchanged(benchmark::State& state) {
  RedisReader* const reader = Reader();
  if (reader->mode() != RedisReader::Mode::kTracking) state.SkipWithError("the server does not track");
  for (auto _ : state) {
    if (reader->Poll(kNsPerSec) != RedisReader::Outcome::kCurrent) state.SkipWithError("not current");
  }
}
BENCHMARK(BM_RedisReader_PollUnchanged);

void BM_Decode_StoredQuote(benchmark::State& state) {
  Quote quote;
  for (auto _ : state) {
    if (!DecodeQuote(kValue, &quote)) state.SkipWithError("not a quote");
    benchmark::DoNotOptimize(quote);
  }
}
BENCHMARK(BM_Decode_StoredQuote);

}  // namespace
}  // namespace tickbridge
