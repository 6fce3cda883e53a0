// SPDX-License-Identifier: Apache-2.0
#include "core/latest_table.h"

#include <algorithm>

namespace tickbridge {
namespace {

// The word `meta`, from the low bit: exponent of the ninth field (8), present (9), the fields that the feed counts
// itself (3: Volume, High, Low), volume overflowed (1), status (3), restored (1), reset before it (1), the first six
// fields cleared before it (6), source (32).
struct Meta {
  static constexpr unsigned kPresentShift = 8;
  static constexpr unsigned kExplicitShift = 17;
  static constexpr unsigned kOverflowShift = 20;
  static constexpr unsigned kStatusShift = 21;
  static constexpr unsigned kRestoredShift = 24;
  static constexpr unsigned kWasResetShift = 25;
  static constexpr unsigned kWasClearedShift = 26;
  static constexpr unsigned kSourceShift = 32;
};

constexpr size_t kNinth = kFieldCount - 1;
static_assert(Index(Field::kLow) == kNinth);
constexpr FieldMask kSummaryFields = Bit(Field::kVolume) | Bit(Field::kHigh) | Bit(Field::kLow);
constexpr unsigned kSummaryShift = static_cast<unsigned>(Field::kVolume);

// The fields whose clearing a Restore must heed; for the others the feed's own counting says it.
constexpr FieldMask kClearableFields = kQuoteFields | Bit(Field::kLast) | Bit(Field::kLastSize);
static_assert(kClearableFields == 0x3f);

bool InRange(const Quote& quote) noexcept {
  for (size_t field = 0; field < kFieldCount; ++field) {
    const Decimal value = quote.value[field];
    if ((quote.present >> field & 1) == 0) continue;
    if (value.mantissa > kMaxMantissa || value.mantissa < -kMaxMantissa) return false;
    if (value.exponent < kMinExponent || value.exponent > kMaxExponent) return false;
  }
  return quote.timestamp.value >= 0 && quote.timestamp.value <= limits::kUnixMsMax;
}

// Reads of the owner's own words need no order: nobody else writes them.
constexpr auto kOwn = std::memory_order_relaxed;

}  // namespace

// One write to a slot, between the odd version and the even one. Holds the packed words in registers.
struct LatestTable::Editor {
  explicit Editor(Slot& s) noexcept
      : slot(s),
        version(s.version.load(kOwn)),
        exponents(s.exponents.load(kOwn)),
        meta(s.meta.load(kOwn)),
        present(static_cast<FieldMask>((meta >> Meta::kPresentShift) & 0x1ff)) {
    // Relaxed is enough: every payload store below is a release (2), which keeps this one before it.
    slot.version.store(version + 1, std::memory_order_relaxed);
  }

  // Publishes the packed words and ends the write.
  void Finish() noexcept {
    meta = (meta & ~(uint64_t{0x1ff} << Meta::kPresentShift)) | uint64_t{present} << Meta::kPresentShift;
    slot.exponents.store(exponents, std::memory_order_release);  // (2)
    slot.meta.store(meta, std::memory_order_release);            // (2)
    slot.version.store(version + 2, std::memory_order_release);  // (4)
  }

  int8_t Exponent(size_t field) const noexcept {
    return static_cast<int8_t>(field == kNinth ? meta & 0xff : exponents >> (8 * field) & 0xff);
  }
  Decimal Get(Field field) const noexcept { return {Mantissa(slot, Index(field)).load(kOwn), Exponent(Index(field))}; }
  bool Has(Field field) const noexcept { return (present & Bit(field)) != 0; }

  [[gnu::always_inline]] void Set(Field field, Decimal value) noexcept {
    const size_t at = Index(field);
    Mantissa(slot, at).store(value.mantissa, std::memory_order_release);  // (2)
    const uint64_t exponent = static_cast<uint8_t>(value.exponent);
    if (at == kNinth) {
      meta = (meta & ~uint64_t{0xff}) | exponent;
    } else {
      exponents = (exponents & ~(uint64_t{0xff} << (8 * at))) | exponent << (8 * at);
    }
    present = static_cast<FieldMask>(present | Bit(field));
  }

