// SPDX-License-Identifier: Apache-2.0
// Memory in huge pages where they are to be had, and the same memory where they are not.
#include "core/memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "core/machine.h"
#include "tests/tree.h"

namespace tickbridge {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

class HugeWish {
 public:
  HugeWish() { SetHugePages(HugePages::kTry); }
  ~HugeWish() { SetHugePages(HugePages::kOff); }
};

void ExpectUsable(char* memory, size_t bytes) {
  for (size_t at = 0; at < bytes; at += 512) ASSERT_EQ(memory[at], 0) << at;
  for (size_t at = 0; at < bytes; at += 512) memory[at] = static_cast<char>(at / 512);
  for (size_t at = 0; at < bytes; at += 512) ASSERT_EQ(memory[at], static_cast<char>(at / 512)) << at;
}

TEST(Memory, ArraysAreZeroAndOfTheSizeAskedForEitherWay) {
  for (const bool huge : {false, true}) {
    SetHugePages(huge ? HugePages::kTry : HugePages::kOff);
    for (const size_t count : {size_t{0}, size_t{1}, size_t{5000}, 2 * kMiB, 5 * kMiB + 1, 9 * kMiB}) {
      PageArray<char> array(count);
      EXPECT_EQ(array.size(), count);
      if (count == 0) continue;
      ExpectUsable(&array[0], count);
      PageArray<char> moved = std::move(array);
      EXPECT_EQ(moved[count - 1], static_cast<char>((count - 1) % 512 == 0 ? (count - 1) / 512 : 0));
    }
  }
  SetHugePages(HugePages::kOff);
}

// Transparent ones are the kernel's to give: where it says that it does, it does.
TEST(Memory, TakesHugePagesWhereTheKernelGivesThem) {
  const HugeWish wish;
  const uint64_t before = ReadMemoryUse().huge_bytes;
  const PageArray<char> array(8 * kMiB);
  const uint64_t got = ReadMemoryUse().huge_bytes - before;
  const std::string enabled = ReadLine("/sys/kernel/mm/transparent_hugepage/enabled");
  if (enabled.empty() || enabled.find("[never]") != std::string::npos) GTEST_SKIP() << "the kernel gives none";
  EXPECT_GT(got, 0U);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(&array[0]) % (2 * kMiB), 0U);
}

TEST(Memory, PlainPagesAreLeftPlain) {
  if (ReadLine("/sys/kernel/mm/transparent_hugepage/enabled").find("[always]") != std::string::npos) {
    GTEST_SKIP() << "the kernel makes everything huge";
  }
  const uint64_t before = ReadMemoryUse().huge_bytes;
  const PageArray<char> array(8 * kMiB);
  EXPECT_EQ(ReadMemoryUse().huge_bytes, before);
}

TEST(Memory, MapsAFileSoThatOthersSeeIt) {
  for (const bool huge : {false, true}) {
    SetHugePages(huge ? HugePages::kTry : HugePages::kOff);
    for (const size_t bytes : {size_t{8192}, 5 * kMiB + 4096}) {
      const std::string path = "/dev/shm/tb-memory-test-" + std::to_string(::getpid());
      const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
      ASSERT_GE(fd, 0);
      ::unlink(path.c_str());
      ASSERT_EQ(::posix_fallocate(fd, 0, static_cast<off_t>(bytes)), 0);
      void* const memory = MapSharedFile(fd, bytes);
      ASSERT_NE(memory, MAP_FAILED);
      ExpectUsable(static_cast<char*>(memory), bytes);
      char last = 0;
      ASSERT_EQ(::pread(fd, &last, 1, static_cast<off_t>(bytes - 512)), 1);
      EXPECT_EQ(last, static_cast<char>((bytes - 512) / 512));
      ::munmap(memory, bytes);
      ::close(fd);
    }
  }
  SetHugePages(HugePages::kOff);
  EXPECT_EQ(MapSharedFile(-1, 8 * kMiB), MAP_FAILED);
}

TEST(Memory, ReadsWhatTheKernelSaysOfIt) {
  Tree tree;
  tree.Add("/proc/self/status", "Name:\tx\nVmLck:\t    2048 kB\nVmRSS:\t   10240 kB\nHugetlbPages:\t    4096 kB");
  tree.Add("/proc/self/smaps_rollup",
           "Rss:  10240 kB\nAnonHugePages:  2048 kB\nShmemPmdMapped: 6144 kB\nPrivate_Hugetlb: 4096 kB\n"
           "Anonymous:  999 kB");
  const MemoryUse use = ReadMemoryUse(tree.root());
  EXPECT_EQ(use.resident_bytes, 14 * kMiB);
  EXPECT_EQ(use.huge_bytes, 12 * kMiB);
  EXPECT_EQ(use.locked_bytes, 2 * kMiB);
  EXPECT_EQ(ReadMemoryUse(tree.root() + "/none").resident_bytes, 0U);
}

TEST(Memory, PrefersANodeWhileAskedTo) {
  EXPECT_FALSE(PreferNode(-1).active());
  EXPECT_FALSE(PreferNode(100'000).active());
  if (NodeCount() == 0) GTEST_SKIP() << "no NUMA in this kernel";
  const PreferNode first(0);
  const PageArray<char> array(8 * kMiB);
  EXPECT_EQ(array[0], 0);
}

}  // namespace
}  // namespace tickbridge
