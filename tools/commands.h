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

struct DoctorOptions {
  bool apply = false;
  bool yes = false;  // do not ask
};

int CommandRun(const GlobalOptions& global, const RunOptions& options);
int CommandReplay(const GlobalOptions& global, const ReplayOptions& options);
int CommandGet(const GlobalOptions& global, const GetOptions& options);
int CommandWatch(const GlobalOptions& global, const WatchOptions& options);
int CommandStats(const GlobalOptions& global);
int CommandDoctor(const GlobalOptions& global, const DoctorOptions& options);
int CommandSynth(const GlobalOptions& global, const SynthOptions& options);
// CommandSynth with `shm`.
int SynthIntoRing(const GlobalOptions& global, const SynthOptions& options);

}  // namespace tickbridge