  bool FeedCounts(Field field) const noexcept {
    return (meta >> Meta::kExplicitShift & (Bit(field) >> kSummaryShift)) != 0;
  }
  void MarkFeedCounts(FieldMask fields) noexcept { meta |= uint64_t(fields >> kSummaryShift) << Meta::kExplicitShift; }
  bool VolumeOverflowed() const noexcept { return (meta >> Meta::kOverflowShift & 1) != 0; }
  void SetVolumeOverflowed(bool on) noexcept {
    meta = (meta & ~(uint64_t{1} << Meta::kOverflowShift)) | uint64_t{on} << Meta::kOverflowShift;
  }

  // The fields of one group that the tick gives or clears. Unrolled: places and shifts are constants then, and which
  // fields come is what a branch predictor learns of a venue.
  template <Field... kFields>
  void TakeFields(const Tick& tick) noexcept {
    ((void)((tick.given & Bit(kFields)) != 0 ? Set(kFields, tick.value[Index(kFields)]) : void()), ...);
    constexpr auto kGroup = static_cast<FieldMask>((Bit(kFields) | ...));
    present = static_cast<FieldMask>(present & ~(tick.cleared & kGroup));
  }
  // For a Restore that is still to come.
  void NoteCleared(FieldMask cleared) noexcept {
    meta |= uint64_t{static_cast<FieldMask>(cleared & kClearableFields)} << Meta::kWasClearedShift;
  }
  void NoteReset() noexcept { meta |= uint64_t{1} << Meta::kWasResetShift; }
  bool WasReset() const noexcept { return (meta >> Meta::kWasResetShift & 1) != 0; }
  bool WasCleared(Field field) const noexcept { return (meta >> Meta::kWasClearedShift & Bit(field)) != 0; }

  // A field of a group: what the slot has wins, unless the stored value is newer.
  void RestoreField(Field field, const Quote& stored, bool stored_newer) noexcept {
    if (stored.Has(field) && (stored_newer || (!Has(field) && !WasCleared(field)))) Set(field, stored.Get(field));
  }
  // `stored_newer`: the slot's come from trades that are older than the stored ones, which they count in already.
  void RestoreSummary(const Quote& stored, bool stored_newer) noexcept {
    if (stored_newer) {
      for (const Field field : {Field::kVolume, Field::kHigh, Field::kLow}) {
        if (stored.Has(field)) Set(field, stored.Get(field));
      }
      return;
    }
    if (!FeedCounts(Field::kHigh) && stored.Has(Field::kHigh) &&
        (!Has(Field::kHigh) || Compare(stored.Get(Field::kHigh), Get(Field::kHigh)) > 0)) {
      Set(Field::kHigh, stored.Get(Field::kHigh));
    }
    if (!FeedCounts(Field::kLow) && stored.Has(Field::kLow) &&
        (!Has(Field::kLow) || Compare(stored.Get(Field::kLow), Get(Field::kLow)) < 0)) {
      Set(Field::kLow, stored.Get(Field::kLow));
    }
    if (FeedCounts(Field::kVolume) || VolumeOverflowed() || !stored.Has(Field::kVolume)) return;
    Decimal sum = stored.Get(Field::kVolume);
    if (Has(Field::kVolume) && !AddAtFinest(Get(Field::kVolume), sum, &sum)) {
      SetVolumeOverflowed(true);
      present = static_cast<FieldMask>(present & ~Bit(Field::kVolume));
      return;
    }
    Set(Field::kVolume, sum);
  }

  void TakeQuote(const Tick& tick) noexcept {
    TakeFields<Field::kBid, Field::kAsk, Field::kBidSize, Field::kAskSize>(tick);
  }
  void TakeTrade(const Tick& tick) noexcept {
    TakeFields<Field::kLast, Field::kLastSize, Field::kVolume, Field::kHigh, Field::kLow>(tick);
  }

