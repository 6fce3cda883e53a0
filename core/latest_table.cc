// SPDX-License-Identifier: Apache-2.0
#include "core/latest_table.h"

#include <algorithm>

namespace tickbridge {
namespace {

// An exponent takes six bits of a word: itself + 18.
constexpr unsigned kExponentBits = 6;
constexpr uint64_t kExponentMask = (1 << kExponentBits) - 1;
static_assert(kMaxExponent - kMinExponent <= static_cast<int>(kExponentMask));
constexpr size_t kQuoteCount = 4;
static_assert(kQuoteFields == 0xf && kTradeFields == 0x1f0);

// The word `quote_meta`, from the low bit: the quote fields that are present (4), their exponents (24), Timestamp is
// `clock_ms` (1), 3 bits free, source (32).
struct QuoteMeta {
  static constexpr uint64_t kPresent = kQuoteFields;
  static constexpr unsigned kExponentShift = 4;
  static constexpr uint64_t kClock = uint64_t{1} << 28;
  static constexpr unsigned kSourceShift = 32;
};
// The word `trade_meta`, from the low bit: the trade fields that are present (5), their exponents (30), status (2), the
// fields that the feed counts itself (3: Volume, High, Low), volume overflowed (1), restored (1), reset before it (1),
// the first six fields cleared before it (6).
struct TradeMeta {
  static constexpr uint64_t kPresent = kTradeFields >> kQuoteCount;
  static constexpr unsigned kExponentShift = 5;
  static constexpr unsigned kStatusShift = 35;
  static constexpr unsigned kExplicitShift = 37;
  static constexpr uint64_t kOverflow = uint64_t{1} << 40;
  static constexpr uint64_t kRestored = uint64_t{1} << 41;
  static constexpr uint64_t kWasReset = uint64_t{1} << 42;
  static constexpr unsigned kWasClearedShift = 43;
};

constexpr bool IsQuote(size_t field) { return field < kQuoteCount; }
// Where the exponent of a field lies in the word of its group.
constexpr unsigned ExponentShift(size_t field) {
  return static_cast<unsigned>(IsQuote(field) ? QuoteMeta::kExponentShift + kExponentBits * field
                                              : TradeMeta::kExponentShift + kExponentBits * (field - kQuoteCount));
}
int8_t ExponentOf(uint64_t quote_meta, uint64_t trade_meta, size_t field) noexcept {
  const uint64_t bits = (IsQuote(field) ? quote_meta : trade_meta) >> ExponentShift(field) & kExponentMask;
  return static_cast<int8_t>(static_cast<int>(bits) + kMinExponent);
}
FieldMask PresentOf(uint64_t quote_meta, uint64_t trade_meta) noexcept {
  return static_cast<FieldMask>((quote_meta & QuoteMeta::kPresent) | (trade_meta & TradeMeta::kPresent) << kQuoteCount);
}

int64_t VenueMs(uint64_t quote_time_ns, uint64_t trade_time_ns) noexcept {
  return ToUnixMs(VenueNs{std::max(quote_time_ns, trade_time_ns)}).value;
}

// Tries of Load before it takes the writer for stuck: under a living one each takes as long as a line takes from core
// to core, some 0.1 µs.
constexpr int kLoadAttempts = 4'096;

constexpr FieldMask kSummaryFields = Bit(Field::kVolume) | Bit(Field::kHigh) | Bit(Field::kLow);
constexpr unsigned kSummaryShift = static_cast<unsigned>(Field::kVolume);

// The fields whose clearing a Restore must heed; for the others the feed's own counting says it.
constexpr FieldMask kClearableFields = kQuoteFields | Bit(Field::kLast) | Bit(Field::kLastSize);
static_assert(kClearableFields == 0x3f);

// Reads of the owner's own words need no order: nobody else writes them.
constexpr auto kOwn = std::memory_order_relaxed;

// What a reader checks of memory that another process may scribble over: each number that goes out of it must be one
// that a LatestTable could have written. All fields are looked at, whether present or not: what is absent was once in
// range, too, or is 0. Each read of a strategy pays for it, so there is one branch for all, and exponents are looked at
// as they are packed.

// `lane` at each second of `count` places for an exponent.
constexpr uint64_t EverySecond(uint64_t lane, unsigned count) {
  uint64_t word = 0;
  for (unsigned i = 0; i < count; i += 2) word |= lane << (i * kExponentBits);
  return word;
}
// Not 0 if one of `kCount` packed exponents is past kMaxExponent; below kMinExponent none can be. What is added to each
// second one makes those past it carry into the place of the next, which is empty.
template <unsigned kCount>
uint64_t ExponentsPastRange(uint64_t packed) noexcept {
  constexpr uint64_t kToCarry = kExponentMask - (kMaxExponent - kMinExponent);
  const uint64_t even = (packed & EverySecond(kExponentMask, kCount)) + EverySecond(kToCarry, kCount);
  const uint64_t odd =
      (packed >> kExponentBits & EverySecond(kExponentMask, kCount - 1)) + EverySecond(kToCarry, kCount - 1);
  return (even | odd) & EverySecond(kExponentMask + 1, kCount);
}
bool OutOfRange(int64_t mantissa) noexcept {
  return static_cast<uint64_t>(mantissa) + uint64_t{kMaxMantissa} > 2 * uint64_t{kMaxMantissa};
}

}  // namespace

// One write to a slot, between the odd version and the even one. Holds the packed words in registers.
struct LatestTable::Editor {
  // `with_trade`: the trade group's line is needed, too. A quote leaves it alone.
  Editor(LatestTable& table, SymbolId id, bool with_trade) noexcept
      : slot(table.slots_[Index(id)]),
        snapshot(table.snapshots_[Index(id)]),
        version(slot.version.load(kOwn)),
        quote_meta(slot.quote_meta.load(kOwn)),
        trade_meta(with_trade ? slot.trade_meta.load(kOwn) : 0),
        trade_loaded(with_trade) {
    // Relaxed is enough: every payload store below is a release (2), which keeps this one before it.
    slot.version.store(version + 1, std::memory_order_relaxed);
  }

