// SPDX-License-Identifier: Apache-2.0
#include "core/restore.h"

#include <limits>
#include <utility>

namespace tickbridge {

Restore::Restore(LatestTable* table, DirtyQueue* dirty, uint32_t runners) : table_(table), dirty_(dirty) {
  for (uint32_t i = 0; i < runners; ++i) boxes_.push_back(std::make_unique<Box>());
}

void Restore::Post(SymbolId id, const Quote& stored) {
  const auto owner = static_cast<uint32_t>(table_->Owner(id));
  Box& box = *boxes_[owner == 0 ? 0 : owner - 1];
  const std::lock_guard lock(box.mutex);
  box.posted.push_back({id, stored});
  box.filled.store(true, std::memory_order_relaxed);
}

int Restore::Apply(uint32_t runner) noexcept {
  Box& box = *boxes_[runner];
  if (!box.filled.load(std::memory_order_relaxed)) return 0;
  std::vector<Posted> posted;
  {
    const std::lock_guard lock(box.mutex);
    posted.swap(box.posted);
    box.filled.store(false, std::memory_order_relaxed);
  }
  for (const Posted& one : posted) {
    const OwnerId self{runner + 1};
    const bool owned = table_->Owner(one.id) == self;
    if (!table_->Claim(one.id, self)) {
      Post(one.id, one.stored);  // it changed hands meanwhile
      continue;
    }
    table_->Restore(one.id, one.stored);
    if (!owned) table_->Release(one.id);
    applied_.fetch_add(1, std::memory_order_relaxed);
    // No record came with it; the sink knows since when those wait that it is for.
    dirty_->Mark(runner, one.id, MonoNs{std::numeric_limits<int64_t>::max()});
  }
  return static_cast<int>(posted.size());
}

}  // namespace tickbridge
