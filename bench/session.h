// SPDX-License-Identifier: Apache-2.0
// A connection for a measurement beside the bridge's own: authenticated, its database selected, not blocking.
#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "sink/redis_target.h"
#include "sink/transport.h"

namespace tickbridge {

// `role` tells it from others in CLIENT LIST. Waits until it is there.
absl::StatusOr<std::unique_ptr<Transport>> OpenTransport(const RedisTarget& target, std::string_view role);

}  // namespace tickbridge
