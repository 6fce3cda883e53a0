// SPDX-License-Identifier: Apache-2.0
// The latest table: one slot a symbol, holding its merged latest state.
//
// Threading: a slot has one writer, the runner that owns it (Claim), and any number of readers. Readers never wait for
//   each other, and the writer waits for nobody.
// Progress: Merge and Reset are wait-free. TryLoad is wait-free; false means that a write overlapped: try again, give
// up
//   and come back, or call Load, which a writer without pause cannot starve.
// Memory order: a slot is a seqlock whose payload is atomic words. The version is odd while a write is under way. Each
//   payload word is stored with release (2) and loaded with acquire (1): a reader that sees one word of a write also
//   sees the odd version that went before it. The final even version is a release (4), paired with the acquire (3) that
//   begins a read.
// Snapshots: a read takes longer than a write, so a plain seqlock read loses again and again to a writer without pause
//   (two copies that take turns would not help: each stands for one write only). So after every kSnapshotEvery-th write
//   the writer copies the slot to lines of their own, a seqlock by the same pairs, which then stand still for the next
//   kSnapshotEvery writes. Their version is that of the slot when it was copied. Load takes a snapshot only if it is
//   not older than the slot was when the call began: so what it gives was the newest value at some moment of the call,
//   and no reader steps back. The version (5) with which a call begins is an acquire; it cannot be older than any that
//   this thread saw before, as that one's release (4) came after the slot's own. Either the writer makes a pause as
//   long as a read, and a read of the slot succeeds, or it does not, and a snapshot comes within kSnapshotEvery of its
//   writes. A writer that dies while it copies leaves an odd snapshot, which nobody reads, and a whole slot.
// Lines: all that a quote changes is in the first line of the slot, so a reader on another core that polls it waits for
//   one line, and hardly ever sees a write half done: a core commits stores to a line that it holds in a burst. For
//   that Sequence is kept as its distance from the version, and Timestamp only where the venue times do not say it.
// Cost: a quote touches one line of the slot, a trade two; a read loads two, of a feed without venue times three. The
//   dirty mark, which every tick exchanges, is on another.
// Memory: 192 bytes a slot and 192 its snapshot, pre-faulted.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/decimal.h"
#include "core/limits.h"
#include "core/pages.h"
#include "core/tick.h"
#include "core/types.h"

namespace tickbridge {

// Who writes a slot: the number of a runner, from 1. 0: nobody.
enum class OwnerId : uint32_t {};
inline constexpr OwnerId kNoOwner{0};

enum class MergeResult : uint8_t {
  kMerged,
  kStale,  // every group of the tick is older than the slot's: nothing changed
  kEmpty,  // the tick has no field: nothing changed
};

// What a tick came with that is not of the venue.
struct TickContext {
  MonoNs received;  // when its bytes were read
  UnixMs clock;     // Timestamp of a tick without a venue time; 0: none is known (a replay before its first)
  SourceId source{};
};

enum class SlotLoad : uint8_t {
  kOk,
  kBusy,     // a write overlapped
  kNothing,  // no tick was ever merged
  kInvalid,  // no such id, or a number that no LatestTable writes
};

class LatestTable {
 public:
  struct Options {
    uint32_t capacity = limits::kSymbolsDefault;
    // The first Sequence of every slot, and the value that means "nothing merged yet". Unix µs at the start of the
    // process, so that Sequence grows across restarts.
    uint64_t sequence_base = 0;
    // Where the slots lie: capacity × kSlotBytes, on a cache line. Null: private memory. `adopted`: they were left by
    // an earlier LatestTable of the same options, and are kept as they are.
    void* slots = nullptr;
    void* snapshots = nullptr;  // the same, of as many bytes
    bool adopted = false;
  };
  static constexpr size_t kSlotBytes = 192;
  static constexpr uint64_t kSnapshotEvery = 64;

  explicit LatestTable(const Options& options);
  LatestTable(const LatestTable&) = delete;
  LatestTable& operator=(const LatestTable&) = delete;

  uint32_t capacity() const noexcept { return static_cast<uint32_t>(slots_.size()); }
  uint64_t sequence_base() const noexcept { return sequence_base_; }

  // Makes `owner` the writer of the slot if nobody is. True if `owner` is the writer now.
  bool Claim(SymbolId id, OwnerId owner) noexcept;
  OwnerId Owner(SymbolId id) const noexcept {
    return OwnerId{slots_[Index(id)].owner.load(std::memory_order_relaxed)};  // only the owner's own answer is for sure
  }
  // Gives the slot up. Only its owner may call this.
  void Release(SymbolId id) noexcept;

  // Merges a tick by the rules of the design (two groups with a venue time each; a trade feeds High, Low and Volume
  // until the venue gives them itself). Owner only. `volume_overflow`, if given, is set when a sum left 18 digits.
  MergeResult Merge(SymbolId id, const Tick& tick, const TickContext& context,
                    bool* volume_overflow = nullptr) noexcept;

