// SPDX-License-Identifier: Apache-2.0
#include "core/machine.h"

#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tickbridge {
namespace {

constexpr int kCpuMax = 65'535;  // no machine has more; a scribbled list must not fill the memory
constexpr const char* kCpuFolder = "/sys/devices/system/cpu/";
constexpr const char* kNodeFolder = "/sys/devices/system/node/";

bool Contains(const std::vector<int>& cpus, int cpu) { return std::find(cpus.begin(), cpus.end(), cpu) != cpus.end(); }

std::vector<int> ReadList(const std::string& path) { return ParseCpuList(ReadLine(path)).value_or(std::vector<int>()); }

std::vector<int> AffinityOfThisThread() {
  std::vector<int> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return cpus;  // more CPUs than the set holds
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

}  // namespace

std::optional<std::vector<int>> ParseCpuList(std::string_view text) {
  std::vector<int> cpus;
  text = absl::StripAsciiWhitespace(text);
  if (text.empty()) return cpus;
  for (const std::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<std::string_view> ends = absl::StrSplit(part, absl::MaxSplits('-', 1));
    int first = 0;
    int last = 0;
    if (!absl::SimpleAtoi(ends.front(), &first) || !absl::SimpleAtoi(ends.back(), &last) || first < 0 || last < first ||
        last > kCpuMax) {
      return std::nullopt;
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  }
  std::sort(cpus.begin(), cpus.end());
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

std::string FormatCpuList(const std::vector<int>& cpus) {
  std::string text;
  for (size_t i = 0; i < cpus.size();) {
    size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    absl::StrAppend(&text, text.empty() ? "" : ",", cpus[i]);
    if (last > i) absl::StrAppend(&text, "-", cpus[last]);
    i = last + 1;
  }
  return text;
}

std::string ReadLine(const std::string& path) {
  std::ifstream in(path);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return std::string(absl::StripAsciiWhitespace(text));
}

Cpus ReadCpus(const std::string& root) {
  const std::string folder = root + kCpuFolder;
  return {ReadList(folder + "present"), ReadList(folder + "online"), ReadList(folder + "isolated"),
          AffinityOfThisThread()};
}

std::string CpuProblem(const Cpus& cpus, int cpu) {
  if (cpu < 0) return "there is no such CPU";
  if (!cpus.present.empty() && !Contains(cpus.present, cpu)) {
    return absl::StrCat("there is no such CPU on this machine, only ", FormatCpuList(cpus.present));
  }
  if (!cpus.online.empty() && !Contains(cpus.online, cpu)) {
    return absl::StrCat("that CPU is offline; online are ", FormatCpuList(cpus.online));
  }
  if (cpus.affinity.empty() || Contains(cpus.affinity, cpu) || Contains(cpus.isolated, cpu)) return "";
  return absl::StrCat("this process may only use the CPUs ", FormatCpuList(cpus.affinity),
                      " (its affinity, or the cpuset of its cgroup)");
}

int NodeCount(const std::string& root) { return static_cast<int>(ReadList(root + kNodeFolder + "online").size()); }

int NodeOf(int cpu, const std::string& root) {
  for (const int node : ReadList(root + kNodeFolder + "online")) {
    if (Contains(ReadList(absl::StrCat(root, kNodeFolder, "node", node, "/cpulist")), cpu)) return node;
  }
  return -1;
}

int RealtimeThrottlePercent(const std::string& root) {
  int64_t runtime_us = -1;
  int64_t period_us = 0;
  if (!absl::SimpleAtoi(ReadLine(root + "/proc/sys/kernel/sched_rt_runtime_us"), &runtime_us) ||
      !absl::SimpleAtoi(ReadLine(root + "/proc/sys/kernel/sched_rt_period_us"), &period_us) || runtime_us < 0 ||
      period_us <= runtime_us) {
    return 0;
  }
  return static_cast<int>((period_us - runtime_us) * 100 / period_us);
}

}  // namespace tickbridge