  // Ends the write.
  void Finish() noexcept {
    if (trade_loaded) slot.trade_meta.store(trade_meta, std::memory_order_release);  // (2)
    slot.quote_meta.store(quote_meta, std::memory_order_release);                    // (2)
    slot.version.store(version + 2, std::memory_order_release);                      // (4)
    if ((version + 2) % (2 * kSnapshotEvery) == 0) TakeSnapshot(slot, snapshot);
  }
  // Ends a write that counts as no merge.
  void FinishUncounted() noexcept {
    slot.sequence_offset.store(slot.sequence_offset.load(kOwn) - 1, std::memory_order_release);  // (2)
    Finish();
  }

  // As a write to a slot, by the same pairs. Static, or the editor would have to be in memory for it.
  [[gnu::noinline]] static void TakeSnapshot(const Slot& slot, Slot& snapshot) noexcept {
    constexpr auto kStore = std::memory_order_release;  // (2)
    const uint64_t version = slot.version.load(kOwn);
    const uint64_t quote_meta = slot.quote_meta.load(kOwn);
    snapshot.version.store(version - 1, std::memory_order_relaxed);
    snapshot.quote_meta.store(quote_meta, kStore);
    snapshot.received_ns.store(slot.received_ns.load(kOwn), kStore);
    snapshot.quote_time_ns.store(slot.quote_time_ns.load(kOwn), kStore);
    snapshot.trade_time_ns.store(slot.trade_time_ns.load(kOwn), kStore);
    for (size_t field = 0; field < kFieldCount; ++field) {
      Mantissa(snapshot, field).store(Mantissa(slot, field).load(kOwn), kStore);
    }
    snapshot.trade_meta.store(slot.trade_meta.load(kOwn), kStore);
    snapshot.sequence_offset.store(slot.sequence_offset.load(kOwn), kStore);
    if ((quote_meta & QuoteMeta::kClock) != 0) snapshot.clock_ms.store(slot.clock_ms.load(kOwn), kStore);
    snapshot.version.store(version, std::memory_order_release);  // (4)
  }