  // A trade raises High, lowers Low and adds to Volume where the feed does not count them itself.
  void FeedSummary(const Tick& tick, bool* volume_overflow) noexcept {
    const Decimal last = tick.value[Index(Field::kLast)];
    if (!FeedCounts(Field::kHigh) && (!Has(Field::kHigh) || Compare(last, Get(Field::kHigh)) > 0)) {
      Set(Field::kHigh, last);
    }
    if (!FeedCounts(Field::kLow) && (!Has(Field::kLow) || Compare(last, Get(Field::kLow)) < 0)) {
      Set(Field::kLow, last);
    }
    if ((tick.given & Bit(Field::kLastSize)) == 0 || FeedCounts(Field::kVolume) || VolumeOverflowed()) return;
    Decimal sum = tick.value[Index(Field::kLastSize)];
    if (Has(Field::kVolume) && !AddAtFinest(Get(Field::kVolume), sum, &sum)) {
      SetVolumeOverflowed(true);
      present = static_cast<FieldMask>(present & ~Bit(Field::kVolume));
      if (volume_overflow != nullptr) *volume_overflow = true;
      return;
    }
    Set(Field::kVolume, sum);
  }

  void MergeTrade(const Tick& tick, bool* volume_overflow) noexcept {
    const auto touched = static_cast<FieldMask>((tick.given | tick.cleared) & kSummaryFields);
    if (touched != 0) {
      MarkFeedCounts(touched);
      if ((touched & Bit(Field::kVolume)) != 0) SetVolumeOverflowed(false);
    }
    TakeTrade(tick);
    if ((tick.given & Bit(Field::kLast)) != 0) FeedSummary(tick, volume_overflow);
  }

  Slot& slot;
  uint64_t version;
  uint64_t exponents;
  uint64_t meta;
  FieldMask present;
};

LatestTable::LatestTable(const Options& options)
    : slots_(options.capacity, static_cast<Slot*>(options.slots)), sequence_base_(options.sequence_base) {
  if (options.adopted) return;
  for (size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].sequence.store(sequence_base_, std::memory_order_relaxed);  // not yet shared
  }
}

bool LatestTable::Claim(SymbolId id, OwnerId owner) noexcept {
  std::atomic<uint32_t>& cell = slots_[Index(id)].owner;
  // Acquire (5) pairs with the release (6) of the owner before, whose last write must be seen whole.
  uint32_t current = cell.load(std::memory_order_acquire);  // (5)
  if (current == static_cast<uint32_t>(owner)) return true;
  if (current != 0) return false;
  return cell.compare_exchange_strong(current, static_cast<uint32_t>(owner), std::memory_order_acquire);  // (5)
}

void LatestTable::Release(SymbolId id) noexcept {
  slots_[Index(id)].owner.store(0, std::memory_order_release);  // (6)
}

