// SPDX-License-Identifier: Apache-2.0
// What a lane needs of the outside: a connected byte stream, and somebody who makes one. Implemented over sockets
// (sink/redis_connector.h); a simulation implements them over nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace tickbridge {

// A connected, authenticated, non-blocking byte stream. One thread.
class Transport {
 public:
  enum class Result : uint8_t { kOk, kWouldBlock, kClosed };
  virtual ~Transport() = default;
  // Reads some bytes. kOk with `*bytes` > 0; kClosed when the peer is gone.
  virtual Result Read(std::span<char> into, size_t* bytes) noexcept = 0;
  // Writes some of the bytes. kOk with `*bytes` > 0.
  virtual Result Write(std::span<const char> from, size_t* bytes) noexcept = 0;
};

// A connection ready for writes: named, its database selected, and every predecessor of its name ended.
struct Session {
  std::unique_ptr<Transport> transport;
  std::string run_id;   // of the server process; another one means an empty or older data set; empty: not told
  std::string version;  // of the server, e.g. "7.0.15"
  int64_t client_id = 0;
  bool fenced = true;  // false: the server forbade ending predecessors
};

// Makes sessions, off the lane's thread. Begin starts one attempt; Poll gives its outcome once.
//
// Errors: kPermissionDenied: the server refused the credentials; kUnavailable and all else: try again later.
// Threading: Begin and Poll by the lane's thread; neither blocks.
class Connector {
 public:
  virtual ~Connector() = default;
  virtual void Begin() = 0;
  virtual std::optional<absl::StatusOr<Session>> Poll() = 0;
};

}  // namespace tickbridge
