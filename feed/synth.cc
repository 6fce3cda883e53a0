// SPDX-License-Identifier: Apache-2.0
#include "feed/synth.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/limits.h"

namespace tickbridge {
namespace {

// xoshiro256++ (Blackman and Vigna), seeded through splitmix64 as its authors say.
uint64_t SplitMix(uint64_t* state) noexcept {
  uint64_t z = (*state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111eb;
  return z ^ (z >> 31U);
}

// Bits of one draw, from the low end.
constexpr uint64_t kWalkBits = 2;  // 0: down, 1: up, else stay
constexpr uint64_t kSizeBits = 7;  // twice
constexpr uint64_t kKindBits = 8;  // below kTrades: a trade
constexpr uint64_t kTrades = 40;
constexpr uint64_t kBurstBits = 6;        // 0: a burst begins
constexpr uint64_t kBurstLengthBits = 6;  // plus kBurstLengthMin
constexpr uint64_t kBurstLengthMin = 8;
constexpr uint64_t kGapBits = 16;

constexpr double kBurstChance = 1.0 / (1 << kBurstBits);
constexpr double kBurstLengthMean = kBurstLengthMin + ((1 << kBurstLengthBits) - 1) / 2.0;

struct Grid {
  int32_t step;
  int8_t exponent;
};
constexpr std::array<Grid, 4> kGrids = {Grid{25, -2}, Grid{1, -2}, Grid{5, -1}, Grid{1, -4}};

constexpr FieldMask kTradeGiven = Bit(Field::kLast) | Bit(Field::kLastSize);

// The scale in ns of one clock step whose mean is as the rate asks: a tick of a burst takes no time, so the others take
// more.
uint64_t GapScale(double rate) {
  const double mean_ns = 1e9 / (rate > 0 ? rate : 1e6);
  return static_cast<uint64_t>(2 * mean_ns * (1 + kBurstChance * kBurstLengthMean));
}

}  // namespace

std::string SynthSymbolName(uint32_t index) {
  static constexpr std::array<std::string_view, 16> kRoots = {"MNQ", "ES", "NQ", "MES", "CL", "GC", "YM", "RTY",
                                                              "ZN",  "ZB", "6E", "6J",  "SI", "HG", "NG", "MCL"};
  static constexpr std::string_view kMonths = "ZHMU";
  return absl::StrCat(kRoots[index % 16], kMonths.substr(index / 16 % 4, 1), 5 + index / 64);
}

SynthMarket::SynthMarket(const Options& options)
    : gap_scale_(GapScale(options.rate)), start_ms_(options.start_unix_ms), clock_ms_(options.start_unix_ms) {
  uint64_t seed = options.seed;
  for (uint64_t& word : state_) word = SplitMix(&seed);

  const uint32_t count = options.symbols;
  names_.reserve(count);
  symbols_.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    names_.push_back(SynthSymbolName(i));
    const Grid grid = kGrids[i % kGrids.size()];
    const auto bid = static_cast<int32_t>(20'000 + Draw() % 80'000);
    symbols_.push_back({bid, bid / 2, bid * 2, grid.step, grid.exponent, static_cast<uint8_t>(1 + Draw() % 3)});
  }

