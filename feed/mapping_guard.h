// SPDX-License-Identifier: Apache-2.0
// What happens when somebody truncates a file that we have mapped: the next access to a lost page raises SIGBUS, at any
// moment, and no look at the file's size beforehand can prevent that. A guarded mapping is replaced by zeros at that
// moment, as a whole, and the access goes on; `lost` says so from then on. Who reads must therefore ask `lost` after
// reading, before what was read is believed.
//
// The handler is the process's: installed with the first guard, it passes on whatever is not of a guarded mapping to
// the handler that was there before. A handler that somebody installs later, and that does not pass on, undoes it.
// Threading: any. `lost` is exact for the thread that made the access.
#pragma once

#include <atomic>
#include <cstddef>

namespace tickbridge {

class MappingGuard {
 public:
  static constexpr size_t kMax = 1024;  // guards at a time

  MappingGuard() = default;
  ~MappingGuard() { Release(); }
  MappingGuard(const MappingGuard&) = delete;
  MappingGuard& operator=(const MappingGuard&) = delete;

  // Guards [base, base + bytes), page-aligned. False if there are kMax already.
  bool Guard(void* base, size_t bytes) noexcept;
  void Release() noexcept;

  bool lost() const noexcept {
    if (slot_ == nullptr) return false;
    // The handler runs on the thread whose access failed: only the compiler must keep the order.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return slot_->lost.load(std::memory_order_relaxed);
  }

  struct Slot {
    std::atomic<char*> base;  // null: free
    std::atomic<size_t> bytes;
    std::atomic<bool> lost;
  };

 private:
  Slot* slot_ = nullptr;
};

}  // namespace tickbridge
