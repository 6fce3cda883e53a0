// SPDX-License-Identifier: Apache-2.0
#include "sink/redis_error.h"

namespace tickbridge {

std::string_view RedisErrorCode(std::string_view error) { return error.substr(0, error.find(' ')); }

RedisErrorKind ClassifyRedisError(std::string_view error) {
  const std::string_view code = RedisErrorCode(error);
  if (code == "NOAUTH" || code == "WRONGPASS") return RedisErrorKind::kAuth;
  // The generic code: a command or an argument that this server will never take.
  if (code == "NOPERM" || code == "WRONGTYPE" || code == "ERR") return RedisErrorKind::kPermanent;
  return RedisErrorKind::kTransient;
}

}  // namespace tickbridge
