// SPDX-License-Identifier: Apache-2.0
#include "sink/redis_target.h"

#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tickbridge {
namespace {

constexpr size_t kUnixPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;
constexpr size_t kPasswordBytesMax = 64 << 10;

// No message below quotes the URL: what looks like a port or a path may be a part of a password.
absl::Status Bad(std::string_view what) { return absl::InvalidArgumentError(absl::StrCat("Redis URL: ", what)); }

absl::Status PasswordInUrl() {
  return Bad(
      "a password in the URL is refused, since URLs are seen by other processes and in logs; take it out and set "
      "REDIS_PASSWORD, or name a file with redis.password_file");
}

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

std::optional<std::string> PercentDecoded(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result.push_back(text[i]);
      continue;
    }
    int value = 0;
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 1])) ||
        !absl::SimpleHexAtoi(text.substr(i + 1, 2), &value)) {
      return std::nullopt;
    }
    result.push_back(static_cast<char>(value));
    i += 2;
  }
  if (HasControl(result)) return std::nullopt;
  return result;
}

std::string PercentEncoded(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || absl::StrContains("-._~/", c)) {
      result.push_back(c);
    } else {
      absl::StrAppend(&result, "%", absl::Hex(byte, absl::kZeroPad2));
    }
  }
  return result;
}

// Whole and in decimal; no sign, no spaces.
std::optional<int> Number(std::string_view text, int max) {
  int value = 0;
  if (text.empty() || !std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) return {};
  if (!absl::SimpleAtoi(text, &value) || value > max) return {};
  return value;
}

absl::Status SetPort(std::string_view text, RedisTarget* target) {
  const std::optional<int> port = Number(text, 65'535);
  if (!port.has_value() || *port == 0) return absl::InvalidArgumentError("the port must be a number from 1 to 65535");
  target->port = static_cast<uint16_t>(*port);
  return absl::OkStatus();
}

absl::Status SetDb(std::string_view text, RedisTarget* target) {
  const std::optional<int> db = Number(text, std::numeric_limits<int>::max());
  if (!db.has_value()) return absl::InvalidArgumentError("the database must be a number, 0 or more");
  target->db = *db;
  return absl::OkStatus();
}

absl::Status SetHost(std::string_view host, RedisTarget* target) {
  if (host.empty()) return absl::InvalidArgumentError("it names no host");
  if (HasControl(host) || host.find_first_of(" /[]%") != std::string_view::npos) {
    return absl::InvalidArgumentError("the host is neither a name nor an address (an IPv6 address stands in [ ])");
  }
  target->host = std::string(host);
  return absl::OkStatus();
}

absl::Status SetUnixPath(std::string_view path, RedisTarget* target) {
  std::optional<std::string> decoded = PercentDecoded(path);
  if (!decoded.has_value())
    return absl::InvalidArgumentError(
        "the path has a '%' without two hexadecimal digits, or a "
        "control character");
  if (decoded->size() <= 1) return absl::InvalidArgumentError("it names no socket, as in unix:///run/redis/redis.sock");
  if (decoded->size() > kUnixPathBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("the path of the socket is ", decoded->size(),
                                                   " bytes long; the system's limit is ", kUnixPathBytesMax));
  }
  target->unix_path = *std::move(decoded);
  return absl::OkStatus();
}

absl::Status SetHostAndPort(std::string_view text, RedisTarget* target) {
  std::string_view host = text;
  std::optional<std::string_view> port;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return absl::InvalidArgumentError("'[' without ']'");
    host = text.substr(1, end - 1);
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && !rest.starts_with(':'))
      return absl::InvalidArgumentError("only ':' and a port may follow ']'");
    if (!rest.empty()) port = rest.substr(1);
  } else if (const size_t colon = text.find(':'); colon != std::string_view::npos) {
    if (text.find(':', colon + 1) != std::string_view::npos) {
      return absl::InvalidArgumentError("an IPv6 address stands in [ ], as in redis://[::1]:6379/0");
    }
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  if (absl::Status status = SetHost(host, target); !status.ok()) return status;
  return port.has_value() ? SetPort(*port, target) : absl::OkStatus();
}

