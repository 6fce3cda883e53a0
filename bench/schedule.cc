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

void AppendField(std::string* out, const Tick& tick, Field field, std::string_view name, bool price) {
  if ((tick.given & Bit(field)) == 0) return;
  char text[kMaxDecimalChars + kDecimalPrintScratch];
  const Decimal& value = tick.value[Index(field)];
  const char* const end = price ? PrintPrice(text, value) : PrintSize(text, value);
  absl::StrAppend(out, ",\"", name, "\":", std::string_view(text, static_cast<size_t>(end - text)));
}

}  // namespace

std::string BenchSymbolName(uint32_t index) { return absl::StrCat("BENCH", index); }

Schedule::Schedule(const Options& options)
    : options_(options), market_(MarketOf(options)), numbers_(options.symbols), interval_ns_(1e9 / options.rate) {
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
  market_.Next(&tick_, &symbol_);
  const auto number = static_cast<int64_t>(++numbers_[symbol_]);
  tick_.quote_time = tick_.trade_time = VenueNsFromMs(kTimeBaseMs + number);
}

void Schedule::AppendLine(std::string* out) const {
  absl::StrAppend(out, "{\"symbol\":\"", name(), "\"");
  AppendField(out, tick_, Field::kLast, "Last", true);
  AppendField(out, tick_, Field::kLastSize, "LastSize", false);
  AppendField(out, tick_, Field::kBid, "Bid", true);
  AppendField(out, tick_, Field::kAsk, "Ask", true);
  AppendField(out, tick_, Field::kBidSize, "BidSize", false);
  AppendField(out, tick_, Field::kAskSize, "AskSize", false);
  absl::StrAppend(out, ",\"Timestamp\":", kTimeBaseMs + static_cast<int64_t>(number()), "}\n");
}

}  // namespace tickbridge
