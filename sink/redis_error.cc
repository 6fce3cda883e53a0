// SPDX-License-Identifier: Apache-2.0
#include "sink/redis_error.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace tickbridge {

std::string_view RedisErrorCode(std::string_view error) { return error.substr(0, error.find(' ')); }

RedisErrorKind ClassifyRedisError(std::string_view error) {
  const std::string_view code = RedisErrorCode(error);
  if (code == "NOAUTH" || code == "WRONGPASS") return RedisErrorKind::kAuth;
  // The generic code: a command or an argument that this server will never take.
  if (code == "NOPERM" || code == "WRONGTYPE" || code == "ERR") return RedisErrorKind::kPermanent;
  // A node of a Redis Cluster, which a single lane does not follow: the other keys may well be this node's.
  if (code == "MOVED" || code == "ASK" || code == "CROSSSLOT") return RedisErrorKind::kPermanent;
  return RedisErrorKind::kTransient;
}

std::string_view ShownError(std::string_view error) {
  constexpr size_t kBytesMax = 160;
  const size_t arguments = error.find("with args");
  return error.substr(
      0, std::min({error.find_last_not_of(", ", arguments == error.npos ? arguments : arguments - 1) + 1, arguments,
                   kBytesMax}));
}

std::string CredentialsProblem(std::string_view error) {
  if (error.starts_with("ERR AUTH <password> called without any password configured") ||
      error.starts_with("ERR Client sent AUTH, but no password is set")) {
    return "a password was given, but the server has none set; take it out of redis.password_file or REDIS_PASSWORD";
  }
  return absl::StrCat("Redis refused the user or the password (", RedisErrorCode(error), ")");
}

}  // namespace tickbridge