  // Clears Volume, High, Low and both venue times, and counts as no merge: Sequence stays. Owner only.
  // False where the slot holds nothing yet: there is nothing to publish then. A later Restore heeds it all the same.
  bool Reset(SymbolId id) noexcept;

  // Merges a value of before the process's start below what has been merged since: its fields stand where none was
  // given or cleared, a group of it that is newer than the slot's wins, its Timestamp is what venue times and ours may
  // not go back behind. High, Low and Volume go on from it unless the feed counts them itself. No merge: Sequence
  // stays. Owner only, once a symbol.
  void Restore(SymbolId id, const Quote& stored) noexcept;
  // True after Restore.
  bool Restored(SymbolId id) const noexcept;

  // Of a slot that a writer of another process left: takes away its owner and its mark. What that writer was in the
  // middle of, or what is out of range, is emptied, and so is whatever stands where no symbol was (`used`: false).
  // False if it was. The snapshot goes: the next one comes with the writes. Before the table is shared.
  bool Salvage(SymbolId id, bool used) noexcept;

  // A consistent copy. False if a write overlapped. A slot without any merge has `sequence == sequence_base()`.
  bool TryLoad(SymbolId id, Quote* out) const noexcept;
  // A consistent copy of the slot, or of its snapshot, that was the newest at some moment of the call. False only where
  // the writer was in the middle of one write all the time: it was put aside by the scheduler, or died.
  bool Load(SymbolId id, Quote* out) const noexcept;

  // The same of slots that another process may scribble over.
  SlotLoad TryLoadChecked(SymbolId id, Quote* out) const noexcept;
  SlotLoad LoadChecked(SymbolId id, Quote* out) const noexcept;

  // Brings a slot into the cache, for one that is about to come to it. Any thread.
  void PrefetchToMerge(SymbolId id) const noexcept {
    for (size_t line = 0; line < kSlotBytes; line += 64) __builtin_prefetch(Bytes(id) + line, 1);
  }
  void PrefetchToLoad(SymbolId id) const noexcept {
    for (size_t line = 0; line < kSlotBytes; line += 64) __builtin_prefetch(Bytes(id) + line, 0);
  }

  // The newest Sequence. Any thread; may be newer or older than a TryLoad beside it.
  uint64_t Sequence(SymbolId id) const noexcept;
  // The source of the newest tick. Any thread.
  SourceId Source(SymbolId id) const noexcept;

  // The dirty mark (core/dirty_queue.h), and the time of the tick that set it. They live here to share the writer's
  // line.
  std::atomic<uint32_t>& Dirty(SymbolId id) noexcept { return slots_[Index(id)].dirty; }
  std::atomic<int64_t>& DirtySinceNs(SymbolId id) noexcept { return slots_[Index(id)].dirty_since_ns; }

 private:
  // All words are written by the owner alone, but for `dirty` and `owner`. A snapshot has the same words; of its
  // second line only `clock_ms` is used.
  struct alignas(64) Slot {
    // Line 0: what a quote changes.
    std::atomic<uint64_t> version;
    std::atomic<uint64_t> quote_meta;  // packed, see QuoteMeta
    std::atomic<int64_t> received_ns;
    std::atomic<uint64_t> quote_time_ns;
    std::atomic<int64_t> quote[4];
    // Line 1, next to it, since every tick needs both: the bridge's own words; and Timestamp where it is not the newer
    // of the venue times.
    std::atomic<int64_t> clock_ms;
    std::atomic<int64_t> dirty_since_ns;
    std::atomic<uint32_t> dirty;
    std::atomic<uint32_t> owner;
    uint64_t pad[5];
    // Line 2: the trade group, and what seldom changes.
    std::atomic<uint64_t> trade_time_ns;
    std::atomic<int64_t> trade[5];
    std::atomic<uint64_t> trade_meta;       // packed, see TradeMeta
    std::atomic<uint64_t> sequence_offset;  // Sequence is this + version / 2; a write that is no merge takes one away
  };
  static_assert(sizeof(Slot) == kSlotBytes);

  const char* Bytes(SymbolId id) const noexcept { return reinterpret_cast<const char*>(&slots_[Index(id)]); }
  static std::atomic<int64_t>& Mantissa(Slot& slot, size_t field) noexcept {
    return field < 4 ? slot.quote[field] : slot.trade[field - 4];
  }
  static const std::atomic<int64_t>& Mantissa(const Slot& slot, size_t field) noexcept {
    return field < 4 ? slot.quote[field] : slot.trade[field - 4];
  }
  template <bool kChecked>
  SlotLoad TryLoadFrom(const Slot& slot, uint64_t version_min, Quote* out) const noexcept;
  template <bool kChecked>
  SlotLoad LoadContended(SymbolId id, Quote* out) const noexcept;

  struct Editor;
  template <FieldMask kGroups>
  MergeResult MergeGroups(SymbolId id, const Tick& tick, const TickContext& context, bool* volume_overflow) noexcept;

  PageArray<Slot> slots_;
  PageArray<Slot> snapshots_;
  uint64_t sequence_base_;
};

}  // namespace tickbridge