  // Vose: columns of equal height, each filled by one symbol and the surplus of one other.
  std::vector<double> share(count);
  for (uint32_t i = 0; i < count; ++i) share[i] = std::pow(1.0 + i, -options.skew);
  const double total = std::accumulate(share.begin(), share.end(), 0.0);
  columns_.resize(count);
  std::vector<uint32_t> small;
  std::vector<uint32_t> large;
  for (uint32_t i = 0; i < count; ++i) {
    share[i] *= count / total;
    columns_[i] = {UINT32_MAX, i};
    (share[i] < 1 ? small : large).push_back(i);
  }
  while (!small.empty() && !large.empty()) {
    const uint32_t low = small.back();
    const uint32_t high = large.back();
    small.pop_back();
    columns_[low] = {static_cast<uint32_t>(share[low] * 4294967295.0), high};
    share[high] -= 1 - share[low];
    if (share[high] < 1) {
      large.pop_back();
      small.push_back(high);
    }
  }
}

uint64_t SynthMarket::Draw() noexcept {
  const uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
  const uint64_t shifted = state_[1] << 17U;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

uint32_t SynthMarket::DrawSymbol() noexcept {
  const uint64_t bits = Draw();
  const auto at = static_cast<uint32_t>(((bits >> 32U) * columns_.size()) >> 32U);
  const Column column = columns_[at];
  return static_cast<uint32_t>(bits) <= column.threshold ? at : column.alias;
}

void SynthMarket::AdvanceClock(uint64_t bits) noexcept {
  const auto gap = static_cast<int64_t>(((bits & ((1U << kGapBits) - 1)) * gap_scale_) >> kGapBits);
  elapsed_ns_ += gap;
  clock_rest_ns_ += gap;
  if (clock_rest_ns_ >= kNsPerMs) {
    clock_ms_ = start_ms_ + elapsed_ns_ / kNsPerMs;
    clock_rest_ns_ = elapsed_ns_ % kNsPerMs;
  }
}

void SynthMarket::Next(Tick* tick, uint32_t* index) noexcept {
  uint64_t bits = Draw();
  const auto take = [&bits](uint64_t count) {
    const uint64_t taken = bits & ((uint64_t{1} << count) - 1);
    bits >>= count;
    return taken;
  };
  const uint64_t walk = take(kWalkBits);
  const auto size_a = static_cast<int64_t>(1 + take(kSizeBits));
  const auto size_b = static_cast<int64_t>(1 + take(kSizeBits));
  const uint64_t kind = take(kKindBits);
  const uint64_t burst = take(kBurstBits);
  const uint64_t burst_length = take(kBurstLengthBits);

  uint32_t at;
  if (burst_left_ != 0) {
    --burst_left_;
    at = (kind & 1) != 0 ? burst_symbol_ : DrawSymbol();
  } else {
    AdvanceClock(bits);
    at = DrawSymbol();
    if (burst == 0) {
      burst_left_ = static_cast<uint32_t>(kBurstLengthMin + burst_length);
      burst_symbol_ = at;
    }
  }
  Symbol& symbol = symbols_[at];
  const int32_t moved = symbol.bid + (walk == 1 ? 1 : 0) - (walk == 0 ? 1 : 0);
  symbol.bid = std::clamp(moved, symbol.bid_min, symbol.bid_max);
  const Decimal bid{int64_t{symbol.bid} * symbol.step, symbol.exponent};
  const Decimal ask{int64_t{symbol.bid + symbol.spread} * symbol.step, symbol.exponent};
  if (kind < kTrades) {
    tick->value[Index(Field::kLast)] = walk % 2 != 0 ? bid : ask;
    tick->value[Index(Field::kLastSize)] = {size_a, 0};
    tick->given = kTradeGiven;
  } else {
    tick->value[Index(Field::kBid)] = bid;
    tick->value[Index(Field::kAsk)] = ask;
    tick->value[Index(Field::kBidSize)] = {size_a, 0};
    tick->value[Index(Field::kAskSize)] = {size_b, 0};
    tick->given = kQuoteFields;
  }
  tick->cleared = 0;
  tick->has_status = false;
  tick->quote_time = tick->trade_time = VenueNsFromMs(clock_ms_);
  *index = at;
}

void SynthMarket::AppendNdjson(std::string* out) {
  Tick tick;
  uint32_t index;
  Next(&tick, &index);
  std::array<char, 512> line;
  char* p = line.data();
  const auto text = [&p](std::string_view piece) { p = std::copy(piece.begin(), piece.end(), p); };
  const auto value = [&tick](Field field) { return tick.value[Index(field)]; };
  text("{\"symbol\":\"");
  text(names_[index]);
  if (tick.given == kTradeGiven) {
    text("\",\"Last\":");
    p = PrintPrice(p, value(Field::kLast));
    text(",\"LastSize\":");
    p = PrintSize(p, value(Field::kLastSize));
  } else {
    text("\",\"Bid\":");
    p = PrintPrice(p, value(Field::kBid));
    text(",\"Ask\":");
    p = PrintPrice(p, value(Field::kAsk));
    text(",\"BidSize\":");
    p = PrintSize(p, value(Field::kBidSize));
    text(",\"AskSize\":");
    p = PrintSize(p, value(Field::kAskSize));
  }
  text(",\"Timestamp\":");
  p = PrintSize(p, {clock_ms_, 0});
  text("}\n");
  out->append(line.data(), p);
}

absl::StatusOr<std::unique_ptr<SynthFeed>> SynthFeed::Open(Options options, Ingest* ingest, CountersFile* counters) {
  const auto error = [&](std::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("feed.", options.name, ": ", what));
  };
  if (options.market.symbols < 1 || options.market.symbols > limits::kSymbolsMax) {
    return error(absl::StrCat("symbols = ", options.market.symbols, ", must be 1 to ", limits::kSymbolsMax));
  }
  if (!(options.rate >= 0 && options.rate <= 1e9)) {
    return error(absl::StrCat("rate = ", options.rate, ", must be 0 (no limit) to 1000000000 ticks a second"));
  }
  if (options.market.skew < 0 || options.market.skew > 10) return error("skew must be 0 to 10");
  options.market.rate = options.rate;
  return std::unique_ptr<SynthFeed>(new SynthFeed(std::move(options), ingest, counters));
}

SynthFeed::SynthFeed(Options options, Ingest* ingest, CountersFile* counters)
    : Feed(options.name, 0, counters->AddGauge(absl::StrCat("feed.", options.name, ".open"))),
      options_(std::move(options)),
      ingest_(ingest),
      market_(options_.market) {
  market_.Next(&tick_, &symbol_);
}

int SynthFeed::DoWork() noexcept {
  if (done_.load(std::memory_order_relaxed)) return 0;  // our own word
  const MonoNs now = ingest_->core().clock->Now();
  if (source_ == kNoSource) {
    start_ = now;
    source_ = ingest_->core().sources->Open(0, now);
    SourceOpened(now);
  }
  const int64_t elapsed_ns = now - start_;
  const int64_t due_ns = options_.rate == 0 ? INT64_MAX : elapsed_ns;
  const VenueNs venue_time = VenueNsFromMs(ToUnixMs(ingest_->core().clock->ToUnix(now)).value);
  const uint64_t sent_before = sent_.load(std::memory_order_relaxed);
  uint64_t left = static_cast<uint64_t>(options_.batch);
  if (options_.count != 0) left = std::min(left, options_.count - sent_before);
  const uint64_t batch = left;
  ingest_->BeginBatch(source_, now);
  for (; left != 0 && market_.elapsed_ns() <= due_ns; --left) {
    tick_.quote_time = tick_.trade_time = venue_time;
    ingest_->OnTick(market_.SymbolName(symbol_), tick_);
    market_.Next(&tick_, &symbol_);
  }
  const uint64_t sent = sent_before + (batch - left);
  sent_.store(sent, std::memory_order_relaxed);
  ingest_->Maintain(now);
  if ((options_.count != 0 && sent >= options_.count) ||
      (options_.duration_ns != 0 && elapsed_ns >= options_.duration_ns)) {
    Finish();
  }
  return static_cast<int>(batch - left);
}

void SynthFeed::OnClose() noexcept { Finish(); }

void SynthFeed::Finish() noexcept {
  if (source_ != kNoSource && !options_.keep_source) {
    ingest_->core().sources->Close(source_);
    source_ = kNoSource;
    SourceClosed();
  }
  done_.store(true, std::memory_order_release);  // pairs with the acquire of done()
}

}  // namespace tickbridge
