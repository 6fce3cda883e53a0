// SPDX-License-Identifier: Apache-2.0
// A connected socket to Redis, in the clear or by TLS. Blocks: for helper threads and cold commands.
//
// Threading: any thread; a Line is used by one at a time.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "sink/redis_target.h"
#include "sink/tls.h"
#include "sink/transport.h"

namespace tickbridge {

struct Line {
  std::unique_ptr<Transport> transport;
  int fd = -1;  // of the transport, to wait for
};

// Resolves, connects and, with `tls`, shakes hands. `stop_fd` (-1: none) interrupts the handshake, but neither
// resolving nor connecting, of which the latter ends with the time-out. Errors: kUnavailable; those of
// TlsContext::Connect.
absl::StatusOr<Line> Dial(const RedisTarget& target, const TlsContext* tls, int64_t timeout_ns, int stop_fd);

}  // namespace tickbridge
