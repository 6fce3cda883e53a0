// SPDX-License-Identifier: Apache-2.0
// The sources: every connection, socket and file that ticks come through, and whether each still lives.
//
// Threading: Open and Close by any thread (a mutex, slow path); Touch by the source's own runner; IsAlive and LastLife
//   by anyone. All cells are independent: relaxed loads and stores are enough, since no other data is published by
//   them.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>

#include "core/limits.h"
#include "core/pages.h"
#include "core/types.h"

namespace tickbridge {

class SourceTable {
 public:
  // One place; its words stand in shared memory for readers of other processes.
  struct alignas(64) Cell {
    std::atomic<int64_t> last_life_ns;
    std::atomic<int64_t> liveness_ns;
    std::atomic<uint16_t> generation;  // of a living source; 0: the place is free
    uint16_t last_generation;          // under the mutex
  };
  static_assert(sizeof(Cell) == 64);
  static constexpr size_t kCells = limits::kSourcesMax + 1;

  // `cells`: kCells of them, zeroed or left by an earlier process, whose sources are all dead; null: private memory.
  explicit SourceTable(Cell* cells = nullptr) : cells_(kCells, cells) {}

  // A new living source. `liveness_ns`: how long it counts as alive after its last sign of life; 0: until closed.
  // kNoSource when all places are taken.
  SourceId Open(int64_t liveness_ns, MonoNs now) noexcept;
  void Close(SourceId id) noexcept;

  // A sign of life: a message or a heartbeat came. Cheap: one store.
  void Touch(SourceId id, MonoNs now) noexcept {
    cells_[SourceIndex(id)].last_life_ns.store(now.value, std::memory_order_relaxed);
  }

  // False also for an id whose source was closed, whoever has its place now.
  bool IsAlive(SourceId id, MonoNs now) const noexcept {
    const Cell& cell = cells_[SourceIndex(id)];
    if (id == kNoSource || cell.generation.load(std::memory_order_relaxed) != SourceGeneration(id)) return false;
    const int64_t liveness = cell.liveness_ns.load(std::memory_order_relaxed);
    return liveness == 0 || now.value - cell.last_life_ns.load(std::memory_order_relaxed) <= liveness;
  }
  // The last sign of life of a living source. A source that is alive until closed lives now.
  MonoNs LastLife(SourceId id, MonoNs now) const noexcept {
    const Cell& cell = cells_[SourceIndex(id)];
    if (cell.liveness_ns.load(std::memory_order_relaxed) == 0) return now;
    return MonoNs{cell.last_life_ns.load(std::memory_order_relaxed)};
  }

 private:
  PageArray<Cell> cells_;
  std::mutex mutex_;
  uint32_t used_ = 0;  // places ever used, from index 0
  std::deque<uint16_t> free_;
};

}  // namespace tickbridge
