// SPDX-License-Identifier: Apache-2.0
// Sources: mmap(2), madvise(2), and Documentation/admin-guide/mm/transhuge.rst of Linux.
#include "core/pages.h"

#include <sys/mman.h>

#include <cerrno>
#include <new>

namespace tickbridge {
namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;
// Younger than the headers of some systems that we build on; older kernels answer EINVAL.
constexpr int kMadvPopulateWrite = 23;
constexpr int kMadvCollapse = 25;
constexpr int kMapHuge2Mb = 21 << 26;

// Set at start, by the thread that makes the tables.
HugePages wish = HugePages::kOff;

size_t RoundUp(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

// An address range of `bytes` at a multiple of a huge page, with nothing in it. Null if there is none.
char* ReserveAligned(size_t bytes) noexcept {
  const size_t reserved = bytes + kHugePageBytes;
  void* const base = ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  char* const begin = static_cast<char*>(base);
  const size_t before = RoundUp(reinterpret_cast<uintptr_t>(base), kHugePageBytes) - reinterpret_cast<uintptr_t>(base);
  if (before != 0) ::munmap(begin, before);
  if (const size_t behind = reserved - before - bytes; behind != 0) ::munmap(begin + before + bytes, behind);
  return begin + before;
}

// From the pool that the operator reserved. Null if that has too few.
void* TakeReserved(size_t bytes) noexcept {
  void* const memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | kMapHuge2Mb, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  // A limit of the cgroup would show as SIGBUS at the first touch; here it is an error.
  if (::madvise(memory, bytes, kMadvPopulateWrite) == 0) return memory;
  ::munmap(memory, bytes);
  return nullptr;
}

void* TakeTransparent(size_t bytes) noexcept {
  char* const place = ReserveAligned(bytes);
  if (place == nullptr) return nullptr;
  void* const memory = ::mmap(place, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (memory == MAP_FAILED) {
    ::munmap(place, bytes);
    return nullptr;
  }
  ::madvise(memory, bytes, MADV_HUGEPAGE);  // where it is refused, plain pages it is
  if (::madvise(memory, bytes, kMadvPopulateWrite) != 0) {
    auto* const words = static_cast<volatile char*>(memory);
    for (size_t at = 0; at < bytes; at += 4096) words[at] = 0;
  }
  return memory;
}

}  // namespace

void SetHugePages(HugePages to) noexcept { wish = to; }

Pages TakePages(size_t bytes) {
  if (wish == HugePages::kTry && bytes >= kHugePageBytes) {
    const size_t rounded = RoundUp(bytes, kHugePageBytes);
    void* memory = TakeReserved(rounded);
    if (memory == nullptr) memory = TakeTransparent(rounded);
    if (memory != nullptr) return {memory, rounded};
  }
  void* const memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return {memory, bytes};
}

void GiveBack(const Pages& pages) noexcept {
  if (pages.data != nullptr) ::munmap(pages.data, pages.bytes);
}

void* MapSharedFile(int fd, size_t bytes) noexcept {
  char* const place = wish == HugePages::kTry && bytes >= kHugePageBytes ? ReserveAligned(bytes) : nullptr;
  void* const memory = ::mmap(place, bytes, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_POPULATE | (place == nullptr ? 0 : MAP_FIXED), fd, 0);
  if (place == nullptr) return memory;
  if (memory == MAP_FAILED) {
    const int error = errno;
    ::munmap(place, bytes);
    errno = error;
    return memory;
  }
  // /dev/shm is mounted without huge pages as a rule, and the file has its pages by now: they are joined. What lies
  // behind the last whole huge page stays as it is.
  ::madvise(memory, bytes / kHugePageBytes * kHugePageBytes, kMadvCollapse);
  return memory;
}

}  // namespace tickbridge
