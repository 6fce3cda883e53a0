// SPDX-License-Identifier: Apache-2.0
// What about a Redis server costs latency: asked of the server by CollectRedis, judged by CheckRedis, which is pure.
//
// Only settings by name are asked for, never all of them: requirepass and its like stay where they are. Of a slow
// command only the name is kept: its arguments may be a token.
// Source: redis.conf of 7.0, and the INFO, CONFIG, SLOWLOG, LATENCY and CLIENT pages of its documentation.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/machine.h"
#include "sink/redis_target.h"
#include "tools/config.h"
#include "tools/finding.h"
#include "tools/redis_client.h"

namespace tickbridge {

struct RedisFacts {
  std::map<std::string, std::string, std::less<>> info;      // of all sections
  std::map<std::string, std::string, std::less<>> config;    // of those that were asked for and told
  std::vector<std::pair<std::string, std::string>> refused;  // a command, and the first word of why
  struct Slow {
    std::string command;
    int64_t us = 0;
  };
  std::vector<Slow> slow;  // SLOWLOG GET
  struct Event {
    std::string name;
    int64_t max_ms = 0;
  };
  std::vector<Event> events;          // LATENCY LATEST
  std::vector<std::string> monitors;  // ids of clients that MONITOR
  bool has_msetex = false;
};

// Errors are those of the connection; a command that the server refuses is a fact.
absl::StatusOr<RedisFacts> CollectRedis(RedisClient* client);

struct RedisQuestion {
  const Config* config = nullptr;
  const RedisTarget* target = nullptr;
  Cpus cpus;
  std::string root;  // before /proc: where a server of this host may run
};
Findings CheckRedis(const RedisFacts& facts, const RedisQuestion& question);

// The text of INFO, "name:value" a line, as a map.
std::map<std::string, std::string, std::less<>> ParseInfo(std::string_view text);

}  // namespace tickbridge
