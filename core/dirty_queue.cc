// SPDX-License-Identifier: Apache-2.0
#include "core/dirty_queue.h"

namespace tickbridge {

DirtyQueue::DirtyQueue(LatestTable* table, uint32_t producers, uint32_t lanes)
    : table_(table), producers_(producers), lanes_(lanes), turns_(lanes) {
  const uint32_t ids_per_lane = (table->capacity() + lanes - 1) / lanes;
  rings_.reserve(size_t{lanes} * producers);
  for (uint32_t i = 0; i < lanes * producers; ++i) rings_.push_back(std::make_unique<Ring>(ids_per_lane));
}

size_t DirtyQueue::Take(uint32_t lane, std::span<SymbolId> ids) noexcept {
  const auto next = [this](uint32_t producer) { return producer + 1 == producers_ ? 0 : producer + 1; };
  uint32_t& first = turns_[lane].producer;
  size_t count = 0;
  uint32_t producer = first;
  do {
    Ring& ring = RingOf(lane, producer);
    // The sink is about to read the slots, and their lines are the feed's, or in no cache.
    while (count < ids.size() && ring.Pop(&ids[count])) table_->PrefetchToLoad(ids[count++]);
    producer = next(producer);
  } while (producer != first);
  first = next(first);
  return count;
}

bool DirtyQueue::Empty(uint32_t lane) const noexcept {
  for (uint32_t producer = 0; producer < producers_; ++producer) {
    if (!RingOf(lane, producer).Empty()) return false;
  }
  return true;
}

size_t DirtyQueue::SizeApprox(uint32_t lane) const noexcept {
  size_t count = 0;
  for (uint32_t producer = 0; producer < producers_; ++producer) count += RingOf(lane, producer).Count();
  return count;
}

}  // namespace tickbridge
