// SPDX-License-Identifier: Apache-2.0
// What about a machine costs latency: read from /proc and /sys below `root`, judged by what the configuration asks of
// the machine. Pure but for those reads: tests give it trees of files.
//
// Sources: Documentation/admin-guide of Linux (kernel-parameters, pm/cpufreq, pm/cpuidle, mm/transhuge,
// sysctl/kernel, sysctl/vm, sysctl/net), proc(5), ethtool's ioctl interface (linux/ethtool.h).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/machine.h"
#include "tools/config.h"
#include "tools/finding.h"

namespace tickbridge {

// Of a network interface, as its driver says. -1: it does not.
struct NicSettings {
  int rx_ring = -1;
  int rx_ring_max = -1;
  int rx_usecs = -1;  // how long an interrupt waits for more packets
  bool adaptive_rx = false;
};
// By ioctl, of the interfaces of this machine, but lo.
std::map<std::string, NicSettings> ReadNics();

// What the machine is looked at for.
struct MachineQuestion {
  const Config* config = nullptr;
  Cpus cpus;
  std::map<std::string, NicSettings> nics;
  std::string root;  // before /proc, /sys and /dev
};

Findings CheckMachine(const MachineQuestion& question);

}  // namespace tickbridge
