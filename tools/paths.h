// SPDX-License-Identifier: Apache-2.0
// Where a running bridge leaves what others read.
#pragma once

#include <string>

namespace tickbridge {

// The counters file of an instance (core/counters.h).
inline std::string CountersPath(const std::string& instance) { return "/dev/shm/tickbridge-" + instance + ".counters"; }

// The shared table of that name (core/shared_table.h).
inline std::string TablePath(const std::string& name) { return "/dev/shm/" + name; }

}  // namespace tickbridge
