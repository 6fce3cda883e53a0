// SPDX-License-Identifier: Apache-2.0
// The connections that this process has made, so that none of its lanes takes another one's for a stranger's. Shared by
// the lanes of a bridge.
//
// Threading: any thread; a mutex, off the hot path.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>

namespace tickbridge {

class OwnConnections {
 public:
  // Of each name, which a lane has, the last few: of those at most one lives, and one is under way. Client ids are
  // counted by each server process anew.
  void Add(const std::string& name, const std::string& run_id, int64_t client_id) {
    const std::lock_guard lock(mutex_);
    if (run_id != run_id_) ids_.clear();
    run_id_ = run_id;
    std::deque<int64_t>& ids = ids_[name];
    ids.push_back(client_id);
    if (ids.size() > kIdsMax) ids.pop_front();
  }
  bool Has(int64_t client_id) const {
    const std::lock_guard lock(mutex_);
    return std::any_of(ids_.begin(), ids_.end(), [&](const auto& name) {
      return std::find(name.second.begin(), name.second.end(), client_id) != name.second.end();
    });
  }

 private:
  static constexpr size_t kIdsMax = 64;

  mutable std::mutex mutex_;
  std::string run_id_;
  std::map<std::string, std::deque<int64_t>> ids_;  // by name
};

}  // namespace tickbridge
