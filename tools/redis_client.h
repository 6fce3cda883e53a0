// SPDX-License-Identifier: Apache-2.0
// A small blocking client for the cold commands (get, watch, stats). Not for the bridge's own writes: see sink/lane.h.
//
// Errors never contain the password. After an error of the connection every further call fails: connect anew.
// Threading: one thread at a time. The process must ignore SIGPIPE (tools/main.cc does).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "sink/redis_target.h"

namespace tickbridge {

struct Reply {
  enum class Type : uint8_t { kNil, kString, kInteger, kArray };
  Type type = Type::kNil;
  std::string str;              // kString; also of a status such as OK
  int64_t integer = 0;          // kInteger
  std::vector<Reply> elements;  // kArray
};

class RedisClient {
 public:
  // Connects, authenticates and selects the database. `timeout_ns` bounds connecting and every reply.
  // Errors: kUnavailable: not reachable; kPermissionDenied: the credentials; those of TLS
  // (sink/tls.h); kInvalidArgument: an embedded target that was not started.
  static absl::StatusOr<RedisClient> Connect(const RedisTarget& target, int64_t timeout_ns);

  RedisClient(RedisClient&&) noexcept;
  RedisClient& operator=(RedisClient&&) noexcept;
  ~RedisClient();

  // Errors: kUnavailable: no answer, connection gone; kFailedPrecondition: the server's error reply.
  absl::StatusOr<Reply> Command(std::span<const std::string_view> words);
  absl::StatusOr<Reply> Command(std::initializer_list<std::string_view> words) {
    return Command(std::span(words.begin(), words.size()));
  }
  // Sends all commands before it reads the first reply. For a handful of short ones.
  absl::StatusOr<std::vector<Reply>> Pipeline(std::span<const std::vector<std::string>> commands);

 private:
  struct Impl;
  explicit RedisClient(std::unique_ptr<Impl> impl);
  absl::Status Authenticate(const RedisTarget& target);

  std::unique_ptr<Impl> impl_;
};

}  // namespace tickbridge