MergeResult LatestTable::Merge(SymbolId id, const Tick& tick, const TickContext& context,
                               bool* volume_overflow) noexcept {
  const auto touched = static_cast<FieldMask>(tick.given | tick.cleared);
  if (touched == 0 && !tick.has_status) return MergeResult::kEmpty;

  Slot& slot = slots_[Index(id)];
  // Only venue times are compared; a group without one is taken as it comes.
  const bool quote_new = (touched & kQuoteFields) != 0 &&
                         (tick.quote_time.value == 0 || tick.quote_time.value >= slot.quote_time_ns.load(kOwn));
  const bool trade_new = (touched & kTradeFields) != 0 &&
                         (tick.trade_time.value == 0 || tick.trade_time.value >= slot.trade_time_ns.load(kOwn));
  if (!quote_new && !trade_new && !tick.has_status) return MergeResult::kStale;

  Editor edit(slot);
  int64_t timestamp_ms = slot.timestamp_ms.load(kOwn);
  if (quote_new) {
    edit.TakeQuote(tick);
    if (tick.quote_time.value != 0) slot.quote_time_ns.store(tick.quote_time.value, std::memory_order_release);  // (2)
    timestamp_ms =
        std::max(timestamp_ms, tick.quote_time.value != 0 ? ToUnixMs(tick.quote_time).value : context.clock.value);
  }
  if (trade_new) {
    edit.MergeTrade(tick, volume_overflow);
    if (tick.trade_time.value != 0) slot.trade_time_ns.store(tick.trade_time.value, std::memory_order_release);  // (2)
    timestamp_ms =
        std::max(timestamp_ms, tick.trade_time.value != 0 ? ToUnixMs(tick.trade_time).value : context.clock.value);
  }
  if (tick.cleared != 0) {
    edit.NoteCleared(
        static_cast<FieldMask>(tick.cleared & ((quote_new ? kQuoteFields : 0) | (trade_new ? kTradeFields : 0))));
  }
  if (tick.has_status) {
    edit.meta = (edit.meta & ~(uint64_t{7} << Meta::kStatusShift)) | uint64_t(tick.status) << Meta::kStatusShift;
  }
  edit.meta = (edit.meta & 0xffffffff) | uint64_t(static_cast<uint32_t>(context.source)) << Meta::kSourceShift;
  slot.timestamp_ms.store(timestamp_ms, std::memory_order_release);              // (2)
  slot.received_ns.store(context.received.value, std::memory_order_release);     // (2)
  slot.sequence.store(slot.sequence.load(kOwn) + 1, std::memory_order_release);  // (2)
  edit.Finish();
  return MergeResult::kMerged;
}

bool LatestTable::Reset(SymbolId id) noexcept {
  Slot& slot = slots_[Index(id)];
  Editor edit(slot);
  edit.NoteReset();
  edit.present = static_cast<FieldMask>(edit.present & ~kSummaryFields);
  edit.SetVolumeOverflowed(false);
  slot.quote_time_ns.store(0, std::memory_order_release);  // (2)
  slot.trade_time_ns.store(0, std::memory_order_release);  // (2)
  edit.Finish();
  return slot.sequence.load(kOwn) != sequence_base_;
}

void LatestTable::Restore(SymbolId id, const Quote& stored) noexcept {
  Slot& slot = slots_[Index(id)];
  Editor edit(slot);
  const bool has_time = stored.timestamp.value != 0;
  const VenueNs stored_time = has_time ? VenueNsFromMs(stored.timestamp.value) : VenueNs{};
  // Only venue times are compared, in the milliseconds of the stored one.
  const auto is_newer = [&](const std::atomic<uint64_t>& group_time) {
    const VenueNs time{group_time.load(kOwn)};
    return time.value != 0 && ToUnixMs(time) < stored.timestamp;
  };
  // After a reset venue times begin anew, and say nothing about those of before.
  const bool quote_newer = !edit.WasReset() && is_newer(slot.quote_time_ns);
  const bool trade_newer = !edit.WasReset() && is_newer(slot.trade_time_ns);
  for (const Field field : {Field::kBid, Field::kAsk, Field::kBidSize, Field::kAskSize}) {
    edit.RestoreField(field, stored, quote_newer);
  }
  for (const Field field : {Field::kLast, Field::kLastSize}) edit.RestoreField(field, stored, trade_newer);
  if (!edit.WasReset()) {
    edit.RestoreSummary(stored, trade_newer);
    if (slot.quote_time_ns.load(kOwn) < stored_time.value) {
      slot.quote_time_ns.store(stored_time.value, std::memory_order_release);  // (2)
    }
    if (slot.trade_time_ns.load(kOwn) < stored_time.value) {
      slot.trade_time_ns.store(stored_time.value, std::memory_order_release);  // (2)
    }
  }
  if ((edit.meta >> Meta::kStatusShift & 7) == 0) edit.meta |= uint64_t(stored.status) << Meta::kStatusShift;
  edit.meta |= uint64_t{1} << Meta::kRestoredShift;
  const int64_t timestamp_ms = std::max(slot.timestamp_ms.load(kOwn), stored.timestamp.value);
  slot.timestamp_ms.store(timestamp_ms, std::memory_order_release);  // (2)
  edit.Finish();
}

