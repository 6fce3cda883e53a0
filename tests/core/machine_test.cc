// SPDX-License-Identifier: Apache-2.0
// Machines made of files: lists of CPUs as kernels write them, and what may be pinned where.
#include "core/machine.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/tree.h"

namespace tickbridge {
namespace {

using List = std::vector<int>;

TEST(Machine, ReadsTheKernelsLists) {
  EXPECT_EQ(ParseCpuList(""), List());
  EXPECT_EQ(ParseCpuList("\n"), List());
  EXPECT_EQ(ParseCpuList("3"), List({3}));
  EXPECT_EQ(ParseCpuList("0-3,6,8-9\n"), List({0, 1, 2, 3, 6, 8, 9}));
  EXPECT_EQ(ParseCpuList("6,0-2,1-3"), List({0, 1, 2, 3, 6}));
  for (const char* wrong : {"a", "1,", ",1", "3-1", "1-", "-1", "1-2-3", "0-65536", "99999999999", "0-3:1/2"}) {
    EXPECT_EQ(ParseCpuList(wrong), std::nullopt) << wrong;
  }
}

TEST(Machine, WritesWhatItReads) {
  std::mt19937 random(7);
  for (int i = 0; i < 1000; ++i) {
    std::set<int> cpus;
    for (uint64_t n = random() % 20; n > 0; --n) cpus.insert(static_cast<int>(random() % 40));
    const List list(cpus.begin(), cpus.end());
    EXPECT_EQ(ParseCpuList(FormatCpuList(list)), list) << FormatCpuList(list);
  }
  EXPECT_EQ(FormatCpuList({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
}

TEST(Machine, SaysWhyNoThreadCanBePinnedThere) {
  const Cpus cpus{.present = {0, 1, 2, 3, 4, 5}, .online = {0, 1, 2, 3, 4}, .isolated = {3}, .affinity = {0, 1}};
  const auto says = [](const std::string& problem, const char* part) {
    return problem.find(part) != std::string::npos;
  };
  EXPECT_EQ(CpuProblem(cpus, 1), "");
  EXPECT_EQ(CpuProblem(cpus, 3), "") << "an isolated CPU is in nobody's affinity";
  EXPECT_TRUE(says(CpuProblem(cpus, 4), "may only use the CPUs 0-1 ("));
  EXPECT_TRUE(says(CpuProblem(cpus, 5), "offline; online are 0-4"));
  EXPECT_TRUE(says(CpuProblem(cpus, 6), "only 0-5"));
  EXPECT_NE(CpuProblem(cpus, -2), "");
  EXPECT_EQ(CpuProblem({}, 6), "") << "nothing is known: the kernel decides";
}

TEST(Machine, ReadsItsCpusAndNodes) {
  Tree tree;
  tree.Add("/sys/devices/system/cpu/present", "0-7").Add("/sys/devices/system/cpu/online", "0-6");
  tree.Add("/sys/devices/system/cpu/isolated", "");
  tree.Add("/sys/devices/system/node/online", "0,2");
  tree.Add("/sys/devices/system/node/node0/cpulist", "0-3").Add("/sys/devices/system/node/node2/cpulist", "4-7");
  const Cpus cpus = ReadCpus(tree.root());
  EXPECT_EQ(cpus.present.size(), 8U);
  EXPECT_EQ(cpus.online.size(), 7U);
  EXPECT_TRUE(cpus.isolated.empty());
  EXPECT_FALSE(cpus.affinity.empty());
  EXPECT_EQ(NodeCount(tree.root()), 2);
  EXPECT_EQ(NodeOf(3, tree.root()), 0);
  EXPECT_EQ(NodeOf(4, tree.root()), 2);
  EXPECT_EQ(NodeOf(8, tree.root()), -1);
  EXPECT_EQ(NodeCount(tree.root() + "/none"), 0);
}

TEST(Machine, ReadsWhatIsKeptFromRealtimeThreads) {
  Tree tree;
  EXPECT_EQ(RealtimeThrottlePercent(tree.root()), 0);
  tree.Add("/proc/sys/kernel/sched_rt_period_us", "1000000").Add("/proc/sys/kernel/sched_rt_runtime_us", "950000");
  EXPECT_EQ(RealtimeThrottlePercent(tree.root()), 5);
  tree.Add("/proc/sys/kernel/sched_rt_runtime_us", "-1");
  EXPECT_EQ(RealtimeThrottlePercent(tree.root()), 0);
}

TEST(Machine, KnowsThisOne) {
  const Cpus cpus = ReadCpus();
  EXPECT_EQ(CpuProblem(cpus, cpus.affinity.front()), "");
  EXPECT_NE(CpuProblem(cpus, 60'000), "");
}

}  // namespace
}  // namespace tickbridge
