// SPDX-License-Identifier: Apache-2.0
// A private redis-server: a child process on a Unix socket in a fresh temporary folder, without persistence and without
// a port. It ends with this object, and is killed when the thread that started it ends in any other way.
//
// Threading: start it from the main thread, since the kernel's death signal follows the thread that forked, not the
// process. A process that is killed leaves the folder behind; the next Start of the same user removes it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "sink/redis_target.h"

namespace tickbridge {

class EmbeddedRedis {
 public:
  // Returns once the server answers PING, within 10 s. The folder is made in TMPDIR, else in /tmp.
  // Errors: kNotFound: no redis-server in PATH; others with the last line that the server said.
  static absl::StatusOr<std::unique_ptr<EmbeddedRedis>> Start();
  ~EmbeddedRedis();
  EmbeddedRedis(const EmbeddedRedis&) = delete;
  EmbeddedRedis& operator=(const EmbeddedRedis&) = delete;

  const std::string& unix_path() const { return unix_path_; }
  pid_t pid() const { return pid_; }
  // As a target of kind kUnix.
  RedisTarget target() const;

 private:
  EmbeddedRedis() = default;
  absl::Status Launch(const std::string& program);
  absl::Status AwaitReady();
  // True once the child has ended and was reaped.
  bool Reap();

  std::string folder_;
  std::string unix_path_;
  std::string log_path_;
  int owner_fd_ = -1;  // holds the lock that says that the folder is in use
  pid_t pid_ = -1;     // -1: none, or reaped
};

}  // namespace tickbridge