  void SetTradeBits(uint64_t mask, uint64_t bits) noexcept { trade_meta = (trade_meta & ~mask) | bits; }
  void SetTradeBit(uint64_t bit, bool on) noexcept { SetTradeBits(bit, on ? bit : 0); }

  int8_t Exponent(size_t field) const noexcept { return ExponentOf(quote_meta, trade_meta, field); }
  Decimal Get(Field field) const noexcept { return {Mantissa(slot, Index(field)).load(kOwn), Exponent(Index(field))}; }
  bool Has(Field field) const noexcept {
    return (IsQuote(Index(field)) ? quote_meta & Bit(field)
                                  : trade_meta & static_cast<uint64_t>(Bit(field) >> kQuoteCount)) != 0;
  }
  // Of fields of one group.
  [[gnu::always_inline]] void SetAbsent(FieldMask fields) noexcept {
    quote_meta &= ~uint64_t(fields & kQuoteFields);
    if ((fields & kTradeFields) != 0) SetTradeBits(uint64_t(fields & kTradeFields) >> kQuoteCount, 0);
  }

  [[gnu::always_inline]] void Set(Field field, Decimal value) noexcept {
    const size_t at = Index(field);
    Mantissa(slot, at).store(value.mantissa, std::memory_order_release);  // (2)
    const uint64_t mask = kExponentMask << ExponentShift(at);
    const uint64_t exponent = static_cast<uint64_t>(value.exponent - kMinExponent) << ExponentShift(at);
    if (IsQuote(at)) {
      quote_meta = (quote_meta & ~mask) | exponent | Bit(field);
    } else {
      SetTradeBits(mask, exponent | uint64_t(Bit(field)) >> kQuoteCount);
    }
  }

  void SetQuoteTime(uint64_t time_ns) noexcept {
    slot.quote_time_ns.store(time_ns, std::memory_order_release);  // (2)
  }
  void SetTradeTime(uint64_t time_ns) noexcept {
    slot.trade_time_ns.store(time_ns, std::memory_order_release);  // (2)
  }
  uint64_t quote_time_ns() const noexcept { return slot.quote_time_ns.load(kOwn); }
  uint64_t trade_time_ns() const noexcept { return slot.trade_time_ns.load(kOwn); }
  // Whether Timestamp is a word of its own, and not the newer of the venue times.
  bool Clocked() const noexcept { return (quote_meta & QuoteMeta::kClock) != 0; }
  int64_t Timestamp() const noexcept {
    return Clocked() ? slot.clock_ms.load(kOwn) : VenueMs(quote_time_ns(), trade_time_ns());
  }
  // After the venue times were set.
  void SetTimestamp(int64_t unix_ms) noexcept {
    if (unix_ms == VenueMs(quote_time_ns(), trade_time_ns())) {
      quote_meta &= ~QuoteMeta::kClock;
      return;
    }
    quote_meta |= QuoteMeta::kClock;
    slot.clock_ms.store(unix_ms, std::memory_order_release);  // (2)
  }

  bool FeedCounts(Field field) const noexcept {
    return (trade_meta >> TradeMeta::kExplicitShift & (Bit(field) >> kSummaryShift)) != 0;
  }
  void MarkFeedCounts(FieldMask fields) noexcept {
    SetTradeBits(0, uint64_t(fields >> kSummaryShift) << TradeMeta::kExplicitShift);
  }
  bool VolumeOverflowed() const noexcept { return (trade_meta & TradeMeta::kOverflow) != 0; }
  void SetVolumeOverflowed(bool on) noexcept { SetTradeBit(TradeMeta::kOverflow, on); }

