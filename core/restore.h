// SPDX-License-Identifier: Apache-2.0
// Values that were found in the store before the first write of their symbol, on their way to the runner that owns the
// slot: only it may merge them there.
//
// Threading: Post by any thread; Apply by the runner of that number. A mutex, off the hot path: a symbol comes by here
//   once in the life of a process.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "core/dirty_queue.h"
#include "core/latest_table.h"

namespace tickbridge {

class Restore {
 public:
  // `runners`: of which runner r owns slots as OwnerId{r + 1}, and marks them dirty as producer r.
  Restore(LatestTable* table, DirtyQueue* dirty, uint32_t runners);

  // Hands a stored value to the slot's owner; to the first runner where it has none.
  void Post(SymbolId id, const Quote& stored);
  // Merges what was posted to this runner, and marks it dirty. Returns how many.
  int Apply(uint32_t runner) noexcept;
  // Any thread. How many were merged so far.
  uint64_t applied() const { return applied_.load(std::memory_order_relaxed); }

 private:
  struct Posted {
    SymbolId id;
    Quote stored;
  };
  struct Box {
    std::atomic<bool> filled{false};  // relaxed: a hint when to look; what it misses is seen a duty cycle later
    std::mutex mutex;
    std::vector<Posted> posted;
  };

  LatestTable* const table_;
  DirtyQueue* const dirty_;
  std::vector<std::unique_ptr<Box>> boxes_;
  std::atomic<uint64_t> applied_{0};  // relaxed: a count
};

}  // namespace tickbridge
