// SPDX-License-Identifier: Apache-2.0
// A runner: a thread, pinned or not, that turns a list of agents, with an idle strategy between.
//
// The whole of the loop is idle.Idle(sum of DoWork). The thread takes none of the signals meant for the process
// (SIGINT, SIGTERM, …), is named, pinned and given its priority before the first OnStart, and sleeps to the
// microsecond. A thread that an agent starts has the runner's CPU, but not its priority.
// Threading: Start and Join by the thread that made it, Stop also by others and by signal handlers. The figures may be
//   read by anyone. Agents run on the runner's thread only, from OnStart to OnClose.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "core/agent.h"
#include "core/clock.h"
#include "core/idle_strategy.h"

namespace tickbridge {

class Runner {
 public:
  struct Options {
    std::string name;  // the thread has its first 15 bytes
    int cpu = -1;      // -1: not pinned
    // The CPUs that the process was given at its start. Empty: those of the thread that calls Start.
    std::vector<int> affinity = {};
    int priority = 0;  // 0: shares its CPU with others; 1 to 99: SCHED_FIFO, before all with less
    IdleMode idle = IdleMode::kBackoff;
    int64_t max_park_ns = 50'000;  // of kBackoff
  };

  // Agents and clock outlive the runner.
  Runner(Options options, std::vector<Agent*> agents, const Clock* clock);
  ~Runner();

  // Starts the thread, and returns when it is pinned and has its priority. An error names the runner, the key, its
  // value, and what there is instead. Once.
  absl::Status Start();
  // Asks the thread to end after its duty cycle (and a sleep of max_park_ns at most).
  void Stop() noexcept { stopping_.store(true, std::memory_order_release); }  // (1)
  void Join();

  const std::string& name() const { return options_.name; }
  // The longest duty cycle so far, without the idling behind it, and how many there were.
  int64_t cycle_ns_max() const noexcept { return cycle_ns_max_.load(std::memory_order_relaxed); }
  uint64_t cycles() const noexcept { return cycles_.load(std::memory_order_relaxed); }

 private:
  absl::Status Prepare() const;
  int64_t RestNs() const noexcept;
  void Loop() noexcept;

  const Options options_;
  const std::vector<Agent*> agents_;
  const Clock* const clock_;
  std::atomic<bool> stopping_{false};
  // Figures only: relaxed, one writer.
  alignas(64) std::atomic<int64_t> cycle_ns_max_{0};
  std::atomic<uint64_t> cycles_{0};
  std::thread thread_;
};

}  // namespace tickbridge