  // The fields of one group that the tick gives or clears. Unrolled: places and shifts are constants then, and which
  // fields come is what a branch predictor learns of a venue.
  template <Field... kFields>
  [[gnu::always_inline]] void TakeFields(const Tick& tick, FieldMask cleared) noexcept {
    ((void)((tick.given & Bit(kFields)) != 0 ? Set(kFields, tick.value[Index(kFields)]) : void()), ...);
    constexpr auto kGroup = static_cast<FieldMask>((Bit(kFields) | ...));
    if ((cleared & kGroup) != 0) SetAbsent(static_cast<FieldMask>(cleared & kGroup));
  }
  // For a Restore that is still to come.
  void NoteCleared(FieldMask cleared) noexcept {
    SetTradeBits(0, uint64_t{static_cast<FieldMask>(cleared & kClearableFields)} << TradeMeta::kWasClearedShift);
  }
  bool WasCleared(Field field) const noexcept { return (trade_meta >> TradeMeta::kWasClearedShift & Bit(field)) != 0; }
  void NoteReset() noexcept { SetTradeBit(TradeMeta::kWasReset, true); }
  bool WasReset() const noexcept { return (trade_meta & TradeMeta::kWasReset) != 0; }
  bool HasStatus() const noexcept { return (trade_meta >> TradeMeta::kStatusShift & 3) != 0; }
  void SetStatus(Status status) noexcept {
    SetTradeBits(uint64_t{3} << TradeMeta::kStatusShift, uint64_t(status) << TradeMeta::kStatusShift);
  }
  void NoteRestored() noexcept { SetTradeBit(TradeMeta::kRestored, true); }
  void SetSource(SourceId source) noexcept {
    quote_meta = (quote_meta & 0xffffffff) | uint64_t(static_cast<uint32_t>(source)) << QuoteMeta::kSourceShift;
  }

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
      SetAbsent(Bit(Field::kVolume));
      return;
    }
    Set(Field::kVolume, sum);
  }

  [[gnu::always_inline]] void TakeQuote(const Tick& tick, FieldMask cleared) noexcept {
    TakeFields<Field::kBid, Field::kAsk, Field::kBidSize, Field::kAskSize>(tick, cleared);
  }
  [[gnu::always_inline]] void TakeTrade(const Tick& tick, FieldMask cleared) noexcept {
    TakeFields<Field::kLast, Field::kLastSize, Field::kVolume, Field::kHigh, Field::kLow>(tick, cleared);
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
      SetAbsent(Bit(Field::kVolume));
      if (volume_overflow != nullptr) *volume_overflow = true;
      return;
    }
    Set(Field::kVolume, sum);
  }

  [[gnu::always_inline]] void MergeTrade(const Tick& tick, FieldMask cleared, bool* volume_overflow) noexcept {
    const auto touched = static_cast<FieldMask>((tick.given | cleared) & kSummaryFields);
    if (touched != 0) {
      MarkFeedCounts(touched);
      if ((touched & Bit(Field::kVolume)) != 0) SetVolumeOverflowed(false);
    }
    TakeTrade(tick, cleared);
    if ((tick.given & Bit(Field::kLast)) != 0) FeedSummary(tick, volume_overflow);
  }

  Slot& slot;
  Slot& snapshot;
  const uint64_t version;  // before this write
  uint64_t quote_meta;
  uint64_t trade_meta;
  const bool trade_loaded;
};

LatestTable::LatestTable(const Options& options)
    : slots_(options.capacity, static_cast<Slot*>(options.slots)),
      snapshots_(options.capacity, static_cast<Slot*>(options.snapshots)),
      sequence_base_(options.sequence_base) {
  if (options.adopted) return;
  for (size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].sequence_offset.store(sequence_base_, std::memory_order_relaxed);  // not yet shared
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
  if (tick.cleared == 0 && !tick.has_status && tick.given != 0) [[likely]] {
    if ((tick.given & kTradeFields) == 0) return MergeGroups<kQuoteFields>(id, tick, context, nullptr);
    if ((tick.given & kQuoteFields) == 0) return MergeGroups<kTradeFields>(id, tick, context, volume_overflow);
  }
  return MergeGroups < kQuoteFields | kTradeFields > (id, tick, context, volume_overflow);
}

