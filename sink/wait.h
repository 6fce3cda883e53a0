// SPDX-License-Identifier: Apache-2.0
// Waiting for a socket, for those who may wait: helper threads and cold commands.
#pragma once

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "absl/status/status.h"
#include "core/clock.h"
#include "core/types.h"

namespace tickbridge {

// Until the socket can be read (or, with `write`, written as well), `wake` has come, or `stop_fd` (-1: none) is
// readable. Errors: kCancelled: it was. OK says only that it is worth another try.
inline absl::Status WaitForSocketOrTime(int fd, bool write, MonoNs wake, int stop_fd) {
  pollfd fds[2] = {{fd, static_cast<short>(POLLIN | (write ? POLLOUT : 0)), 0}, {stop_fd, POLLIN, 0}};
  const int64_t left_ms = (wake - SystemClock::ReadMonotonic() + kNsPerMs - 1) / kNsPerMs;
  const auto timeout = static_cast<int>(std::clamp<int64_t>(left_ms, 0, std::numeric_limits<int>::max()));
  ::poll(fds, stop_fd >= 0 ? 2 : 1, timeout);
  return stop_fd >= 0 && fds[1].revents != 0 ? absl::CancelledError("stopping") : absl::OkStatus();
}

// The same with a deadline: kUnavailable when it has passed.
inline absl::Status WaitForSocket(int fd, bool write, MonoNs deadline, int stop_fd) {
  if (SystemClock::ReadMonotonic() >= deadline) return absl::UnavailableError("timed out");
  return WaitForSocketOrTime(fd, write, deadline, stop_fd);
}

}  // namespace tickbridge
