// SPDX-License-Identifier: Apache-2.0
// What a run of the latency harness came to, and its JSON.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/histogram.h"

namespace tickbridge {

using HistogramPtr = std::unique_ptr<Histogram>;

// One run, at one rate and number of symbols. Times in ns; counts of the measured time but where it says otherwise.
struct BenchRun {
  std::string label;         // "10k ticks/s, 1000 symbols"
  double offered_rate = 0;   // ticks a second
  double achieved_rate = 0;  // of the whole run: as many as were sent, by the time that took
  uint32_t symbols = 0;
  double measured_s = 0;
  // Each tick of the run is in exactly one of these three.
  uint64_t ticks = 0;       // measured and acknowledged
  uint64_t unmeasured = 0;  // of the warm-up and after the measured time, acknowledged
  uint64_t unacknowledged = 0;
  uint64_t sent = 0;
  uint64_t coarse = 0;    // told too long, see bench/coverage.h
  uint64_t rejected = 0;  // by the bridge
  // Of the whole run.
  uint64_t writes = 0;  // as the bridge counted them
  uint64_t conflated = 0;
  uint64_t expired = 0;
  uint64_t failed = 0;
  uint64_t resent = 0;
  double in_flight_mean = 0;
  int64_t in_flight_max = 0;
  double cpu_s = 0;  // of the bridge's process, with the generator in it
  // As the server counted.
  double server_s = 0;  // between the two looks
  uint64_t server_writes = 0;
  double server_cpu_s = 0;
  // All from when a tick was due.
  HistogramPtr ack = std::make_unique<Histogram>();
  HistogramPtr staleness = std::make_unique<Histogram>();  // of a write: its oldest tick
  HistogramPtr visible_redis;                              // null: not watched
  HistogramPtr visible_table;
  HistogramPtr lag = std::make_unique<Histogram>();  // of the generator; none where another process sends
  bool watcher_overrun = false;
  uint64_t unseen = 0;  // watched, and not seen in the end

  // Takes another round of the same in.
  void Add(const BenchRun& other);
  int rounds_added = 0;

  double conflation() const {
    const uint64_t ended = writes + conflated;
    return ended == 0 ? 0 : static_cast<double>(conflated) / static_cast<double>(ended);
  }
  double writes_per_s() const { return server_s > 0 ? static_cast<double>(server_writes) / server_s : 0; }
};

struct BenchReport {
  std::string version;  // of the program
  std::string command;  // as it was called, without what may be secret
  std::string machine;
  std::string redis;  // its version
  std::string feed;   // how the ticks came: "in process", "unix_stream"
  std::vector<BenchRun> runs;
  // Bare round trips beside the first run, in turn with it; null: not asked for.
  HistogramPtr baseline;
};

// One object on one line.
std::string BenchJson(const BenchReport& report);
// For people.
std::string BenchText(const BenchReport& report);

}  // namespace tickbridge
