// SPDX-License-Identifier: Apache-2.0
// Memory that is taken once, at start: zeroed, page-aligned and pre-faulted, so that the hot path never meets a page
// fault.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace tickbridge {

// A fixed array of T: zero-initialised in its own anonymous mapping, or over memory that somebody else keeps (a shared
// mapping). T must be valid when all its bytes are zero (atomics and plain integers are). Throws std::bad_alloc when
// there is no memory: at start, never later.
template <typename T>
class PageArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  explicit PageArray(size_t count) : count_(count) {
    void* memory = ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<T*>(memory);
  }
  // `memory`: `count` of T, which outlive this; null: as above.
  PageArray(size_t count, T* memory) : PageArray(memory == nullptr ? PageArray(count) : PageArray(memory, count)) {}
  PageArray(PageArray&& other) noexcept
      : count_(other.count_), data_(std::exchange(other.data_, nullptr)), owned_(other.owned_) {}
  PageArray(const PageArray&) = delete;
  PageArray& operator=(const PageArray&) = delete;
  ~PageArray() {
    if (owned_ && data_ != nullptr) ::munmap(data_, bytes());
  }

  T& operator[](size_t index) noexcept { return data_[index]; }
  const T& operator[](size_t index) const noexcept { return data_[index]; }
  size_t size() const noexcept { return count_; }

 private:
  PageArray(T* memory, size_t count) : count_(count), data_(memory), owned_(false) {}
  size_t bytes() const noexcept { return (count_ == 0 ? 1 : count_) * sizeof(T); }

  size_t count_;
  T* data_ = nullptr;
  bool owned_ = true;
};

}  // namespace tickbridge
