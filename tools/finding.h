// SPDX-License-Identifier: Apache-2.0
// What `tickbridge doctor` found: one thing about the machine or about Redis that bears on latency.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tickbridge {

enum class Severity : uint8_t {
  kOk,    // as it should be
  kInfo,  // worth knowing
  kWarn,  // costs latency now and then, or under load
  kBad,   // costs latency all the time, loses values, or keeps the configuration from working
};

struct Finding {
  std::string check;  // a stable name, such as "cpu.governor" or "redis.save"
  Severity severity = Severity::kOk;
  std::string seen;
  std::string cost;  // what it costs, in words; empty: nothing
  std::string fix;   // the command, or the line of a file, that changes it; empty: there is nothing to do
  // Of Redis: the parameters that `--apply` sets, and what is lost by it. Empty: it does not.
  std::vector<std::pair<std::string, std::string>> apply = {};
  std::string loses = {};
};

using Findings = std::vector<Finding>;

}  // namespace tickbridge
