// SPDX-License-Identifier: Apache-2.0
#include "core/source_table.h"

namespace tickbridge {

SourceId SourceTable::Open(int64_t liveness_ns, MonoNs now) noexcept {
  const std::lock_guard lock(mutex_);
  uint16_t index;
  if (!free_.empty()) {
    // The oldest free place, so that an id stays out of use for as long as can be.
    index = free_.front();
    free_.pop_front();
  } else if (used_ < limits::kSourcesMax) {
    index = static_cast<uint16_t>(used_++);
  } else {
    return kNoSource;
  }
  Cell& cell = cells_[index];
  // Generation 0 means free, so it is skipped when the count wraps.
  cell.last_generation = cell.last_generation == 0xffff ? uint16_t{1} : static_cast<uint16_t>(cell.last_generation + 1);
  cell.last_life_ns.store(now.value, std::memory_order_relaxed);
  cell.liveness_ns.store(liveness_ns, std::memory_order_relaxed);
  cell.generation.store(cell.last_generation, std::memory_order_relaxed);
  return MakeSourceId(index, cell.last_generation);
}

void SourceTable::Close(SourceId id) noexcept {
  const std::lock_guard lock(mutex_);
  Cell& cell = cells_[SourceIndex(id)];
  if (id == kNoSource || cell.generation.load(std::memory_order_relaxed) != SourceGeneration(id)) return;
  cell.generation.store(0, std::memory_order_relaxed);
  free_.push_back(SourceIndex(id));
}

}  // namespace tickbridge
