// SPDX-License-Identifier: Apache-2.0
// Sources: mlockall(2), set_mempolicy(2), proc_pid_smaps(5).
#include "core/memory.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tickbridge {
namespace {

constexpr int kMpolDefault = 0;
constexpr int kMpolPreferred = 1;

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

}  // namespace tickbridge
