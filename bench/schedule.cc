// SPDX-License-Identifier: Apache-2.0
#include "bench/schedule.h"

#include "absl/strings/str_cat.h"
#include "core/decimal.h"

namespace tickbridge {
namespace {

SynthMarket::Options MarketOf(const Schedule::Options& options) {
  SynthMarket::Options market;
  market.symbols = options.symbols;
  market.seed = options.seed;
  market.skew = options.skew;
  return market;
}

std::string Text(const Decimal& value, char* (*print)(char*, Decimal)) {
  char text[kMaxDecimalChars + kDecimalPrintScratch];
  return {text, print(text, value)};
}

}  // namespace

std::string BenchSymbolName(uint32_t index) { return absl::StrCat("BENCH", index); }

Schedule::Schedule(const Options& options)
    : options_(options), market_(MarketOf(options)), numbers_(options.symbols), interval_ns_(1e9 / options.rate) {
  tick_.Set(Field::kLast, {2'100'021, -2});
  tick_.Set(Field::kBid, {210'001, -1});
  tick_.Set(Field::kAsk, {210'005, -1});
  tick_.Set(Field::kVolume, {12'341, 0});
  tick_.Set(Field::kHigh, {211'005, -1});
  tick_.Set(Field::kLow, {209'505, -1});
  names_.reserve(options.symbols);
  for (uint32_t i = 0; i < options.symbols; ++i) names_.push_back(BenchSymbolName(i));
  Draw();
}

void Schedule::Advance() noexcept {
  ++sent_;
  // From the number, not from the tick before: errors do not add up. A double is exact to a nanosecond for weeks.
  const uint64_t turn = sent_ - sent_ % options_.burst;
  due_ns_ = static_cast<int64_t>(static_cast<double>(turn) * interval_ns_);
  Draw();
}

void Schedule::Draw() noexcept {
  Tick drawn;
  market_.Next(&drawn, &symbol_);
  const auto number = static_cast<int64_t>(++numbers_[symbol_]);
  tick_.value[Index(Field::kLast)].mantissa = 2'100'021 + number % 9;  // never a zero at its end: as long each time
  tick_.value[Index(Field::kVolume)].mantissa = 12'341 + number % 9;
  tick_.quote_time = tick_.trade_time = VenueNsFromMs(kTimeBaseMs + number);
}

void Schedule::AppendLine(std::string* out) const {
  const auto price = [this](Field field) { return Text(tick_.value[Index(field)], PrintPrice); };
  absl::StrAppend(out, "{\"symbol\":\"", name(), "\",\"Last\":", price(Field::kLast), ",\"Bid\":", price(Field::kBid),
                  ",\"Ask\":", price(Field::kAsk));
  absl::StrAppend(out, ",\"Volume\":", Text(tick_.value[Index(Field::kVolume)], PrintSize),
                  ",\"High\":", price(Field::kHigh), ",\"Low\":", price(Field::kLow),
                  ",\"Timestamp\":", kTimeBaseMs + static_cast<int64_t>(number()), "}\n");
}

}  // namespace tickbridge