absl::Status SetQuery(std::string_view query, RedisTarget* target) {
  for (const std::string_view item : absl::StrSplit(query, '&', absl::SkipEmpty())) {
    const size_t equals = item.find('=');
    const std::string name = absl::AsciiStrToLower(item.substr(0, equals));
    if (name == "password" || name == "pass" || name == "auth") return PasswordInUrl();
    if (name != "db" || equals == std::string_view::npos) return absl::InvalidArgumentError("only ?db=N may follow");
    if (absl::Status status = SetDb(item.substr(equals + 1), target); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// `rest` is what follows "scheme://".
absl::Status SetRest(std::string_view rest, RedisTarget* target) {
  const bool is_unix = target->kind == RedisTarget::Kind::kUnix;
  // Before anything else: a password may hold '@', '/', '?' and '#', which a strict reader takes for other parts.
  const size_t last_at = rest.rfind('@');
  if (!(is_unix && rest.starts_with('/')) && last_at != std::string_view::npos) {
    std::string_view user = rest.substr(0, last_at);
    rest.remove_prefix(last_at + 1);
    if (const size_t colon = user.find(':'); colon != std::string_view::npos) {
      if (colon + 1 < user.size()) return PasswordInUrl();
      user = user.substr(0, colon);
    }
    std::optional<std::string> decoded = PercentDecoded(user);
    if (!decoded.has_value() || user.find_first_of("/?#") != std::string_view::npos) {
      return absl::InvalidArgumentError("the user before '@' is not well encoded");
    }
    target->user = *std::move(decoded);
    // "user%3Apassword" decodes to a pair that Redis would not take as a user either.
    if (absl::StrContains(target->user, ':')) return PasswordInUrl();
  }
  if (rest.find('#') != std::string_view::npos) return absl::InvalidArgumentError("'#' has no meaning here");
  if (const size_t question = rest.find('?'); question != std::string_view::npos) {
    if (absl::Status status = SetQuery(rest.substr(question + 1), target); !status.ok()) return status;
    rest = rest.substr(0, question);
  }
  if (is_unix) {
    if (!rest.starts_with('/')) return absl::InvalidArgumentError("the path must be absolute: unix:///run/redis.sock");
    return SetUnixPath(rest, target);
  }
  if (const size_t slash = rest.find('/'); slash != std::string_view::npos) {
    const std::string_view db = rest.substr(slash + 1);
    if (!db.empty()) {
      if (absl::Status status = SetDb(db, target); !status.ok()) return status;
    }
    rest = rest.substr(0, slash);
  }
  return SetHostAndPort(rest, target);
}

absl::Status Named(std::string_view variable, const absl::Status& status) {
  return {status.code(), absl::StrCat(variable, ": ", status.message())};
}

}  // namespace

absl::StatusOr<std::string> ReadPasswordFile(const std::string& file) {
  const auto failed = [&](std::string_view what) {
    return absl::FailedPreconditionError(absl::StrCat("password file ", file, ": ", what));
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file.c_str(), "rbe"), &std::fclose);
  if (in == nullptr) return failed(std::strerror(errno));
  std::string text(kPasswordBytesMax + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), in.get()));
  if (std::ferror(in.get()) != 0) return failed(std::strerror(errno));
  if (text.size() > kPasswordBytesMax) return failed("longer than 64 KiB");
  if (text.ends_with('\n')) {
    text.pop_back();
    if (text.ends_with('\r')) text.pop_back();
  }
  if (text.empty()) return failed("it is empty");
  return text;
}

std::string RedisTarget::Display() const {
  if (kind == Kind::kEmbedded) return "embedded";
  const std::string at = user.empty() ? "" : absl::StrCat(PercentEncoded(user), "@");
  if (kind == Kind::kUnix) return absl::StrCat("unix://", at, PercentEncoded(unix_path), "?db=", db);
  const bool v6 = absl::StrContains(host, ':');
  return absl::StrCat(tls ? "rediss://" : "redis://", at, v6 ? "[" : "", host, v6 ? "]" : "", ":", port, "/", db);
}

absl::StatusOr<RedisTarget> ParseRedisUrl(std::string_view url) {
  RedisTarget target;
  if (url == "embedded") {
    target.kind = RedisTarget::Kind::kEmbedded;
    return target;
  }
  const size_t end = url.find("://");
  const std::string scheme = absl::AsciiStrToLower(url.substr(0, end == std::string_view::npos ? 0 : end));
  if (scheme == "redis+cluster" || scheme == "redis+sentinel") {
    return absl::UnimplementedError(absl::StrCat("Redis URL: ", scheme, ":// is not supported by this version"));
  }
  if (scheme == "rediss") {
    target.tls = true;
  } else if (scheme == "unix") {
    target.kind = RedisTarget::Kind::kUnix;
    target.host.clear();
  } else if (scheme != "redis") {
    return Bad("it must begin with redis://, rediss:// or unix://, or be \"embedded\"");
  }
  const absl::Status status = SetRest(url.substr(end + 3), &target);
  if (status.ok()) return target;
  return status.message().starts_with("Redis URL: ") ? status : Bad(status.message());
}

const char* ProcessEnv(const char* name) { return std::getenv(name); }

absl::StatusOr<RedisTarget> ResolveRedisTarget(std::string_view url, const std::string& password_file,
                                               const EnvGetter& env) {
  const auto value = [&](const char* name) {
    const char* const text = env(name);
    return std::string_view(text == nullptr ? "" : text);
  };

  RedisTarget target;
  if (!url.empty()) {
    absl::StatusOr<RedisTarget> parsed = ParseRedisUrl(url);
    if (!parsed.ok()) return parsed.status();
    target = *std::move(parsed);
  } else if (const std::string_view from_env = value("REDIS_URL"); !from_env.empty()) {
    absl::StatusOr<RedisTarget> parsed = ParseRedisUrl(from_env);
    if (!parsed.ok()) return Named("REDIS_URL", parsed.status());
    target = *std::move(parsed);
  } else {
    if (std::string_view host = value("REDIS_HOST"); !host.empty()) {
      if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
      if (absl::Status status = SetHost(host, &target); !status.ok()) return Named("REDIS_HOST", status);
    }
    if (const std::string_view port = value("REDIS_PORT"); !port.empty()) {
      if (absl::Status status = SetPort(port, &target); !status.ok()) return Named("REDIS_PORT", status);
    }
    if (const std::string_view db = value("REDIS_DB"); !db.empty()) {
      if (absl::Status status = SetDb(db, &target); !status.ok()) return Named("REDIS_DB", status);
    }
  }

  if (target.kind == RedisTarget::Kind::kEmbedded) return target;
  if (!password_file.empty()) {
    absl::StatusOr<std::string> password = ReadPasswordFile(password_file);
    if (!password.ok()) return password.status();
    target.password = *std::move(password);
    target.password_file = password_file;
  } else {
    target.password = std::string(value("REDIS_PASSWORD"));
  }
  return target;
}

}  // namespace tickbridge
