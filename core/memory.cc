// SPDX-License-Identifier: Apache-2.0
// Sources: mmap(2), madvise(2), mlockall(2), set_mempolicy(2), proc_pid_smaps(5), and
// Documentation/admin-guide/mm/transhuge.rst of Linux.
#include "core/memory.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <fstream>
#include <new>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tickbridge {
namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;
// Younger than the headers of some systems that we build on; older kernels answer EINVAL.
constexpr int kMadvPopulateWrite = 23;
constexpr int kMadvCollapse = 25;
constexpr int kMapHuge2Mb = 21 << 26;
constexpr int kMpolDefault = 0;
constexpr int kMpolPreferred = 1;

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

// The value in kB behind "Name:" in the form of /proc/self/status, as bytes.
void AddKilobytes(std::string_view line, std::string_view name, uint64_t* sum) {
  uint64_t kilobytes = 0;
  if (!line.starts_with(name)) return;
  line.remove_prefix(name.size());
  if (line.ends_with(" kB") && absl::SimpleAtoi(line.substr(0, line.size() - 3), &kilobytes)) *sum += kilobytes * 1024;
}

// Whether the process has that capability (its number in capability.h).
bool HasCapability(int number) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    uint64_t effective = 0;
    if (line.starts_with("CapEff:\t") && absl::SimpleHexAtoi(line.substr(8), &effective)) {
      return (effective >> number & 1) != 0;
    }
  }
  return false;
}

}  // namespace

void SetHugePages(HugePages to) noexcept { wish = to; }

PreferNode::PreferNode(int node) noexcept {
  constexpr size_t kWordBits = sizeof(unsigned long) * CHAR_BIT;
  std::array<unsigned long, 16> mask{};
  const auto bit = static_cast<size_t>(node);
  if (node < 0 || bit >= mask.size() * kWordBits) return;
  mask[bit / kWordBits] = 1UL << (bit % kWordBits);
  // The kernel takes one bit less than it is told.
  active_ = ::syscall(SYS_set_mempolicy, kMpolPreferred, mask.data(), mask.size() * kWordBits + 1) == 0;
}

PreferNode::~PreferNode() {
  if (active_) ::syscall(SYS_set_mempolicy, kMpolDefault, nullptr, 0);
}

absl::Status LockMemory() {
  constexpr int kCapIpcLock = 14;
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  constexpr std::string_view kAdvice =
      "; raise it (ulimit -l unlimited, LimitMEMLOCK=infinity in a systemd unit) or give the program CAP_IPC_LOCK";
  if (limit.rlim_cur != RLIM_INFINITY && !HasCapability(kCapIpcLock)) {
    return absl::PermissionDeniedError(absl::StrCat("memory.lock = true: RLIMIT_MEMLOCK is ", limit.rlim_cur / 1024,
                                                    " KiB, and must be unlimited", kAdvice));
  }
  if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
    return absl::ErrnoToStatus(errno, "memory.lock = true: the memory cannot be locked");
  }
  return absl::OkStatus();
}

MemoryUse ReadMemoryUse(const std::string& root) {
  MemoryUse use;
  for (const char* file : {"/proc/self/smaps_rollup", "/proc/self/status"}) {
    std::ifstream in(root + file);
    for (std::string line; std::getline(in, line);) {
      AddKilobytes(line, "VmRSS:", &use.resident_bytes);
      AddKilobytes(line, "HugetlbPages:", &use.resident_bytes);  // which VmRSS leaves out
      AddKilobytes(line, "VmLck:", &use.locked_bytes);
      for (const char* kind :
           {"AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:", "Shared_Hugetlb:", "Private_Hugetlb:"}) {
        AddKilobytes(line, kind, &use.huge_bytes);
      }
    }
  }
  return use;
}

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
