// SPDX-License-Identifier: Apache-2.0
// Where Redis is, and who we are there: read from a URL, the environment and a password file.
//
// Secrets: a password comes from a file or from REDIS_PASSWORD, never from a URL, since URLs end up in argv, logs and
// unit files. A URL that holds one is refused, and no error here repeats any part of it that could be one.
// Threading: plain values and functions; ResolveRedisTarget reads the environment through `env` only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "sink/tls.h"

namespace tickbridge {

struct RedisTarget {
  enum class Kind : uint8_t {
    kTcp,       // host and port, in the clear or by TLS
    kUnix,      // unix_path
    kEmbedded,  // a private redis-server that the program starts; it then fills in unix_path
  };

  Kind kind = Kind::kTcp;
  std::string host = "127.0.0.1";  // a name or an address; an IPv6 address stands here without its brackets
  uint16_t port = 6379;
  std::string unix_path;
  int db = 0;
  std::string user;           // empty: Redis' default user
  std::string password;       // empty: no AUTH
  std::string password_file;  // where it came from, to be read again before each connection; empty: from nowhere
  bool tls = false;
  TlsOptions tls_options;

  // The URL of this target, for people. Never with the password.
  std::string Display() const;
};

// redis://[user@]host[:port][/db], rediss:// (the same by TLS), unix://[user@]/path[?db=N], or `embedded`.
// Errors: kInvalidArgument, with what is wrong; kUnimplemented for redis+cluster:// and redis+sentinel://.
absl::StatusOr<RedisTarget> ParseRedisUrl(std::string_view url);

// The content of a password file, without the newline at its end.
// Errors: kFailedPrecondition: it cannot be read, is empty, or is longer than 64 KiB.
absl::StatusOr<std::string> ReadPasswordFile(const std::string& file);

// Like getenv: null where the variable is not set. A variable that is set to nothing counts as not set.
using EnvGetter = std::function<const char*(const char* name)>;

// The variables of this process.
const char* ProcessEnv(const char* name);

// The target of `url`; where that is empty, of REDIS_URL, else of REDIS_HOST, REDIS_PORT and REDIS_DB, else
// redis://127.0.0.1:6379/0. The password is the content of `password_file` (without the newline at its end), or
// REDIS_PASSWORD where no file is named. An embedded server has none.
// Errors: those of ParseRedisUrl, with the variable's name in front; a password file that cannot be read or is empty.
absl::StatusOr<RedisTarget> ResolveRedisTarget(std::string_view url, const std::string& password_file,
                                               const EnvGetter& env = ProcessEnv);

}  // namespace tickbridge
