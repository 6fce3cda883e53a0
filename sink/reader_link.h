// SPDX-License-Identifier: Apache-2.0
// Where a RedisReader reads: makes its connection to one of several servers, and makes the next when that one is lost.
//
// The order is that of the list: the replicas, then the primary; after a loss the next in turn. With
// `discover_replicas` the primary is asked first, and is what is read where it has none.
// Back-off: 20 ms, doubled by each failure up to a second; a second at once where we were refused.
//
// Threading: one thread; no call blocks but Create and the destructor: helper threads resolve, connect and shake hands
// (sink/redis_connector.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/types.h"
#include "sink/redis_connector.h"
#include "sink/redis_target.h"
#include "sink/transport.h"

namespace tickbridge {

class ReaderLink {
 public:
  struct Options {
    RedisTarget primary;
    std::vector<RedisTarget> replicas;
    bool discover_replicas = false;
    int64_t connect_timeout_ns = kNsPerSec;
  };
  static constexpr int64_t kBackOffNsMin = 20 * kNsPerMs;
  static constexpr int64_t kBackOffNsMax = kNsPerSec;
  // A primary is asked for its replicas at most this often.
  static constexpr int64_t kDiscoverNs = 10 * kNsPerSec;
  // More than that many replicas that a primary tells of are not looked at.
  static constexpr size_t kReplicasMax = 16;

  // Errors: those of RedisConnector::Create.
  static absl::StatusOr<std::unique_ptr<ReaderLink>> Create(Options options);

  // What has become of the attempt to connect, once: a connection, or why there is none. Begins it where it is time to.
  std::optional<absl::StatusOr<Session>> Poll(MonoNs now);
  // The connection is of no use any more; `why` is kPermissionDenied or kFailedPrecondition where it would not be soon.
  void OnLost(const absl::Status& why, MonoNs now);
  // The server answered: the next loss is a first one again.
  void OnAnswer() noexcept { back_off_ns_ = kBackOffNsMin; }

  // Whether the server at hand is to be asked for its replicas.
  bool discovers(MonoNs now) const noexcept;
  // Host and port of each. True: the connection is to be given up for one of them.
  bool OnReplicas(const std::vector<std::pair<std::string, uint16_t>>& found, MonoNs now);

  bool at_replica() const noexcept { return at_ + 1 < places_.size(); }
  const RedisTarget& target() const noexcept { return places_[at_].target; }

 private:
  struct Place {
    RedisTarget target;
    std::unique_ptr<RedisConnector> connector;
  };
  enum class State : uint8_t { kWaiting, kConnecting, kConnected };

  ReaderLink() = default;
  absl::StatusOr<Place> MakePlace(RedisTarget target) const;

  Options options_;
  std::vector<Place> places_;  // replicas, then the primary
  size_t at_ = 0;
  State state_ = State::kWaiting;
  MonoNs retry_at_;  // when kWaiting
  int64_t back_off_ns_ = kBackOffNsMin;
  MonoNs discover_at_;
};

}  // namespace tickbridge
