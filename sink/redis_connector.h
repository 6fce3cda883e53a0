// SPDX-License-Identifier: Apache-2.0
// Connects to one Redis on a helper thread: resolves, connects, authenticates, names the connection, learns the
// server's run_id and ends the predecessors of the same name. Only then does the lane get the socket.
//
// Fencing: a connection that died may have bytes on their way to the server. Before the first write of a new one, every
// other connection of its name is ended, by id and address, so that a late write never lands after a newer one.
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

#include "absl/status/statusor.h"
#include "sink/redis_target.h"
#include "sink/transport.h"

namespace tickbridge {

class RedisConnector final : public Connector {
 public:
  struct Options {
    RedisTarget target;
    std::string client_name;  // `tickbridge:<instance>:<lane>`, without spaces
    int64_t timeout_ns = 5'000'000'000;
  };

  explicit RedisConnector(Options options);
  ~RedisConnector() override;

  void Begin() override;
  std::optional<absl::StatusOr<Session>> Poll() override;

 private:
  struct HandshakeGuard;

  void HelperLoop();
  absl::StatusOr<Session> Connect();

  const Options options_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool requested_ = false;
  bool stopping_ = false;
  int handshake_fd_ = -1;  // of the attempt under way, for the destructor to shut down
  std::optional<absl::StatusOr<Session>> outcome_;
  std::thread helper_;  // last: it uses all of the above
};

}  // namespace tickbridge
