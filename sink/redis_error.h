// SPDX-License-Identifier: Apache-2.0
// What an error reply means for the write that it answers. Source of the codes: the Redis source (src/server.c, shared
// objects) and its documentation; an error begins with its code in upper case.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tickbridge {

enum class RedisErrorKind : uint8_t {
  kTransient,  // OOM, LOADING, BUSY, MISCONF, READONLY … and unknown codes: keep the value dirty, back off, try again
  kAuth,       // NOAUTH, WRONGPASS: the connection is of no use until somebody mends the password
  kPermanent,  // NOPERM, WRONGTYPE, ERR syntax, MOVED (a cluster's node): this write has failed, the lane goes on
};

// The first word of an error reply, e.g. "OOM".
std::string_view RedisErrorCode(std::string_view error);
RedisErrorKind ClassifyRedisError(std::string_view error);

// The part of an error reply that may be shown: a server that does not know a command repeats its arguments.
std::string_view ShownError(std::string_view error);

// What an error reply to AUTH means, in words. Nothing of the reply but its code is passed on: a server that does not
// know AUTH repeats its arguments.
std::string CredentialsProblem(std::string_view error);

}  // namespace tickbridge
