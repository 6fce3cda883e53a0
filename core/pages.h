// SPDX-License-Identifier: Apache-2.0
// Memory that is taken once, at start: zeroed, page-aligned and pre-faulted, so that the hot path never meets a page
// fault; in huge pages where they are wished for. Needs no Abseil: readers of the shared table use it, too.
//
// Threading: plain functions of the thread that makes the tables, at start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace tickbridge {

// Of all memory taken from here on. kTry: from the reserved pool (MAP_HUGETLB) where it has enough; else transparent
// ones, which the kernel gives as far as it can; else plain pages. A process-wide setting, as the allocator's are:
// set before the first table is made. Arrays under one huge page stay in plain pages.
enum class HugePages : uint8_t { kOff, kTry };
void SetHugePages(HugePages wish) noexcept;

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
