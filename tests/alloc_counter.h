// SPDX-License-Identifier: Apache-2.0
// Counts this thread's calls of malloc and its kin, operator new among them, to show that a piece of code makes none.
//
// Method: including this header defines malloc, calloc, realloc, aligned_alloc, memalign and posix_memalign in the test
// binary, in front of glibc's. They are weak, so that several files of one binary may include it, and do nothing but
// count and call glibc's own. Under a sanitizer, which brings its own malloc, nothing is defined: kAllocCounterWorks is
// false.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "tests/sanitized.h"

#if defined(__GLIBC__) && !TICKBRIDGE_SANITIZED
#define TICKBRIDGE_COUNT_ALLOCATIONS 1
#else
#define TICKBRIDGE_COUNT_ALLOCATIONS 0
#endif

namespace tickbridge::test {

inline constexpr bool kAllocCounterWorks = TICKBRIDGE_COUNT_ALLOCATIONS != 0;

// Of this thread. A plain word without constructor: malloc runs before any constructor does.
inline thread_local constinit uint64_t allocations = 0;

}  // namespace tickbridge::test

#if TICKBRIDGE_COUNT_ALLOCATIONS
extern "C" {
void* __libc_malloc(size_t bytes) noexcept;
void* __libc_calloc(size_t count, size_t bytes) noexcept;
void* __libc_realloc(void* old, size_t bytes) noexcept;
void* __libc_memalign(size_t alignment, size_t bytes) noexcept;

__attribute__((weak)) void* malloc(size_t bytes) noexcept {
  ++tickbridge::test::allocations;
  return __libc_malloc(bytes);
}
__attribute__((weak)) void* calloc(size_t count, size_t bytes) noexcept {
  ++tickbridge::test::allocations;
  return __libc_calloc(count, bytes);
}
__attribute__((weak)) void* realloc(void* old, size_t bytes) noexcept {
  ++tickbridge::test::allocations;
  return __libc_realloc(old, bytes);
}
__attribute__((weak)) void* memalign(size_t alignment, size_t bytes) noexcept {
  ++tickbridge::test::allocations;
  return __libc_memalign(alignment, bytes);
}
__attribute__((weak)) void* aligned_alloc(size_t alignment, size_t bytes) noexcept {
  ++tickbridge::test::allocations;
  return __libc_memalign(alignment, bytes);
}
__attribute__((weak)) int posix_memalign(void** out, size_t alignment, size_t bytes) noexcept {
  ++tickbridge::test::allocations;
  void* const memory = __libc_memalign(alignment, bytes);
  if (memory == nullptr) return ENOMEM;
  *out = memory;
  return 0;
}
}
#endif