bool LatestTable::Restored(SymbolId id) const noexcept {
  const uint64_t meta = slots_[Index(id)].meta.load(std::memory_order_acquire);  // (1)
  return (meta >> Meta::kRestoredShift & 1) != 0;
}

bool LatestTable::Salvage(SymbolId id) noexcept {
  Slot& slot = slots_[Index(id)];
  // Nobody else looks at it as a writer yet: the orders are those of a write, for readers that were there before.
  slot.owner.store(0, std::memory_order_relaxed);
  slot.dirty.store(0, std::memory_order_relaxed);
  const uint64_t version = slot.version.load(kOwn);
  Quote quote;
  if ((version & 1) == 0 && TryLoad(id, &quote) && quote.sequence >= sequence_base_ && InRange(quote)) {
    if (quote.sequence != sequence_base_) {
      // There is nothing older in the store.
      slot.version.store(version + 1, std::memory_order_relaxed);
      slot.meta.store(slot.meta.load(kOwn) | uint64_t{1} << Meta::kRestoredShift, std::memory_order_release);  // (2)
      slot.version.store(version + 2, std::memory_order_release);                                              // (4)
    }
    return true;
  }
  slot.version.store(version | 1, std::memory_order_relaxed);
  slot.exponents.store(0, std::memory_order_release);  // (2)
  slot.meta.store(0, std::memory_order_release);       // (2)
  for (size_t field = 0; field < kFieldCount; ++field)
    Mantissa(slot, field).store(0, std::memory_order_release);       // (2)
  slot.timestamp_ms.store(0, std::memory_order_release);             // (2)
  slot.received_ns.store(0, std::memory_order_release);              // (2)
  slot.quote_time_ns.store(0, std::memory_order_release);            // (2)
  slot.trade_time_ns.store(0, std::memory_order_release);            // (2)
  slot.sequence.store(sequence_base_, std::memory_order_release);    // (2)
  slot.version.store((version | 1) + 1, std::memory_order_release);  // (4)
  return false;
}

bool LatestTable::TryLoad(SymbolId id, Quote* out) const noexcept {
  const Slot& slot = slots_[Index(id)];
  const uint64_t version = slot.version.load(std::memory_order_acquire);  // (3) pairs with (4)
  if ((version & 1) != 0) return false;
  constexpr auto kLoad = std::memory_order_acquire;  // (1) pairs with (2)
  const uint64_t exponents = slot.exponents.load(kLoad);
  const uint64_t meta = slot.meta.load(kLoad);
  for (size_t field = 0; field < kFieldCount; ++field) {
    out->value[field].mantissa = Mantissa(slot, field).load(kLoad);
    out->value[field].exponent = static_cast<int8_t>(field == kNinth ? meta & 0xff : exponents >> (8 * field) & 0xff);
  }
  out->timestamp.value = slot.timestamp_ms.load(kLoad);
  out->received.value = slot.received_ns.load(kLoad);
  out->sequence = slot.sequence.load(kLoad);
  out->quote_time.value = slot.quote_time_ns.load(kLoad);
  out->trade_time.value = slot.trade_time_ns.load(kLoad);
  out->present = static_cast<FieldMask>(meta >> Meta::kPresentShift & 0x1ff);
  out->status = static_cast<Status>(meta >> Meta::kStatusShift & 7);
  out->source = SourceId{static_cast<uint32_t>(meta >> Meta::kSourceShift)};
  // Relaxed is enough: the acquire loads above keep this one behind them, and a payload word of a later write was
  // released after that write's odd version.
  return slot.version.load(std::memory_order_relaxed) == version;
}

uint64_t LatestTable::Sequence(SymbolId id) const noexcept {
  return slots_[Index(id)].sequence.load(std::memory_order_acquire);  // (1)
}

SourceId LatestTable::Source(SymbolId id) const noexcept {
  const uint64_t meta = slots_[Index(id)].meta.load(std::memory_order_acquire);  // (1)
  return SourceId{static_cast<uint32_t>(meta >> Meta::kSourceShift)};
}

}  // namespace tickbridge
