// SPDX-License-Identifier: Apache-2.0
// Connects to one Redis on a helper thread: resolves, connects, does TLS, and holds the handshake (sink/handshake.h).
// Only then does the lane get the connection.
//
// Threading: see Connector. The destructor interrupts a handshake under way and joins the helper; resolving and
//   connecting it can only wait for, `timeout_ns` at most for the latter.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sink/dial.h"
#include "sink/handshake.h"
#include "sink/redis_target.h"
#include "sink/tls.h"
#include "sink/transport.h"

namespace tickbridge {

class RedisConnector final : public Connector {
 public:
  struct Options {
    RedisTarget target;
    std::string client_name;  // `tickbridge:<instance>:<lane>`, without spaces
    int64_t timeout_ns = 5'000'000'000;
    int64_t fence_wait_ns = kNsPerSec;
    bool refuse_rival = false;  // where another living bridge has our name, see Handshake
    std::shared_ptr<OwnConnections> own = std::make_shared<OwnConnections>();  // shared by the lanes of a bridge
    const Clock* clock = nullptr;                                              // outlives it; null: the system's
  };

  // Errors: kInvalidArgument: the files of TLS.
  static absl::StatusOr<std::unique_ptr<RedisConnector>> Create(Options options);
  ~RedisConnector() override;

  void Connect() override;
  void Fence() override;
  void Abandon() override;
  std::optional<absl::Status> Poll() override;
  Session Take() override;

 private:
  enum class Wish : uint8_t { kNone, kConnect, kFence };
  // A connection under way.
  struct Attempt {
    Line line;
    std::unique_ptr<Handshake> handshake;
  };

  RedisConnector(Options options, std::shared_ptr<TlsContext> tls);
  void HelperLoop();
  absl::StatusOr<Attempt> Greet();
  // Steps the handshake until it has an outcome.
  absl::Status Turn(Attempt* attempt);

  const Options options_;
  const std::shared_ptr<TlsContext> tls_;
  const SystemClock system_clock_;
  const Clock* const clock_;
  int stop_fd_;  // an eventfd, readable when an attempt is to end

  std::mutex mutex_;
  std::condition_variable wake_;
  Wish wish_ = Wish::kNone;
  uint64_t generation_ = 0;  // of the attempt wished for: the outcome of an older one is dropped
  bool stopping_ = false;
  std::optional<absl::Status> outcome_;
  std::optional<Attempt> attempt_;  // between the steps; while one is under way, the helper holds it
  std::thread helper_;              // last: it uses all of the above
};

}  // namespace tickbridge
