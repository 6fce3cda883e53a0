// SPDX-License-Identifier: Apache-2.0
// Memory that is taken once, at start: zeroed, page-aligned and pre-faulted, so that the hot path never meets a page
// fault. And what can be asked for it: huge pages, a node, a lock.
//
// Threading: plain functions of the thread that makes the tables, at start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"

namespace tickbridge {

// Of all memory taken from here on. kTry: from the reserved pool (MAP_HUGETLB) where it has enough; else transparent
// ones, which the kernel gives as far as it can; else plain pages. A process-wide setting, as the allocator's are:
// set before the first table is made. Arrays under one huge page stay in plain pages.
enum class HugePages : uint8_t { kOff, kTry };
void SetHugePages(HugePages wish) noexcept;

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

// Pages of the calling process.
struct Pages {
  void* data = nullptr;
  size_t bytes = 0;  // as mapped: at least what was asked for
};
// Throws std::bad_alloc when there is no memory.
Pages TakePages(size_t bytes);
void GiveBack(const Pages& pages) noexcept;

// A writable, pre-faulted mapping of the whole of a file, as mmap(MAP_SHARED | MAP_POPULATE) makes it, but in huge
// pages if those are wished for and the kernel joins the file's pages (Linux 6.1). MAP_FAILED, with errno, if it cannot
// be mapped.
void* MapSharedFile(int fd, size_t bytes) noexcept;

// A fixed array of T: zero-initialised in its own anonymous mapping, or over memory that somebody else keeps (a shared
// mapping). T must be valid when all its bytes are zero (atomics and plain integers are). Throws std::bad_alloc when
// there is no memory: at start, never later.
template <typename T>
class PageArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  explicit PageArray(size_t count)
      : count_(count), own_(TakePages((count == 0 ? 1 : count) * sizeof(T))), data_(static_cast<T*>(own_.data)) {}
  // `memory`: `count` of T, which outlive this; null: as above.
  PageArray(size_t count, T* memory) : PageArray(memory == nullptr ? PageArray(count) : PageArray(memory, count)) {}
  PageArray(PageArray&& other) noexcept
      : count_(other.count_), own_(std::exchange(other.own_, {})), data_(std::exchange(other.data_, nullptr)) {}
  PageArray(const PageArray&) = delete;
  PageArray& operator=(const PageArray&) = delete;
  ~PageArray() { GiveBack(own_); }

  T& operator[](size_t index) noexcept { return data_[index]; }
  const T& operator[](size_t index) const noexcept { return data_[index]; }
  size_t size() const noexcept { return count_; }

 private:
  PageArray(T* memory, size_t count) : count_(count), data_(memory) {}

  size_t count_;
  Pages own_;  // none over somebody else's memory
  T* data_ = nullptr;
};

}  // namespace tickbridge
