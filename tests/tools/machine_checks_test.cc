// SPDX-License-Identifier: Apache-2.0
// Machines made of files: a good one, about which there is nothing to say, and one mistake at a time.
#include "tools/machine_checks.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/tree.h"

namespace tickbridge {
namespace {

class MachineChecksTest : public testing::Test {
 protected:
  MachineChecksTest() {
    RunnerConfig runner;
    runner.name = "main";
    runner.cpu = 3;
    runner.idle = "spin";
    runner.agents = {"sink"};
    config_.runners = {runner};
    cpus_ = {.present = {0, 1, 2, 3}, .online = {0, 1, 2, 3}, .isolated = {3}, .affinity = {0, 1, 2}};
    Good();
  }

  void Good() {
    tree_.Add("/proc/version", "Linux version 6.1.0-rt Debian").Add("/sys/kernel/realtime", "1");
    tree_.Add("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vme tsc");
    tree_.Add("/proc/cmdline", "root=/dev/sda1 isolcpus=3 nohz_full=3 rcu_nocbs=3");
    const std::string cpu = "/sys/devices/system/cpu/";
    for (const char* n : {"0", "1", "2", "3"}) {
      const std::string folder = cpu + "cpu" + n;
      tree_.Add(folder + "/cpufreq/scaling_governor", "performance").Add(folder + "/cpufreq/scaling_driver", "acpi");
      tree_.Add(folder + "/cpufreq/scaling_min_freq", "4000").Add(folder + "/cpufreq/scaling_max_freq", "4000");
      tree_.Add(folder + "/topology/thread_siblings_list", n);
      tree_.Add(folder + "/cpuidle/state0/name", "POLL").Add(folder + "/cpuidle/state0/latency", "0");
      tree_.Add(folder + "/cpuidle/state1/name", "C6").Add(folder + "/cpuidle/state1/latency", "133");
      tree_.Add(folder + "/cpuidle/state1/disable", "1");
    }
    tree_.Add(cpu + "nohz_full", "3");
    tree_.Add("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc");
    tree_.Add("/proc/self/limits",
              "Limit                     Soft Limit           Hard Limit           Units     \n"
              "Max open files            65536                65536                files     \n"
              "Max locked memory         unlimited            unlimited            bytes     \n"
              "Max realtime priority     99                   99                             ");
    tree_.Add("/proc/sys/kernel/sched_rt_period_us", "1000000").Add("/proc/sys/kernel/sched_rt_runtime_us", "950000");
    tree_.Add("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
    tree_.Add("/proc/swaps", "Filename\t\t\t\tType\t\tSize").Add("/proc/sys/vm/swappiness", "60");
    tree_.Add("/sys/devices/system/node/online", "0").Add("/sys/devices/system/node/node0/cpulist", "0-3");
    tree_.Add("/proc/1/comm", "systemd")
        .Add("/proc/irq/7/effective_affinity_list", "0-2")
        .Add("/proc/irq/7/eth0/x", "");
    tree_.Add("/sys/class/net/eth0/operstate", "up").Add("/sys/class/net/eth0/queues/rx-0/rps_cpus", "0");
    tree_.Add("/proc/sys/net/core/rmem_max", "8388608").Add("/proc/sys/net/core/somaxconn", "4096");
    tree_.Add("/dev/shm/x", "");
    nics_["eth0"] = {.rx_ring = 512, .rx_ring_max = 512, .rx_usecs = 0, .adaptive_rx = false};
  }

  Findings Check() { return CheckMachine({&config_, cpus_, nics_, tree_.root()}); }
  // Exactly one finding worse than ok, and this is it.
  void ExpectOnly(std::string_view check, Severity severity, const std::string& part) {
    size_t worse = 0;
    for (const Finding& finding : Check()) {
      if (finding.severity == Severity::kOk) continue;
      ++worse;
      EXPECT_EQ(finding.check, check) << finding.seen;
      EXPECT_EQ(finding.severity, severity) << finding.seen;
      EXPECT_NE((finding.seen + finding.cost + finding.fix).find(part), std::string::npos)
          << finding.seen << finding.fix;
      EXPECT_FALSE(finding.cost.empty() && finding.severity >= Severity::kWarn) << "what it costs is said";
      EXPECT_FALSE(finding.fix.empty() && finding.severity >= Severity::kWarn) << "and what helps";
    }
    EXPECT_EQ(worse, 1U) << check;
  }

  Tree tree_;
  Config config_;
  Cpus cpus_;
  std::map<std::string, NicSettings> nics_;
};

TEST_F(MachineChecksTest, SaysNothingAgainstAGoodMachine) {
  for (const Finding& finding : Check()) {
    EXPECT_EQ(finding.severity, Severity::kOk) << finding.check << ": " << finding.seen;
    EXPECT_TRUE(finding.cost.empty() && finding.fix.empty()) << finding.check;
  }
}

TEST_F(MachineChecksTest, LivesWithAMachineThatTellsNothing) {
  const Tree nothing;
  for (const Finding& finding : CheckMachine({&config_, {}, {}, nothing.root()})) {
    EXPECT_TRUE(finding.severity != Severity::kBad || finding.check == "shm.size" || finding.check == "cpu.count")
        << finding.check << ": " << finding.seen;
  }
}

TEST_F(MachineChecksTest, SeesAVirtualMachineAndWhatTheHostTook) {
  tree_.Add("/proc/cpuinfo", "flags\t\t: fpu tsc hypervisor lahf_lm")
      .Add("/proc/stat", "cpu  10 0 10 70 0 0 0 10 0 0\ncpu0 1");
  ExpectOnly("kernel.virtual", Severity::kWarn, "10 %");
}

TEST_F(MachineChecksTest, SeesTheGovernorOfPinnedCpusOnly) {
  tree_.Add("/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave");
  SCOPED_TRACE("not pinned");
  for (const Finding& finding : Check()) EXPECT_EQ(finding.severity, Severity::kOk) << finding.seen;
  tree_.Add("/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave");
  ExpectOnly("cpu.governor", Severity::kBad, "powersave");
}

TEST_F(MachineChecksTest, SeesChangingFrequencies) {
  tree_.Add("/sys/devices/system/cpu/cpu3/cpufreq/scaling_min_freq", "800");
  ExpectOnly("cpu.frequency", Severity::kInfo, "CPUs 3");
}

TEST_F(MachineChecksTest, SeesTurbo) {
  tree_.Add("/sys/devices/system/cpu/cpufreq/boost", "1");
  ExpectOnly("cpu.boost", Severity::kInfo, "cpufreq/boost");
}

TEST_F(MachineChecksTest, SeesASharedCore) {
  tree_.Add("/sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "1,3");
  ExpectOnly("cpu.siblings", Severity::kWarn, "3 with 1");
  cpus_.online = {0, 2, 3};
  for (const Finding& finding : Check())
    EXPECT_EQ(finding.severity, Severity::kOk) << "its sibling is off: " << finding.seen;
}

TEST_F(MachineChecksTest, SeesWhatIsNotIsolated) {
  cpus_.isolated = {};
  ExpectOnly("cpu.isolation", Severity::kWarn, "isolcpus=managed_irq,domain,3");
  cpus_.isolated = {3};
  tree_.Add("/sys/devices/system/cpu/nohz_full", "(null)");
  ExpectOnly("cpu.nohz_full", Severity::kInfo, "nohz_full=3");
}

TEST_F(MachineChecksTest, SeesDeepIdleStates) {
  tree_.Add("/sys/devices/system/cpu/cpu3/cpuidle/state1/disable", "0");
  ExpectOnly("cpu.idle_states", Severity::kInfo, "C6 takes 133 us");
  config_.runners[0].idle = "backoff";
  ExpectOnly("cpu.idle_states", Severity::kWarn, "idle = \"spin\"");
  tree_.Add("/dev/cpu_dma_latency", std::string_view("\0\0\0\0", 4));
  for (const Finding& finding : Check())
    EXPECT_EQ(finding.severity, Severity::kOk) << "somebody holds them up: " << finding.seen;
}

TEST_F(MachineChecksTest, SeesASlowClock) {
  tree_.Add("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet");
  ExpectOnly("clock.source", Severity::kBad, "hpet");
}

TEST_F(MachineChecksTest, SeesLimitsThatTheConfigurationNeeds) {
  const std::string files = "Max open files            ";
  const std::string memory = "\nMax locked memory         ";
  const std::string priority = "\nMax realtime priority     ";
  tree_.Add("/proc/self/limits", files + "256  256 files" + memory + "unlimited unlimited" + priority + "99 99");
  ExpectOnly("limit.nofile", Severity::kWarn, "LimitNOFILE");
  tree_.Add("/proc/self/limits", files + "unlimited unlimited" + memory + "65536 65536" + priority + "99 99");
  ExpectOnly("limit.memlock", Severity::kInfo, "65536");
  config_.memory.lock = true;
  ExpectOnly("limit.memlock", Severity::kBad, "does not start");
  config_.memory.lock = false;
  config_.runners[0].idle = "backoff";
  config_.runners[0].priority = 40;
  tree_.Add("/proc/self/limits", files + "unlimited unlimited" + memory + "unlimited unlimited" + priority + "10 10");
  ExpectOnly("limit.rtprio", Severity::kBad, "LimitRTPRIO=40");
}

TEST_F(MachineChecksTest, SeesAThrottledPriority) {
  config_.runners[0].priority = 10;
  ExpectOnly("scheduler.rt_throttling", Severity::kWarn, "5 %");
}

TEST_F(MachineChecksTest, SeesHugePagesThatComeByThemselves) {
  tree_.Add("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never");
  ExpectOnly("memory.thp", Severity::kWarn, "echo madvise");
}

TEST_F(MachineChecksTest, SeesWhetherWishedHugePagesAreToBeHad) {
  config_.memory.huge_pages = "try";
  tree_.Add("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "3");
  ExpectOnly("memory.hugetlb", Severity::kInfo, "vm.nr_hugepages");
}

TEST_F(MachineChecksTest, SeesSwap) {
  tree_.Add("/proc/swaps", "Filename\t\t\t\tType\t\tSize\n/dev/sda2 partition 1000");
  ExpectOnly("memory.swap", Severity::kWarn, "memory.lock = true");
  tree_.Add("/proc/sys/vm/swappiness", "1");
  for (const Finding& finding : Check()) EXPECT_EQ(finding.severity, Severity::kOk) << finding.seen;
}

TEST_F(MachineChecksTest, SeesWhatTheKernelDoesWithNodes) {
  tree_.Add("/sys/devices/system/node/online", "0-1").Add("/sys/devices/system/node/node1/cpulist", "4-7");
  ExpectOnly("numa.nodes", Severity::kInfo, "2 memory nodes");
  tree_.Add("/proc/sys/kernel/numa_balancing", "1").Add("/proc/sys/vm/zone_reclaim_mode", "1");
  size_t warnings = 0;
  for (const Finding& finding : Check()) warnings += finding.severity == Severity::kWarn ? 1 : 0;
  EXPECT_EQ(warnings, 2U);
}

TEST_F(MachineChecksTest, SeesInterruptsOnPinnedCpus) {
  tree_.Add("/proc/irq/9/effective_affinity_list", "3").Add("/proc/irq/9/nvme0q3/x", "");
  tree_.Add("/proc/irq/10/effective_affinity_list", "3");  // nobody's
  ExpectOnly("irq.affinity", Severity::kWarn, "1 interrupts may be taken on the pinned CPUs 3: 9 (nvme0q3)");
}

TEST_F(MachineChecksTest, SeesTheBalancer) {
  tree_.Add("/proc/812/comm", "irqbalance");
  ExpectOnly("irq.balance", Severity::kWarn, "IRQBALANCE_BANNED_CPULIST=3");
}

TEST_F(MachineChecksTest, SeesACardThatHoldsPacketsBack) {
  nics_["eth0"].rx_usecs = 8;
  ExpectOnly("nic.coalescing", Severity::kWarn, "ethtool -C eth0 adaptive-rx off rx-usecs 0");
  nics_["eth0"] = {.rx_ring = 256, .rx_ring_max = 4096, .rx_usecs = 0, .adaptive_rx = false};
  ExpectOnly("nic.ring", Severity::kInfo, "ethtool -G eth0 rx 4096");
  tree_.Add("/sys/class/net/eth0/operstate", "down");
  for (const Finding& finding : Check()) EXPECT_EQ(finding.severity, Severity::kOk) << finding.seen;
}

TEST_F(MachineChecksTest, SeesBuffersThatAreTooSmall) {
  FeedConfig feed;
  feed.type = "unix_datagram";
  feed.receive_buffer = size_t{16} << 20;
  config_.feeds = {feed};
  ExpectOnly("net.rmem_max", Severity::kWarn, "16777216");
  tree_.Add("/proc/sys/net/core/rmem_max", "16777216").Add("/proc/sys/net/core/somaxconn", "64");
  ExpectOnly("net.somaxconn", Severity::kWarn, "4096");
  tree_.Add("/proc/sys/net/core/somaxconn", "128").Add("/proc/sys/net/core/busy_read", "0");
  config_.feeds[0].type = "udp";
  ExpectOnly("net.busy_poll", Severity::kInfo, "busy_read=50");
}

TEST_F(MachineChecksTest, SeesAQuotaOfTheCgroupOrOneAboveIt) {
  tree_.Add("/proc/self/cgroup", "1:cpu:/elsewhere\n0::/system.slice/tickbridge.service");
  tree_.Add("/sys/fs/cgroup/system.slice/tickbridge.service/cpu.max", "max 100000");
  for (const Finding& finding : Check()) EXPECT_EQ(finding.severity, Severity::kOk) << finding.check;
  tree_.Add("/sys/fs/cgroup/system.slice/cpu.max", "150000 100000");
  ExpectOnly("cpu.quota", Severity::kBad, "/sys/fs/cgroup/system.slice/cpu.max: 150000 us of each 100000 us");
  config_.runners[0].idle = "backoff";
  bool warned = false;
  for (const Finding& finding : Check()) {
    if (finding.check == "cpu.quota") warned = finding.severity == Severity::kWarn;
  }
  EXPECT_TRUE(warned);
  // In a container the own cgroup is the top.
  tree_.Add("/proc/self/cgroup", "0::/").Add("/sys/fs/cgroup/cpu.max", "50000 100000");
  config_.runners[0].idle = "spin";
  ExpectOnly("cpu.quota", Severity::kBad, "/sys/fs/cgroup/cpu.max: 50000 us");
}

// Of 65,536 symbols the file has 34,672,640 bytes; the counters have 8 MiB.
TEST_F(MachineChecksTest, CountsAllThatTheSharedFilesTake) {
  const auto seen = [&] {
    for (const Finding& finding : Check()) {
      if (finding.check == "shm.size") return finding.seen;
    }
    return std::string();
  };
  EXPECT_TRUE(seen().ends_with("the shared table and the counters take 42MiB")) << seen();
  config_.table.shm = "";  // private memory
  EXPECT_TRUE(seen().ends_with("take 8MiB")) << seen();
}

TEST_F(MachineChecksTest, SeesTooManySpinners) {
  config_.runners[0].cpu = -1;
  config_.runners[0].idle = "spin";
  bool unpinned = false;
  for (const Finding& finding : Check())
    unpinned |= finding.check == "cpu.count" && finding.severity == Severity::kWarn;
  EXPECT_TRUE(unpinned);
  cpus_.affinity = {0};
  bool none_left = false;
  for (const Finding& finding : Check())
    none_left |= finding.check == "cpu.count" && finding.severity == Severity::kBad;
  EXPECT_TRUE(none_left);
}

}  // namespace
}  // namespace tickbridge
