// SPDX-License-Identifier: Apache-2.0
// This machine's CPUs and memory nodes, as the kernel lists them, and which of them a thread may be pinned to.
//
// `root` stands before /proc and /sys: empty for the machine itself, a folder in tests. What cannot be read is empty:
// a container may hide it, and then the kernel's own refusal has to do.
// Threading: plain functions; cold, at start.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tickbridge {

// The kernel's list form: "0-3,6". Sorted, each once; empty text is no CPU. Nothing if it is no list.
std::optional<std::vector<int>> ParseCpuList(std::string_view text);
std::string FormatCpuList(const std::vector<int>& cpus);

// The content of a small file without the white space around it; empty if it cannot be read.
std::string ReadLine(const std::string& path);

struct Cpus {
  std::vector<int> present;
  std::vector<int> online;
  std::vector<int> isolated;  // isolcpus=, or an isolated cpuset: the scheduler puts nobody there by itself
  std::vector<int> affinity;  // of the thread that asked
};
Cpus ReadCpus(const std::string& root = "");

// Why no thread can be pinned to `cpu`, with those that can be used; "" if one can. An isolated CPU is in nobody's
// affinity, and is what pinning is for: the kernel decides about it.
std::string CpuProblem(const Cpus& cpus, int cpu);

// The memory node of a CPU, and how many nodes there are. -1: unknown; a machine without NUMA has one node, 0.
int NodeOf(int cpu, const std::string& root = "");
int NodeCount(const std::string& root = "");

// Of SCHED_FIFO: the part of each second that the kernel keeps for others, in percent, 0 where it keeps none.
int RealtimeThrottlePercent(const std::string& root = "");

}  // namespace tickbridge
