// SPDX-License-Identifier: Apache-2.0
// The step from a quote to the bytes of its command.
#include <benchmark/benchmark.h>

#include <vector>

#include "core/key_class.h"
#include "sink/quote_encoder.h"
#include "sink/reply_reader.h"
#include "sink/resp.h"

namespace tickbridge {
namespace {

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
  for (auto _ : state) {
    bytes += encoder.Encode(buffer.data(), quotes[at++ & 63], {}, {}) - buffer.data();
    benchmark::ClobberMemory();
  }
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
  for (auto _ : state) {
    char* out = std::copy(head.begin(), head.end(), buffer.data());
    char* const value = out + 6;
    char* end = encoder.Encode(value, quotes[at++ & 63], {}, {});
    *out = '$';
    resp::PutUnsigned(out + 1, static_cast<uint64_t>(end - value));
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_Encode_QuoteCommand);

void BM_Replies_Ok(benchmark::State& state) {
  constexpr int64_t kReplies = 1000;
  std::string text;
  for (int64_t i = 0; i < kReplies; ++i) text += "+OK\r\n";
  ReplyReader reader;
  ServerReply reply;
  for (auto _ : state) {
    std::copy(text.begin(), text.end(), reader.WritableSpace().begin());
    reader.Commit(text.size());
    int64_t count = 0;
    while (reader.Next(&reply) == ReplyReader::Result::kReply) ++count;
    if (count != kReplies) state.SkipWithError("a reply was lost");
  }
  state.SetItemsProcessed(state.iterations() * kReplies);
}
BENCHMARK(BM_Replies_Ok);

}  // namespace
}  // namespace tickbridge
