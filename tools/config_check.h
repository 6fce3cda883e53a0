// SPDX-License-Identifier: Apache-2.0
// What a configuration must hold as a whole: relations between keys, and between them and this machine.
//
// Single values were checked when they were read (tools/config.cc).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "tools/config.h"

namespace tickbridge {

// `key` is the nearest key or section to blame, such as "feed.iex.a", "runner.main.agents[2]" or "feed.iex".
using ConfigReporter = std::function<void(const std::string& key, const std::string& message)>;

void CheckConfig(const Config& config, const ConfigReporter& report);

// What is wrong with the name of an instance, feed, class or runner; "" if nothing. Names become parts of file names,
// counters and keys of Redis.
std::string NameProblem(std::string_view name);

}  // namespace tickbridge
