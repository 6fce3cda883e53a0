// SPDX-License-Identifier: Apache-2.0
// The generator as a process of its own: sends the ticks of a schedule when they are due, as lines to a feed's Unix
// socket, or into a ring in shared memory. When it is late, or the socket was full, it sends at once; nothing slows the
// schedule down. A ring that was full is an error: what was conflated in it is not what was to be measured.
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
#include "feed/publisher.h"

namespace tickbridge {

// A ring in which the schedule's symbols have their own numbers. Null: there is no such place.
std::unique_ptr<Publisher> OpenBenchRing(const std::string& path, uint32_t symbols);

class Sender {
 public:
  struct Options {
    Schedule::Options schedule;
    std::string path;  // of a stream socket, there when Begin is called; or
    std::string ring;  // of a ring, which it makes when Begin is called
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
