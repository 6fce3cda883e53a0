// SPDX-License-Identifier: Apache-2.0
// Where the threads and the memory of a bridge go: decided from its configuration and the machine before the first
// thread is started, so that whatever else runs keeps off the CPUs of pinned runners.
#pragma once

#include <string>
#include <vector>

#include "core/machine.h"
#include "tools/config.h"

namespace tickbridge {

struct Placement {
  std::vector<int> affinity;  // the CPUs that the process was given at its start
  std::vector<int> others;    // of them, those without a pinned runner; empty: nothing is to change
  // Of the tables: that of the first pinned runner with a lane, else of the first pinned runner. Feed and lane both
  // touch each slot; the lane also reads them all for a refresh and a new connection. -1: wherever the kernel puts it,
  // also where there is only one node.
  int node = -1;
  std::vector<std::string> warnings;  // what an operator would not want, in sentences
};

// `root`: see core/machine.h.
Placement Place(const Config& config, const Cpus& cpus, const std::string& root = "");

// Place, and keeps the calling thread and all that it starts from here on (helper threads, runners without a CPU of
// their own, an embedded Redis) off the CPUs of pinned runners, where another is left.
Placement TakePlaces(const Config& config);

}  // namespace tickbridge
