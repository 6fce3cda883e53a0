// SPDX-License-Identifier: Apache-2.0
// Where threads and memory would go on machines made of files.
#include "tools/placement.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/tree.h"

namespace tickbridge {
namespace {

using List = std::vector<int>;

RunnerConfig Made(const std::string& name, int cpu, const std::string& idle, int priority,
                  const std::vector<std::string>& agents) {
  RunnerConfig runner;
  runner.name = name;
  runner.cpu = cpu;
  runner.idle = idle;
  runner.priority = priority;
  runner.agents = agents;
  return runner;
}

Config Of(std::vector<RunnerConfig> runners) {
  Config config;
  config.runners = std::move(runners);
  return config;
}

bool Warns(const Placement& placement, const std::string& part) {
  for (const std::string& warning : placement.warnings) {
    if (warning.find(part) != std::string::npos) return true;
  }
  return false;
}

Cpus Machine(const List& affinity, const List& isolated = {}) {
  return {.present = {0, 1, 2, 3}, .online = {0, 1, 2, 3}, .isolated = isolated, .affinity = affinity};
}

class PlacementTest : public testing::Test {
 protected:
  PlacementTest() {
    tree_.Add("/proc/sys/kernel/sched_rt_period_us", "1000000").Add("/proc/sys/kernel/sched_rt_runtime_us", "950000");
    tree_.Add("/sys/devices/system/node/online", "0-1");
    tree_.Add("/sys/devices/system/node/node0/cpulist", "0-1").Add("/sys/devices/system/node/node1/cpulist", "2-3");
  }
  Placement PlaceOn(const Cpus& cpus, std::vector<RunnerConfig> runners) {
    return Place(Of(std::move(runners)), cpus, tree_.root());
  }
  Tree tree_;
};

TEST_F(PlacementTest, LeavesEverythingWhereNothingIsPinned) {
  const Placement placement = PlaceOn(Machine({0, 1, 2, 3}), {Made("main", -1, "spin", 0, {"sink"})});
  EXPECT_TRUE(placement.others.empty());
  EXPECT_EQ(placement.node, -1);
  EXPECT_TRUE(placement.warnings.empty());
}

TEST_F(PlacementTest, KeepsTheOthersOffPinnedCpus) {
  const Placement placement =
      PlaceOn(Machine({0, 1, 2, 3}), {Made("a", 0, "spin", 0, {"feed.x"}), Made("b", 1, "spin", 0, {"sink"}),
                                      Made("c", -1, "backoff", 0, {"feed.y"})});
  EXPECT_EQ(placement.affinity, List({0, 1, 2, 3}));
  EXPECT_EQ(placement.others, List({2, 3}));
  EXPECT_TRUE(placement.warnings.empty()) << placement.warnings.front();
  EXPECT_TRUE(PlaceOn(Machine({0, 1}, {2, 3}), {Made("a", 2, "spin", 0, {"sink"})}).others.empty())
      << "nobody is on an isolated CPU anyway";
}

TEST_F(PlacementTest, WarnsWhereNoCpuIsLeft) {
  const Placement spinning = PlaceOn(Machine({1}), {Made("main", 1, "spin", 0, {"sink"})});
  EXPECT_TRUE(spinning.others.empty());
  EXPECT_TRUE(Warns(spinning, "no CPU is left"));
  EXPECT_TRUE(Warns(PlaceOn(Machine({1}), {Made("main", 1, "yield", 5, {"sink"})}), "hardly ever run"));
  EXPECT_TRUE(PlaceOn(Machine({1}), {Made("main", 1, "backoff", 0, {"sink"})}).warnings.empty());
}

TEST_F(PlacementTest, WarnsOfPrioritiesThatNeverSleep) {
  const std::vector<RunnerConfig> spinning = {Made("main", 1, "spin", 50, {"sink"})};
  EXPECT_TRUE(Warns(PlaceOn(Machine({0, 1}), spinning), "runner.main.priority = 50: it never sleeps"));
  EXPECT_TRUE(Warns(PlaceOn(Machine({0, 1}), spinning), " 5 %"));
  tree_.Add("/proc/sys/kernel/sched_rt_runtime_us", "-1");
  EXPECT_TRUE(Warns(PlaceOn(Machine({0, 1}), spinning), "nothing bounds it"));
  EXPECT_TRUE(PlaceOn(Machine({0, 1}), {Made("main", 1, "backoff", 50, {"sink"})}).warnings.empty());
  EXPECT_TRUE(Warns(PlaceOn(Machine({0, 1}), {Made("main", -1, "backoff", 50, {"sink"})}), "without cpu"));
}

TEST_F(PlacementTest, WarnsOfTwoOnOneCpu) {
  EXPECT_TRUE(
      Warns(PlaceOn(Machine({0, 1}), {Made("a", 1, "spin", 0, {"feed.x"}), Made("b", 1, "backoff", 0, {"sink"})}),
            "runner.a and runner.b share CPU 1"));
  EXPECT_TRUE(PlaceOn(Machine({0, 1}), {Made("a", 1, "backoff", 0, {"feed.x"}), Made("b", 1, "backoff", 0, {"sink"})})
                  .warnings.empty());
}

TEST_F(PlacementTest, PutsTheTablesBesideTheLane) {
  const Placement one =
      PlaceOn(Machine({0, 1, 2, 3}), {Made("a", 2, "spin", 0, {"feed.x"}), Made("b", 3, "spin", 0, {"sink"})});
  EXPECT_EQ(one.node, 1);
  EXPECT_TRUE(one.warnings.empty());
  const Placement two =
      PlaceOn(Machine({0, 1, 2, 3}), {Made("a", 0, "spin", 0, {"feed.x"}), Made("b", 3, "spin", 0, {"sink.0"})});
  EXPECT_EQ(two.node, 1);
  EXPECT_TRUE(Warns(two, "runner.a is on node 0"));
  EXPECT_EQ(
      PlaceOn(Machine({0, 1, 2, 3}), {Made("a", 0, "spin", 0, {"feed.x"}), Made("b", -1, "spin", 0, {"sink"})}).node,
      0);
  tree_.Add("/sys/devices/system/node/online", "0");
  EXPECT_EQ(PlaceOn(Machine({0, 1, 2, 3}), {Made("a", 0, "spin", 0, {"sink"})}).node, -1) << "there is only one";
}

}  // namespace
}  // namespace tickbridge