// Of a tick that gives fields of some groups only, and then nothing else: the same code, of which the compiler leaves
// out what cannot be.
template <FieldMask kGroups>
MergeResult LatestTable::MergeGroups(SymbolId id, const Tick& tick, const TickContext& context,
                                     bool* volume_overflow) noexcept {
  constexpr bool kAny = kGroups == (kQuoteFields | kTradeFields);
  const FieldMask cleared = kAny ? tick.cleared : FieldMask{0};
  const bool has_status = kAny && tick.has_status;
  const auto touched = static_cast<FieldMask>((tick.given | cleared) & kGroups);
  if (kAny && touched == 0 && !has_status) return MergeResult::kEmpty;

  Slot& slot = slots_[Index(id)];
  // The caller goes on to exchange the mark, which waits for its line with everything else at a stand.
  __builtin_prefetch(&slot.dirty, 1);
  // Only venue times are compared; a group without one is taken as it comes.
  const bool quote_new = (touched & kQuoteFields) != 0 &&
                         (tick.quote_time.value == 0 || tick.quote_time.value >= slot.quote_time_ns.load(kOwn));
  const bool trade_new = (touched & kTradeFields) != 0 &&
                         (tick.trade_time.value == 0 || tick.trade_time.value >= slot.trade_time_ns.load(kOwn));
  if (!quote_new && !trade_new && !has_status) return MergeResult::kStale;

  Editor edit(*this, id, trade_new || cleared != 0 || has_status);
  // Without a time of the venue ours counts. Mostly the venue times say what the Timestamp is.
  const bool quote_clock = quote_new && tick.quote_time.value == 0;
  const bool trade_clock = trade_new && tick.trade_time.value == 0;
  const bool own_timestamp = edit.Clocked() || quote_clock || trade_clock;
  int64_t timestamp_ms = own_timestamp ? edit.Timestamp() : 0;
  if (quote_clock || trade_clock) timestamp_ms = std::max(timestamp_ms, context.clock.value);
  if (quote_new) {
    edit.TakeQuote(tick, cleared);
    if (!quote_clock) edit.SetQuoteTime(tick.quote_time.value);
  }
  if (trade_new) {
    edit.MergeTrade(tick, cleared, volume_overflow);
    if (!trade_clock) edit.SetTradeTime(tick.trade_time.value);
  }
  if (own_timestamp) {
    edit.SetTimestamp(std::max(timestamp_ms, VenueMs(edit.quote_time_ns(), edit.trade_time_ns())));
  }
  if (cleared != 0) {
    edit.NoteCleared(
        static_cast<FieldMask>(cleared & ((quote_new ? kQuoteFields : 0) | (trade_new ? kTradeFields : 0))));
  }
  if (has_status) edit.SetStatus(tick.status);
  edit.SetSource(context.source);
  slot.received_ns.store(context.received.value, std::memory_order_release);  // (2)
  edit.Finish();
  return MergeResult::kMerged;
}

bool LatestTable::Reset(SymbolId id) noexcept {
  Editor edit(*this, id, true);
  edit.NoteReset();
  edit.SetAbsent(kSummaryFields);
  edit.SetVolumeOverflowed(false);
  const int64_t timestamp_ms = edit.Timestamp();
  edit.SetQuoteTime(0);
  edit.SetTradeTime(0);
  edit.SetTimestamp(timestamp_ms);
  edit.FinishUncounted();
  return Sequence(id) != sequence_base_;
}

void LatestTable::Restore(SymbolId id, const Quote& stored) noexcept {
  Editor edit(*this, id, true);
  const int64_t timestamp_ms = std::max(edit.Timestamp(), stored.timestamp.value);
  const bool has_time = stored.timestamp.value != 0;
  const VenueNs stored_time = has_time ? VenueNsFromMs(stored.timestamp.value) : VenueNs{};
  // Only venue times are compared, in the milliseconds of the stored one.
  const auto is_newer = [&](uint64_t group_time_ns) {
    const VenueNs time{group_time_ns};
    return time.value != 0 && ToUnixMs(time) < stored.timestamp;
  };
  // After a reset venue times begin anew, and say nothing about those of before.
  const bool quote_newer = !edit.WasReset() && is_newer(edit.quote_time_ns());
  const bool trade_newer = !edit.WasReset() && is_newer(edit.trade_time_ns());
  for (const Field field : {Field::kBid, Field::kAsk, Field::kBidSize, Field::kAskSize}) {
    edit.RestoreField(field, stored, quote_newer);
  }
  for (const Field field : {Field::kLast, Field::kLastSize}) edit.RestoreField(field, stored, trade_newer);
  if (!edit.WasReset()) {
    edit.RestoreSummary(stored, trade_newer);
    if (edit.quote_time_ns() < stored_time.value) edit.SetQuoteTime(stored_time.value);
    if (edit.trade_time_ns() < stored_time.value) edit.SetTradeTime(stored_time.value);
  }
  if (!edit.HasStatus()) edit.SetStatus(stored.status);
  edit.NoteRestored();
  edit.SetTimestamp(timestamp_ms);
  edit.FinishUncounted();
}

