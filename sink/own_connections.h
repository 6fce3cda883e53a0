// SPDX-License-Identifier: Apache-2.0
// The connections that this process has made, so that none of its lanes takes another one's for a stranger's. Shared by
// the lanes of a bridge.
//
// Threading: any thread; a mutex, off the hot path.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace tickbridge {

class OwnConnections {
 public:
  // Client ids are counted by each server process anew.
  void Add(const std::string& run_id, int64_t client_id) {
    const std::lock_guard lock(mutex_);
    if (run_id != run_id_) ids_.clear();
    run_id_ = run_id;
    if (ids_.size() == kIdsMax) ids_.erase(ids_.begin());
    ids_.push_back(client_id);
  }
  bool Has(int64_t client_id) const {
    const std::lock_guard lock(mutex_);
    return std::find(ids_.begin(), ids_.end(), client_id) != ids_.end();
  }

 private:
  static constexpr size_t kIdsMax = 1024;

  mutable std::mutex mutex_;
  std::string run_id_;
  std::vector<int64_t> ids_;
};

}  // namespace tickbridge
