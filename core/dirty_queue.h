// SPDX-License-Identifier: Apache-2.0
// The dirty queues: ids of the symbols whose slot changed since the sink last took it, one queue a lane, each id in
// its queue at most once. This is the whole hand-off from feed to sink, and the whole of back-pressure.
//
// Protocol: the writer, after its slot write, always exchanges the slot's mark to 1, and pushes the id only if the mark
//   was 0. The sink, after taking an id, exchanges the mark to 0 *before* it reads the slot. Either the sink's exchange
//   comes after the writer's, and then it reads the new value; or before, and then the writer finds 0 and pushes again.
//   Both sides need the exchange: a load first, or a plain store, can miss the other side's and lose a final update.
// Order: oldest first from each producer; producers take turns at being first in a taking.
// Threading: Mark by one thread per producer number at a time; all else by one thread per lane at a time.
// Memory order: the writer's exchange (1) releases its slot write to the sink's exchange (2), and the other way round.
//   A ring's entry is released by the push (3) to the taking (4).
// Progress: all of it is wait-free. Nothing allocates after construction.
// Memory: 8 bytes a symbol and producer, as many symbols as the next power of two.
//
// A queue is a ring for each producer, as large as the lane has symbols. That is why a push looks for no room: an id is
// pushed again only after its mark was cleared, and so after it was taken. In any run of pushes longer than the ring
// some id comes twice, so between the two its first entry, and all before it, were taken; and the exchange that found
// the mark cleared acquires that. An entry holds its position beside the id: the sink sees from the entry itself that
// it is new, and a push costs the two cores one cache line. How it compares with others: bench/dirty_handoff.cc.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/latest_table.h"
#include "core/pages.h"
#include "core/types.h"

namespace tickbridge {

class DirtyQueue {
 public:
  // `producers`: how many threads mark (one number each, from 0). `lanes`: how many queues.
  DirtyQueue(LatestTable* table, uint32_t producers, uint32_t lanes);
  DirtyQueue(const DirtyQueue&) = delete;
  DirtyQueue& operator=(const DirtyQueue&) = delete;

  uint32_t lanes() const noexcept { return lanes_; }
  uint32_t LaneOf(SymbolId id) const noexcept { return lanes_ == 1 ? 0 : Index(id) % lanes_; }

  // Marks the symbol dirty; `since` is when the tick that caused it was received.
  void Mark(uint32_t producer, SymbolId id, MonoNs since) noexcept {
    if (table_->Dirty(id).exchange(1, std::memory_order_acq_rel) == 0) {  // (1)
      // Relaxed: the push releases it, and until the sink took this id nobody else writes it.
      table_->DirtySinceNs(id).store(since.value, std::memory_order_relaxed);
      RingOf(LaneOf(id), producer).Push(id);
    }
  }

  // Takes up to `ids.size()` ids of a lane. Each must be handed to Begin before its slot is read.
  size_t Take(uint32_t lane, std::span<SymbolId> ids) noexcept;

  // Clears the mark of a taken id. From here on, a newer tick queues the id again. Returns when the oldest tick that
  // this taking covers was received.
  MonoNs Begin(SymbolId id) noexcept {
    const MonoNs since{table_->DirtySinceNs(id).load(std::memory_order_relaxed)};  // the taking acquired it
    table_->Dirty(id).exchange(0, std::memory_order_acq_rel);                      // (2)
    return since;
  }

  // True when nothing waits in a lane.
  bool Empty(uint32_t lane) const noexcept;
  // Roughly how many ids wait in a lane. Counts them.
  size_t SizeApprox(uint32_t lane) const noexcept;

 private:
  class Ring {
   public:
    explicit Ring(uint32_t ids) : entries_(std::bit_ceil(ids)), mask_(std::bit_ceil(ids) - 1) {}

    void Push(SymbolId id) noexcept {
      const uint32_t position = pushed_++;
      entries_[position & mask_].store(uint64_t{position + 1} << 32 | Index(id), std::memory_order_release);  // (3)
    }
    // Takes the oldest id. False: there is none.
    bool Pop(SymbolId* id) noexcept {
      if (!Peek(taken_, id)) return false;
      ++taken_;
      return true;
    }
    bool Empty() const noexcept {
      SymbolId id;
      return !Peek(taken_, &id);
    }
    size_t Count() const noexcept {
      size_t count = 0;
      for (SymbolId id; count <= mask_ && Peek(taken_ + static_cast<uint32_t>(count), &id);) ++count;
      return count;
    }

   private:
    // Positions go round after 2³²; what an entry holds from laps before is another position, and never the one sought.
    bool Peek(uint32_t position, SymbolId* id) const noexcept {
      const uint64_t entry = entries_[position & mask_].load(std::memory_order_acquire);  // (4)
      *id = SymbolId{static_cast<uint32_t>(entry)};
      return static_cast<uint32_t>(entry >> 32) == position + 1;
    }

    PageArray<std::atomic<uint64_t>> entries_;  // position + 1 in the high half, id in the low
    const uint32_t mask_;
    alignas(64) uint32_t pushed_ = 0;  // the producer's
    alignas(64) uint32_t taken_ = 0;   // the sink's
  };

  Ring& RingOf(uint32_t lane, uint32_t producer) const noexcept { return *rings_[lane * producers_ + producer]; }

  LatestTable* table_;
  const uint32_t producers_;
  const uint32_t lanes_;
  std::vector<std::unique_ptr<Ring>> rings_;  // by lane, then producer
  struct alignas(64) Turn {
    uint32_t producer = 0;
  };
  std::vector<Turn> turns_;  // by lane: who is first in the next taking
};

}  // namespace tickbridge