bool LatestTable::Restored(SymbolId id) const noexcept {
  const uint64_t meta = slots_[Index(id)].trade_meta.load(std::memory_order_acquire);  // (1)
  return (meta & TradeMeta::kRestored) != 0;
}

bool LatestTable::Salvage(SymbolId id, bool used) noexcept {
  Slot& slot = slots_[Index(id)];
  // Nobody else looks at it as a writer yet: the orders are those of a write, for readers that were there before.
  slot.owner.store(0, std::memory_order_relaxed);
  slot.dirty.store(0, std::memory_order_relaxed);
  snapshots_[Index(id)].version.store(0, std::memory_order_release);  // (4)
  const uint64_t version = slot.version.load(kOwn);
  Quote quote;
  const SlotLoad found = TryLoadChecked(id, &quote);
  if (!used && found == SlotLoad::kNothing && quote.present == 0) return true;
  if (used && (found == SlotLoad::kNothing || (found == SlotLoad::kOk && quote.sequence >= sequence_base_))) {
    if (found == SlotLoad::kOk) {
      // There is nothing older in the store.
      Editor edit(*this, id, true);
      edit.NoteRestored();
      edit.FinishUncounted();
    }
    return true;
  }
  const uint64_t after = (version | 1) + 1;
  slot.version.store(version | 1, std::memory_order_relaxed);
  slot.quote_meta.store(0, std::memory_order_release);  // (2)
  slot.trade_meta.store(0, std::memory_order_release);  // (2)
  for (size_t field = 0; field < kFieldCount; ++field)
    Mantissa(slot, field).store(0, std::memory_order_release);                        // (2)
  slot.received_ns.store(0, std::memory_order_release);                               // (2)
  slot.quote_time_ns.store(0, std::memory_order_release);                             // (2)
  slot.trade_time_ns.store(0, std::memory_order_release);                             // (2)
  slot.sequence_offset.store(sequence_base_ - after / 2, std::memory_order_release);  // (2)
  slot.version.store(after, std::memory_order_release);                               // (4)
  return false;
}

template <bool kChecked>
[[gnu::always_inline]] inline SlotLoad LatestTable::TryLoadFrom(const Slot& slot, uint64_t version_min,
                                                                Quote* out) const noexcept {
  const uint64_t version = slot.version.load(std::memory_order_acquire);  // (3) pairs with (4)
  if ((version & 1) != 0 || version < version_min) return SlotLoad::kBusy;
  constexpr auto kLoad = std::memory_order_acquire;  // (1) pairs with (2)
  const uint64_t quote_meta = slot.quote_meta.load(kLoad);
  const uint64_t trade_meta = slot.trade_meta.load(kLoad);
  uint64_t out_of_range = 0;
#pragma GCC unroll 9  // places and shifts are constants then
  for (size_t field = 0; field < kFieldCount; ++field) {
    const int64_t mantissa = Mantissa(slot, field).load(kLoad);
    if constexpr (kChecked) out_of_range += OutOfRange(mantissa) ? 1 : 0;
    out->value[field] = {mantissa, ExponentOf(quote_meta, trade_meta, field)};
  }
  const uint64_t quote_time_ns = slot.quote_time_ns.load(kLoad);
  const uint64_t trade_time_ns = slot.trade_time_ns.load(kLoad);
  const int64_t timestamp_ms =
      (quote_meta & QuoteMeta::kClock) != 0 ? slot.clock_ms.load(kLoad) : VenueMs(quote_time_ns, trade_time_ns);
  out->received.value = slot.received_ns.load(kLoad);
  out->sequence = slot.sequence_offset.load(kLoad) + version / 2;
  out->quote_time.value = quote_time_ns;
  out->trade_time.value = trade_time_ns;
  out->timestamp.value = timestamp_ms;
  out->present = PresentOf(quote_meta, trade_meta);
  out->status = static_cast<Status>(trade_meta >> TradeMeta::kStatusShift & 3);
  out->source = SourceId{static_cast<uint32_t>(quote_meta >> QuoteMeta::kSourceShift)};
  // Relaxed is enough: the acquire loads above keep this one behind them, and a payload word of a later write was
  // released after that write's odd version.
  if (slot.version.load(std::memory_order_relaxed) != version) return SlotLoad::kBusy;
  if constexpr (kChecked) {
    out_of_range += static_cast<uint64_t>(timestamp_ms) > uint64_t{limits::kUnixMsMax} ? 1 : 0;
    out_of_range |= ExponentsPastRange<kQuoteCount>(quote_meta >> QuoteMeta::kExponentShift) |
                    ExponentsPastRange<kFieldCount - kQuoteCount>(trade_meta >> TradeMeta::kExponentShift);
    if (out_of_range != 0) return SlotLoad::kInvalid;
    if (out->sequence == sequence_base_) return SlotLoad::kNothing;
  }
  return SlotLoad::kOk;
}

