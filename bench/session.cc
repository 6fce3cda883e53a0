// SPDX-License-Identifier: Apache-2.0
#include "bench/session.h"

#include <unistd.h>

#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sink/redis_connector.h"

namespace tickbridge {
namespace {

absl::Status Await(RedisConnector* connector) {
  while (true) {
    if (const std::optional<absl::Status> outcome = connector->Poll()) return *outcome;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Transport>> OpenTransport(const RedisTarget& target, std::string_view role) {
  RedisConnector::Options options;
  options.target = target;
  options.client_name = absl::StrCat("tickbridge:bench-", ::getpid(), "-", role, ":0");
  auto connector = RedisConnector::Create(std::move(options));
  if (!connector.ok()) return connector.status();
  (*connector)->Connect();
  if (absl::Status status = Await(connector->get()); !status.ok()) return status;
  (*connector)->Fence();
  if (absl::Status status = Await(connector->get()); !status.ok()) return status;
  return (*connector)->Take().transport;
}

}  // namespace tickbridge
