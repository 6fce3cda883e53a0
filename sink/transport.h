// SPDX-License-Identifier: Apache-2.0
// What a lane needs of the outside: a connected byte stream, and somebody who makes one. Implemented over sockets
// (sink/dial.h, sink/redis_connector.h); a simulation implements them over nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "sink/server_clock.h"

namespace tickbridge {

// A connected, non-blocking byte stream. One thread at a time.
class Transport {
 public:
  enum class Result : uint8_t { kOk, kWouldBlock, kClosed };
  virtual ~Transport() = default;
  // Reads some bytes. kOk with `*bytes` > 0; kClosed when the peer is gone.
  virtual Result Read(std::span<char> into, size_t* bytes) noexcept = 0;
  // Writes some of the bytes. kOk with `*bytes` > 0. After kWouldBlock, a repeated call must offer the same bytes
  // first.
  virtual Result Write(std::span<const char> from, size_t* bytes) noexcept = 0;
  // Why it was closed, where more is known than that the peer is gone; OK otherwise. kFailedPrecondition: the server
  // refuses us, and would again.
  virtual absl::Status error() const { return absl::OkStatus(); }
};

// What the server said of itself and of us before the first write.
struct ServerInfo {
  std::string run_id;   // of the server process; another one means an empty or older data set; empty: not told
  std::string version;  // "redis 7.0.15", "valkey 9.1.0"; empty: not told
  int64_t client_id = 0;
  bool fenced = true;   // false: the server forbade ending predecessors
  bool pxat = false;    // it has SET … PXAT: Redis 6.2, every Valkey
  bool msetex = false;  // it has MSETEX: Redis 8.4, Valkey 9.1
  ServerClock clock;    // not known where TIME is forbidden
};

// A connection ready for writes: authenticated, named, its database selected, every predecessor of its name ended.
struct Session {
  std::unique_ptr<Transport> transport;
  ServerInfo server;
  int fd = -1;  // of the transport, to wait for; -1: there is nothing to wait for
};

// Makes sessions in two steps, off the lane's thread, so that a lane whose server does not answer can wait to see
// whether another connection does better before it gives up the one it has.
//
// Errors of both steps: kPermissionDenied, kFailedPrecondition: refused (credentials, certificate), and trying again
// soon is of no use; kAlreadyExists: another living bridge writes under this name; all else: try again later.
// Threading: by the lane's thread; no call blocks.
class Connector {
 public:
  virtual ~Connector() = default;
  // Starts an attempt, and forgets what an earlier one came to. Poll says when the server has answered on it.
  virtual void Connect() = 0;
  // After that: ends the predecessors of the name. Poll says when they are.
  virtual void Fence() = 0;
  // Gives the attempt up. Its connection is closed.
  virtual void Abandon() = 0;
  // The outcome of the last Connect or Fence, once.
  virtual std::optional<absl::Status> Poll() = 0;
  // The session, once, after Fence came to OK. Who writes nothing needs no fence, and takes it after Connect.
  virtual Session Take() = 0;
};

}  // namespace tickbridge