bool LatestTable::TryLoad(SymbolId id, Quote* out) const noexcept {
  return TryLoadFrom<false>(slots_[Index(id)], 0, out) == SlotLoad::kOk;
}

SlotLoad LatestTable::TryLoadChecked(SymbolId id, Quote* out) const noexcept {
  return TryLoadFrom<true>(slots_[Index(id)], 0, out);
}

template <bool kChecked>
[[gnu::noinline]] SlotLoad LatestTable::LoadContended(SymbolId id, Quote* out) const noexcept {
  const Slot& slot = slots_[Index(id)];
  // The newest write that had ended by now: an odd version is that of one that has not.
  const uint64_t newest = slot.version.load(std::memory_order_acquire) & ~uint64_t{1};  // (5) pairs with (4)
  // A snapshot that was never taken has version 0, and says nothing: also where the slot's first write is under way.
  const uint64_t snapshot_min = std::max<uint64_t>(newest, 2);
  for (int attempt = 1; attempt < kLoadAttempts; ++attempt) {
    for (const Slot* const copy : {&snapshots_[Index(id)], &slot}) {
      const uint64_t version_min = copy == &slot ? 0 : snapshot_min;
      if (const SlotLoad result = TryLoadFrom<kChecked>(*copy, version_min, out); result != SlotLoad::kBusy) {
        return result;
      }
    }
  }
  return SlotLoad::kBusy;
}

bool LatestTable::Load(SymbolId id, Quote* out) const noexcept {
  return TryLoad(id, out) || LoadContended<false>(id, out) == SlotLoad::kOk;
}

SlotLoad LatestTable::LoadChecked(SymbolId id, Quote* out) const noexcept {
  const SlotLoad result = TryLoadFrom<true>(slots_[Index(id)], 0, out);
  return result != SlotLoad::kBusy ? result : LoadContended<true>(id, out);
}

uint64_t LatestTable::Sequence(SymbolId id) const noexcept {
  const Slot& slot = slots_[Index(id)];
  uint64_t version = 0;
  uint64_t offset = 0;
  // Off by one for as long as a write that is no merge is under way, so it is waited for.
  for (int attempt = 0; attempt < kLoadAttempts; ++attempt) {
    version = slot.version.load(std::memory_order_acquire);         // (3)
    offset = slot.sequence_offset.load(std::memory_order_acquire);  // (1)
    if ((version & 1) == 0 && slot.version.load(std::memory_order_relaxed) == version) break;
  }
  return offset + version / 2;
}

SourceId LatestTable::Source(SymbolId id) const noexcept {
  const uint64_t meta = slots_[Index(id)].quote_meta.load(std::memory_order_acquire);  // (1)
  return SourceId{static_cast<uint32_t>(meta >> QuoteMeta::kSourceShift)};
}

}  // namespace tickbridge
