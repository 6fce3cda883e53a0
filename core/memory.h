// SPDX-License-Identifier: Apache-2.0
// What can be asked for the memory of a process (core/pages.h takes it): a node, a lock; and what it has.
//
// Threading: plain functions of the thread that makes the tables, at start.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "core/pages.h"

namespace tickbridge {

// While it lives, the calling thread's new pages come from `node` as long as that has some (also those of a new file
// below /dev/shm). A node of -1 changes nothing. Threads started meanwhile inherit it.
class PreferNode {
 public:
  explicit PreferNode(int node) noexcept;
  PreferNode(const PreferNode&) = delete;
  PreferNode& operator=(const PreferNode&) = delete;
  ~PreferNode();
  bool active() const noexcept { return active_; }

 private:
  bool active_ = false;
};

// Keeps all memory of the process, and what it takes later, from being paged out: mlockall. Each thread's stack
// (8 MiB as a rule) becomes resident by it. Refused where RLIMIT_MEMLOCK is finite, even if it would do now: any later
// allocation would fail at it.
absl::Status LockMemory();

// What the kernel says the process has. Zeros where it does not say.
struct MemoryUse {
  uint64_t resident_bytes = 0;
  uint64_t huge_bytes = 0;  // in huge pages of any kind
  uint64_t locked_bytes = 0;
};
MemoryUse ReadMemoryUse(const std::string& root = "");

}  // namespace tickbridge
