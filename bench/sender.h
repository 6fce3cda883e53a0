// SPDX-License-Identifier: Apache-2.0
// The generator as a process of its own: sends the lines of a schedule to a feed's Unix socket when they are due. When
// it is late, or the socket was full, it sends at once; nothing slows the schedule down.
//
// Threading: Start while the process has no other thread, since it forks without exec. The child ends with its work, or
// when the thread that started it does.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "bench/schedule.h"
#include "core/types.h"

namespace tickbridge {

class Sender {
 public:
  struct Options {
    Schedule::Options schedule;
    std::string path;  // of a stream socket, there when Begin is called
    int cpu = -1;      // −1: not pinned
  };

  static absl::StatusOr<std::unique_ptr<Sender>> Start(const Options& options);
  ~Sender();
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  // Connects, and sends the first tick at `start`.
  void Begin(MonoNs start);
  // True once the child has sent everything; an error if it ended before.
  absl::StatusOr<bool> Done();

 private:
  Sender(pid_t pid, int fd) : pid_(pid), fd_(fd) {}

  pid_t pid_;  // −1: reaped
  int fd_;     // to say when it begins
  int status_ = 0;
};

}  // namespace tickbridge
