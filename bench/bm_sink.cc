// SPDX-License-Identifier: Apache-2.0
// The sink's steps: from a quote to the bytes of its command, from answers to settled records, and a whole lane.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>
#include <vector>

#include "bench/cycles.h"
#include "bench/sink_stage.h"
#include "core/key_class.h"
#include "sink/quote_encoder.h"
#include "sink/reply_reader.h"
#include "sink/resp.h"

namespace tickbridge {
namespace {

constexpr uint32_t kSymbols = 4096;

Quote SampleQuote(int64_t i) {
  Quote quote;
  const auto set = [&](Field field, Decimal value) {
    quote.value[Index(field)] = value;
    quote.present = static_cast<FieldMask>(quote.present | Bit(field));
  };
  set(Field::kLast, {2'100'025 + i, -2});
  set(Field::kBid, {21'000 + i % 7, 0});
  set(Field::kAsk, {210'005 + i, -1});
  set(Field::kVolume, {12'345 + i, 0});
  set(Field::kHigh, {21'100, 0});
  set(Field::kLow, {20'950, 0});
  quote.timestamp.value = 1'700'000'000'000 + i;
  return quote;
}

void BM_Encode_Quote(benchmark::State& state) {
  const std::vector<KeyClass> classes = DefaultKeyClasses();
  QuoteEncoder encoder(classes[0].members);
  std::vector<Quote> quotes;
  for (int64_t i = 0; i < 64; ++i) quotes.push_back(SampleQuote(i * 37));
  std::vector<char> buffer(encoder.bytes_max());
  size_t at = 0;
  int64_t bytes = 0;
  Cycles cycles;
  for (auto _ : state) {
    bytes += encoder.Encode(buffer.data(), quotes[at++ & 63], {}, {}) - buffer.data();
    benchmark::ClobberMemory();
  }
  cycles.Stop();
  cycles.Report(state, state.iterations());
  state.SetBytesProcessed(bytes);
}
BENCHMARK(BM_Encode_Quote);

void BM_Encode_QuoteCommand(benchmark::State& state) {
  const std::vector<KeyClass> classes = DefaultKeyClasses();
  QuoteEncoder encoder(classes[0].members);
  std::vector<Quote> quotes;
  for (int64_t i = 0; i < 64; ++i) quotes.push_back(SampleQuote(i * 37));
  std::vector<char> buffer(encoder.bytes_max() + 256);
  const std::string head = "*4\r\n$5\r\nSETEX\r\n$18\r\nprice:MNQZ5:latest\r\n$1\r\n5\r\n";
  size_t at = 0;
  Cycles cycles;
  for (auto _ : state) {
    char* out = std::copy(head.begin(), head.end(), buffer.data());
    char* const value = out + 6;
    char* end = encoder.Encode(value, quotes[at++ & 63], {}, {});
    *out = '$';
    resp::PutUnsigned(out + 1, static_cast<uint64_t>(end - value));
    benchmark::ClobberMemory();
  }
  cycles.Stop();
  cycles.Report(state, state.iterations());
}
BENCHMARK(BM_Encode_QuoteCommand);

// A bulk string's frame around a value that is there already: what RESP adds.
void BM_Resp_PutBulk(benchmark::State& state) {
  const std::string value(115, 'x');
  std::vector<char> buffer(value.size() + resp::kBulkFrameBytes);
  Cycles cycles;
  for (auto _ : state) {
    benchmark::DoNotOptimize(resp::PutBulk(buffer.data(), value));
    benchmark::ClobberMemory();
  }
  cycles.Stop();
  cycles.Report(state, state.iterations());
}
BENCHMARK(BM_Resp_PutBulk);

// What the price side does for each dirty symbol: take, begin, load, encode. 0: one SETEX each; 1: MSETEX of 128.
void BM_PriceSink_Fill(benchmark::State& state) {
  SinkStage stage(kSymbols, state.range(0) != 0);
  Cycles cycles;
  for (auto _ : state) {
    state.PauseTiming();
    stage.core().TickAll();
    state.ResumeTiming();
    cycles.Start();
    const uint32_t filled = stage.FillAll();
    cycles.Stop();
    state.PauseTiming();
    if (filled != kSymbols) state.SkipWithError("a symbol was lost");
    stage.SettleAll();
    state.ResumeTiming();
  }
  ReportPerItem(state, cycles, state.iterations() * kSymbols, "ns_per_tick");
}
BENCHMARK(BM_PriceSink_Fill)->ArgName("msetex")->Arg(0)->Arg(1);

void BM_PriceSink_Settle(benchmark::State& state) {
  SinkStage stage(kSymbols, false);
  Cycles cycles;
  for (auto _ : state) {
    state.PauseTiming();
    stage.core().TickAll();
    stage.FillAll();
    state.ResumeTiming();
    cycles.Start();
    stage.SettleAll();
    cycles.Stop();
  }
  ReportPerItem(state, cycles, state.iterations() * kSymbols, "ns_per_tick");
}
BENCHMARK(BM_PriceSink_Settle);

// All that the sink does for a tick: the lane's duty cycles, with a connection that is memory.
void BM_Lane_Deliver(benchmark::State& state) {
  LaneStage stage(kSymbols);
  Cycles cycles;
  for (auto _ : state) {
    state.PauseTiming();
    stage.core().TickAll();
    state.ResumeTiming();
    cycles.Start();
    if (stage.DeliverAll() != kSymbols) state.SkipWithError("a symbol was lost");
    cycles.Stop();
  }
  ReportPerItem(state, cycles, state.iterations() * kSymbols, "ns_per_tick");
}
BENCHMARK(BM_Lane_Deliver);

// `answer`: what each command is answered with.
void Replies(benchmark::State& state, std::string_view answer) {
  constexpr int64_t kReplies = 1000;
  std::string text;
  for (int64_t i = 0; i < kReplies; ++i) text += answer;
  ReplyReader reader;
  ServerReply reply;
  Cycles cycles;
  for (auto _ : state) {
    std::copy(text.begin(), text.end(), reader.WritableSpace().begin());
    reader.Commit(text.size());
    int64_t count = 0;
    while (reader.Next(&reply) == ReplyReader::Result::kReply) ++count;
    if (count != kReplies) state.SkipWithError("a reply was lost");
  }
  cycles.Stop();
  ReportPerItem(state, cycles, state.iterations() * kReplies, "ns_per_reply");
}
BENCHMARK_CAPTURE(Replies, BM_Replies_Ok, "+OK\r\n")->Name("BM_Replies_Ok");
BENCHMARK_CAPTURE(Replies, BM_Replies_Integer, ":1\r\n")->Name("BM_Replies_Integer");  // of an MSETEX

}  // namespace
}  // namespace tickbridge
