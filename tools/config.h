// SPDX-License-Identifier: Apache-2.0
// The configuration: a TOML file and `--set` on top of it, read into plain structs and checked as a whole.
//
// Each default stands here once; config/tickbridge.toml shows and explains them, and a test compares the two.
// Errors: all of them at once, each with its place. Unknown keys are errors. No message repeats a value that could hold
// a secret (a URL, a key unknown here).
// Threading: plain values; a Config does not change after LoadConfig.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/key_class.h"
#include "core/limits.h"
#include "core/types.h"

namespace tickbridge {

// [redis]
struct RedisConfig {
  std::string url;                                    // empty: from the environment, see sink/redis_target.h
  std::string password_file;                          // empty: REDIS_PASSWORD
  double share = 0.5;                                 // of the server's time that the bridge takes at most, over 0 to 1
  uint32_t max_in_flight = limits::kInFlightDefault;  // commands a lane
  size_t max_in_flight_bytes = limits::kInFlightBytesDefault;
  int64_t connect_timeout_ns = 5 * kNsPerSec;
  int64_t ack_timeout_ns = kNsPerSec;
  int64_t fence_wait_ns = kNsPerSec;
  std::string expiry = "relative";  // or absolute, see sink/ttl.h
  uint32_t lanes = 1;
  std::string tls_ca;  // files, see sink/tls.h
  std::string tls_cert;
  std::string tls_key;
  std::string tls_verify = "full";  // or none
};

// [table]
struct TableConfig {
  uint32_t max_symbols = limits::kSymbolsDefault;
  uint32_t max_documents = limits::kDocumentsDefault;
  // The shared table's name below /dev/shm; empty: private memory. Not set: none before an embedded Redis, else
  // "tickbridge", with "-INSTANCE" behind it
  // for every instance but "main".
  std::optional<std::string> shm;
  std::string owner;  // of the table's file, user and group, by name or number; empty: the bridge's own
  std::string group;
};

// [feed.NAME]. A key that the type does not use is an error in the file, and has its default here.
struct FeedConfig {
  std::string name;
  std::string type;       // file, unix_stream, unix_datagram, tcp, udp, shm, synth
  std::string path;       // file, unix_*, shm: name or path of one ring
  std::string folder;     // shm: every *.ring in it
  std::string address;    // tcp: host:port to listen at
  std::string a;          // udp: host:port; a multicast group is joined
  std::string interface;  // udp: to join the group through; empty: the system's choice
  std::string format = "ndjson";
  std::string symbol = "{symbol}";  // how the venue's name becomes ours; SymbolAffixes takes it apart
  int64_t liveness_timeout_ns = 2 * kNsPerSec;
  int64_t max_ahead_ns = 60 * kNsPerSec;
  uint32_t socket_mode = 0660;  // unix_*: permissions of the socket
  std::string speed = "max";    // file: max, real, 10x; ParseSpeed (tools/units.h) reads it
  uint32_t symbols = 1000;      // synth
  double rate = 10'000;         // synth: ticks a second
  uint64_t seed = 1;            // synth
  size_t receive_buffer = 0;    // sockets: bytes asked of the system; 0: its own default
};

// [memory]
struct MemoryConfig {
  bool lock = false;
  std::string huge_pages = "off";  // or try, see core/memory.h
};

// [[runner]]
struct RunnerConfig {
  std::string name;
  int cpu = -1;                  // -1: not pinned
  int priority = 0;              // 1 to 99: SCHED_FIFO
  std::string idle = "backoff";  // spin, yield, backoff
  int64_t max_park_ns = 50 * kNsPerUs;
  std::vector<std::string> agents;  // "feed.NAME", "sink" (all lanes) or "sink.N"
};

struct Config {
  std::string instance = "main";
  int64_t drain_timeout_ns = 5 * kNsPerSec;
  RedisConfig redis;
  std::vector<KeyClass> classes = DefaultKeyClasses();  // index 0: price; those of [class.NAME] added behind
  TableConfig table;
  MemoryConfig memory;
  std::vector<FeedConfig> feeds;      // in the order of the file
  std::vector<RunnerConfig> runners;  // never empty after LoadConfig: without [[runner]], "main" has all agents
  std::string log_level = "info";     // debug, info, warn, error
};

struct ConfigError {
  std::string file;  // or the option: "--set"
  int line = 0;      // 0: none
  std::string message;

  std::string ToString() const;  // "file:line: message"
};

struct LoadResult {
  Config config;                    // usable only without errors
  std::vector<ConfigError> errors;  // in the order of the file; options last

  bool ok() const { return errors.empty(); }
};

// A value that an option of its own sets, such as `--redis` redis.url. Wins over --set.
struct ConfigOverride {
  std::string option;  // for messages
  std::string key;
  std::string value;
};

// Reads `path` (empty: the defaults), then each "KEY=VALUE" of `sets`, then `overrides`, and checks the result.
LoadResult LoadConfig(const std::string& path, std::span<const std::string> sets = {},
                      std::span<const ConfigOverride> overrides = {});

// Every key there is, as in "redis.url", "class.*.ttl", "runner.*.cpu".
std::vector<std::string> ConfigKeys();

// The name of the shared table that a configuration comes to.
std::string SharedTableName(const Config& config);

// What stands before and after {symbol} in `feed.symbol`.
std::pair<std::string, std::string> SymbolAffixes(const FeedConfig& feed);

// "feed.NAME" of each feed, then "sink".
std::vector<std::string> AllAgents(const Config& config);

}  // namespace tickbridge
