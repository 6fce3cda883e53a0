// SPDX-License-Identifier: Apache-2.0
// The commands of the program, one function each.
//
// Each returns the exit code: 0 ok, 1 failed at run time, 2 usage or configuration (tools/session.h). Results go to
// stdout, errors and logs to stderr. Called once, from the main thread, with SIGPIPE ignored.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/types.h"

namespace tickbridge {

// The options that every command takes.
struct GlobalOptions {
  std::string config;             // path; empty: defaults
  std::string redis;              // URL; empty: from the configuration or the environment
  std::vector<std::string> sets;  // "KEY=VALUE"
  bool json = false;
};

struct RunOptions {
  bool check_config = false;  // only say what is wrong with the configuration
  double for_seconds = 0;     // run so long, then drain; 0: until a signal
};

struct ReplayOptions {
  std::string path;  // "-": stdin
  std::string format = "auto";
  std::string speed = "max";            // ParseSpeed (tools/units.h) reads it; checked before
  int64_t timeout_ns = 30 * kNsPerSec;  // without progress
};

struct GetOptions {
  std::vector<std::string> symbols;
  bool shm = false;  // from the shared table, not from Redis
};

struct WatchOptions {
  std::vector<std::string> symbols;
  bool all = false;
  bool shm = false;  // from the shared table, not from Redis
  int64_t interval_ns = kNsPerSec;
  int64_t for_ns = 0;  // 0: until SIGINT
};

struct SynthOptions {
  uint32_t symbols = 1000;
  double rate = 10'000;  // ticks a second of market time
  double seconds = 0;    // of market time; 0: by count
  uint64_t count = 0;    // ticks; 0: by seconds
  uint64_t seed = 1;
  int64_t start_ms = 1'700'000'000'000;  // Unix time of the first tick: fixed, so that a seed gives the same bytes
  std::string out = "-";                 // "-": stdout
  std::string shm;                       // a ring to publish into instead, at the market's pace
};

struct BenchOptions {
  std::vector<double> rates = {10'000};  // ticks a second
  std::vector<uint32_t> symbols = {1'000};
  uint32_t burst = 1;  // ticks due at one time
  double skew = 0;     // SynthMarket's
  uint64_t seed = 1;
  std::string replay;               // a recording instead, at its own times
  std::string speed = "real";       // of it
  int64_t for_ns = 10 * kNsPerSec;  // measured
  int64_t warmup_ns = kNsPerSec;
  int64_t timeout_ns = 30 * kNsPerSec;  // for what was not delivered when the time was over
  int rounds = 0;                       // 0: 3 with a baseline, else 1
  std::string generator = "agent";      // on the bridge's runner, or a process that feeds a Unix socket
  bool ring = false;                    // through a ring in shared memory
  std::string idle = "spin";
  int cpu = -1;        // of the bridge; −1: not pinned
  int redis_cpu = -1;  // of an embedded Redis
  int watch_cpu = -1;
  int generator_cpu = -1;  // of a process
  bool visible_redis = false;
  bool visible_table = false;
  bool baseline = false;  // bare round trips in turn
  std::string out;        // folder for files; empty: none
  std::string version;    // of the program, and how it was called, for the report
  std::string command;
};

struct DoctorOptions {
  bool apply = false;
  bool yes = false;  // do not ask
};

int CommandRun(const GlobalOptions& global, const RunOptions& options);
int CommandReplay(const GlobalOptions& global, const ReplayOptions& options);
int CommandGet(const GlobalOptions& global, const GetOptions& options);
int CommandWatch(const GlobalOptions& global, const WatchOptions& options);
int CommandStats(const GlobalOptions& global);
int CommandBench(const GlobalOptions& global, const BenchOptions& options);
int CommandDoctor(const GlobalOptions& global, const DoctorOptions& options);
int CommandSynth(const GlobalOptions& global, const SynthOptions& options);
// CommandSynth with `shm`.
int SynthIntoRing(const GlobalOptions& global, const SynthOptions& options);

}  // namespace tickbridge
