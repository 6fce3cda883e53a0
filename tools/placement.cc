// SPDX-License-Identifier: Apache-2.0
#include "tools/placement.h"

#include <sched.h>

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tickbridge {
namespace {

// `yield` gives way only to threads of the same priority.
bool NeverSleeps(const RunnerConfig& runner) { return runner.idle != "backoff"; }

bool HasLane(const RunnerConfig& runner) {
  return std::any_of(runner.agents.begin(), runner.agents.end(),
                     [](const std::string& agent) { return agent == "sink" || agent.starts_with("sink."); });
}

void WarnOfPriority(const RunnerConfig& runner, const std::string& root, std::vector<std::string>* warnings) {
  const std::string who = absl::StrCat("runner.", runner.name, ".priority = ", runner.priority, ": ");
  if (runner.cpu < 0) {
    warnings->push_back(absl::StrCat(who, "without cpu it wanders, and holds up others wherever it is; pin it"));
  }
  if (!NeverSleeps(runner)) return;
  if (const int percent = RealtimeThrottlePercent(root); percent > 0) {
    warnings->push_back(absl::StrCat(
        who, "it never sleeps (idle = \"", runner.idle, "\"), so the kernel may stop it for ", percent,
        " % of each period, for others on its CPU (kernel.sched_rt_runtime_us; -1 forbids that); priority = 0 on an "
        "isolated CPU needs no such thing"));
  } else {
    warnings->push_back(absl::StrCat(who, "it never sleeps (idle = \"", runner.idle,
                                     "\"), and nothing bounds it: the kernel's own threads of its CPU wait for ever"));
  }
}

void WarnOfNodes(const std::vector<const RunnerConfig*>& pinned, const Placement& placement, const std::string& root,
                 std::vector<std::string>* warnings) {
  std::vector<std::string> elsewhere;
  for (const RunnerConfig* runner : pinned) {
    const int node = NodeOf(runner->cpu, root);
    if (node != placement.node) elsewhere.push_back(absl::StrCat("runner.", runner->name, " is on node ", node));
  }
  if (elsewhere.empty()) return;
  warnings->push_back(absl::StrCat("the tables are on memory node ", placement.node, ", but ",
                                   absl::StrJoin(elsewhere, ", "),
                                   ": each access crosses to the other node; choose CPUs of one node"));
}

}  // namespace

Placement Place(const Config& config, const Cpus& cpus, const std::string& root) {
  Placement placement;
  placement.affinity = cpus.affinity;
  std::vector<const RunnerConfig*> pinned;
  for (const RunnerConfig& runner : config.runners) {
    if (runner.cpu >= 0) pinned.push_back(&runner);
    if (runner.priority > 0) WarnOfPriority(runner, root, &placement.warnings);
  }
  if (pinned.empty()) return placement;

  std::map<int, const RunnerConfig*> on;
  for (const RunnerConfig* runner : pinned) {
    const auto [at, first] = on.emplace(runner->cpu, runner);
    if (!first && (NeverSleeps(*runner) || NeverSleeps(*at->second))) {
      placement.warnings.push_back(
          absl::StrCat("runner.", at->second->name, " and runner.", runner->name, " share CPU ", runner->cpu,
                       ", and not both sleep when idle: each waits for the other's time slice"));
    }
  }
  for (const int cpu : cpus.affinity) {
    if (!on.contains(cpu)) placement.others.push_back(cpu);
  }
  if (placement.others.empty()) {
    for (const RunnerConfig* runner : pinned) {
      if (!NeverSleeps(*runner)) continue;
      placement.warnings.push_back(absl::StrCat(
          "no CPU is left for the log, connections and other threads (there are ", FormatCpuList(cpus.affinity),
          "), and runner.", runner->name,
          " never sleeps: ", runner->priority > 0 ? "they hardly ever run beside its priority" : "they share its CPU",
          "; set idle = \"backoff\", or leave a CPU free"));
    }
  } else if (placement.others.size() == cpus.affinity.size()) {
    placement.others.clear();  // all pinned CPUs are isolated ones: the others are not there anyway
  }

  if (NodeCount(root) < 2) return placement;
  const auto lane = std::find_if(pinned.begin(), pinned.end(), [](const RunnerConfig* r) { return HasLane(*r); });
  placement.node = NodeOf((lane != pinned.end() ? *lane : pinned.front())->cpu, root);
  WarnOfNodes(pinned, placement, root, &placement.warnings);
  return placement;
}

Placement TakePlaces(const Config& config) {
  Placement placement = Place(config, ReadCpus());
  if (placement.others.empty()) return placement;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : placement.others) CPU_SET(static_cast<size_t>(cpu), &set);
  if (::sched_setaffinity(0, sizeof(set), &set) != 0) {
    placement.warnings.push_back("the other threads cannot be kept off the CPUs of the runners");
  }
  return placement;
}

}  // namespace tickbridge
