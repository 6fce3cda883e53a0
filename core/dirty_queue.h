// SPDX-License-Identifier: Apache-2.0
// The dirty queues: ids of the symbols whose slot changed since the sink last took it, one queue a lane, each id in
// its queue at most once. This is the whole hand-off from feed to sink, and the whole of back-pressure.
//
// Protocol: the writer, after its slot write, always exchanges the slot's mark to 1, and pushes the id only if the mark
//   was 0. The sink, after taking an id, exchanges the mark to 0 *before* it reads the slot. Either the sink's exchange
//   comes after the writer's, and then it reads the new value; or before, and then the writer finds 0 and pushes again.
//   Both sides need the exchange: a load first, or a plain store, can miss the other side's and lose a final update.
// Threading: Mark by one thread per producer number at a time; Take by one thread per lane at a time.
// Memory order: the writer's exchange (1) releases its slot write to the sink's exchange (2), and the other way round.
// Progress: Mark neither blocks nor allocates: every producer's storage was filled to capacity once, at construction.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/latest_table.h"
#include "core/types.h"

namespace tickbridge {

class DirtyQueue {
 public:
  // `producers`: how many threads mark (one number each, from 0). `lanes`: how many queues.
  DirtyQueue(LatestTable* table, uint32_t producers, uint32_t lanes);
  ~DirtyQueue();
  DirtyQueue(const DirtyQueue&) = delete;
  DirtyQueue& operator=(const DirtyQueue&) = delete;

  uint32_t lanes() const noexcept { return lanes_; }
  uint32_t LaneOf(SymbolId id) const noexcept { return lanes_ == 1 ? 0 : Index(id) % lanes_; }

  // Marks the symbol dirty; `since` is when the tick that caused it was received.
  void Mark(uint32_t producer, SymbolId id, MonoNs since) noexcept {
    if (table_->Dirty(id).exchange(1, std::memory_order_acq_rel) == 0) {  // (1)
      // Relaxed: the push releases it, and until the sink took this id nobody else writes it.
      table_->DirtySinceNs(id).store(since.value, std::memory_order_relaxed);
      Push(producer, id);
    }
  }

  // Takes up to `ids.size()` ids of a lane. Each must be handed to Begin before its slot is read.
  size_t Take(uint32_t lane, std::span<SymbolId> ids) noexcept;

  // Clears the mark of a taken id. From here on, a newer tick queues the id again. Returns when the oldest tick that
  // this taking covers was received.
  MonoNs Begin(SymbolId id) noexcept {
    const MonoNs since{table_->DirtySinceNs(id).load(std::memory_order_relaxed)};  // the pop acquired it
    table_->Dirty(id).exchange(0, std::memory_order_acq_rel);                      // (2)
    return since;
  }

  // Roughly how many ids wait in a lane.
  size_t SizeApprox(uint32_t lane) const noexcept;

 private:
  struct Impl;
  void Push(uint32_t producer, SymbolId id) noexcept;

  LatestTable* table_;
  uint32_t lanes_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tickbridge
