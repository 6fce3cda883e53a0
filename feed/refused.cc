// SPDX-License-Identifier: Apache-2.0
#include "feed/refused.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace tickbridge {
namespace {

Tick Trade(Decimal last, VenueNs time) {
  Tick tick;
  tick.Set(Field::kLast, last);
  tick.trade_time = time;
  return tick;
}

bool IsSame(Decimal a, Decimal b) { return a.mantissa == b.mantissa && a.exponent == b.exponent; }

}  // namespace

void Refused::Take(const Tick& tick) noexcept {
  waiting_ = true;
  (reset_between_ ? after_ : before_).Take(tick);
}

void Refused::TakeReset() noexcept {
  waiting_ = true;
  if (!reset_between_ && before_.empty()) {
    reset_first_ = true;
    return;
  }
  if (reset_between_) {
    // A time of `after_` may be older than what was sent before all this: so that it is taken, a reset goes ahead.
    before_.TakeAfterReset(after_);
    after_ = {};
    reset_first_ = true;
  }
  reset_between_ = true;
}

void Refused::MoveTo(std::vector<RefusedStep>* steps) {
  if (reset_first_) steps->push_back({.reset = true, .tick = {}});
  before_.AppendTo(steps);
  if (reset_between_) steps->push_back({.reset = true, .tick = {}});
  after_.AppendTo(steps);
  *this = {};
}

void Refused::Stage::TakeUnion(const Tick& tick) noexcept {
  for (size_t i = 0; i < kFieldCount; ++i) {
    const auto field = static_cast<Field>(i);
    if ((tick.given & Bit(field)) != 0) tick_.Set(field, tick.value[i]);
    if ((tick.cleared & Bit(field)) != 0) tick_.Clear(field);
  }
  if (tick.has_status) {
    tick_.has_status = true;
    tick_.status = tick.status;
  }
  const unsigned touched = tick.given | tick.cleared;
  if ((touched & kQuoteFields) != 0) tick_.quote_time = std::max(tick_.quote_time, tick.quote_time);
  if ((touched & kTradeFields) != 0) tick_.trade_time = std::max(tick_.trade_time, tick.trade_time);
}

void Refused::Stage::Take(const Tick& tick) noexcept {
  TakeUnion(tick);
  if ((tick.given & Bit(Field::kLast)) == 0) return;
  const Extreme trade{tick.value[Index(Field::kLast)], tick.trade_time, trades_};
  if (trades_ == 0 || Compare(trade.last, high_.last) > 0) high_ = trade;
  if (trades_ == 0 || Compare(trade.last, low_.last) < 0) low_ = trade;
  ++trades_;
  if ((tick.given & Bit(Field::kLastSize)) == 0) return;
  const Decimal size = tick.value[Index(Field::kLastSize)];
  if (!has_sum_) {
    sum_ = size;
  } else if (!AddAtFinest(sum_, size, &sum_)) {
    overflowed_ = true;
  }
  has_sum_ = true;
}

void Refused::Stage::TakeAfterReset(const Stage& later) noexcept {
  TakeUnion(later.tick_);
  trades_ = 0;
  has_sum_ = overflowed_ = false;
}

void Refused::Stage::AppendTo(std::vector<RefusedStep>* steps) const {
  if (empty()) return;
  const auto append = [&](const Tick& tick) { steps->push_back({.reset = false, .tick = tick}); };
  Tick newest = tick_;
  const Decimal last = newest.value[Index(Field::kLast)];
  const bool has_last = (newest.given & Bit(Field::kLast)) != 0;
  const bool has_size = (newest.given & Bit(Field::kLastSize)) != 0;
  const bool sums = has_sum_ && !Touched(Field::kVolume);

  // Trades that went ahead of the newest and that it does not stand for.
  const bool need_high = trades_ > 0 && !Touched(Field::kHigh) && (!has_last || Compare(high_.last, last) > 0);
  const bool need_low = trades_ > 0 && !Touched(Field::kLow) && (!has_last || Compare(low_.last, last) < 0);
  std::array<Extreme, 2> extremes;
  size_t count = 0;
  if (need_high) extremes[count++] = high_;
  if (need_low && !(need_high && low_.order == high_.order)) extremes[count++] = low_;
  if (sums && (overflowed_ || !has_last) && count == 0) extremes[count++] = low_;
  if (count == 2 && extremes[1].order < extremes[0].order) std::swap(extremes[0], extremes[1]);
  const std::span<const Extreme> ahead(extremes.data(), count);

  bool counted = !sums;
  if (sums && overflowed_) {
    // Two sizes that leave 18 digits for certain, so that the bridge's Volume ends as it would have.
    for (int i = 0; i < 2; ++i) {
      Tick tick = Trade(ahead.front().last, ahead.front().time);
      tick.Set(Field::kLastSize, {kMaxMantissa, 0});
      append(tick);
    }
    counted = true;
  }
  for (const Extreme& trade : ahead) {
    Tick tick = Trade(trade.last, trade.time);
    if (!counted) tick.Set(Field::kLastSize, sum_);
    counted = true;
    append(tick);
  }

  // A LastSize beside a Last is added to Volume: the newest size may stand there only if it is what is left to add.
  const bool volume_is_given = Touched(Field::kVolume);
  const bool fits =
      volume_is_given || !has_last || (!counted && has_size && IsSame(sum_, newest.value[Index(Field::kLastSize)]));
  if (fits) return append(newest);
  const bool clears_size = (newest.cleared & Bit(Field::kLastSize)) != 0;
  const Decimal size = newest.value[Index(Field::kLastSize)];
  newest.given = static_cast<FieldMask>(newest.given & ~Bit(Field::kLastSize));
  newest.cleared = static_cast<FieldMask>(newest.cleared & ~Bit(Field::kLastSize));
  if (!counted) newest.Set(Field::kLastSize, sum_);
  append(newest);
  if (!has_size && !clears_size) return;
  Tick rest;
  if (clears_size) {
    rest.Clear(Field::kLastSize);
  } else {
    rest.Set(Field::kLastSize, size);
  }
  rest.trade_time = newest.trade_time;
  append(rest);
}

}  // namespace tickbridge
