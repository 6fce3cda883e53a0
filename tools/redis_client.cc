// SPDX-License-Identifier: Apache-2.0
#include "tools/redis_client.h"

#include <hiredis/hiredis.h>
#include <sys/time.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/types.h"

namespace tickbridge {
namespace {

struct ReplyDeleter {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using ReplyPtr = std::unique_ptr<redisReply, ReplyDeleter>;

Reply Converted(const redisReply& raw) {
  Reply reply;
  switch (raw.type) {
    case REDIS_REPLY_NIL:
      break;
    case REDIS_REPLY_INTEGER:
      reply.type = Reply::Type::kInteger;
      reply.integer = raw.integer;
      break;
    case REDIS_REPLY_ARRAY:
      reply.type = Reply::Type::kArray;
      for (size_t i = 0; i < raw.elements; ++i) reply.elements.push_back(Converted(*raw.element[i]));
      break;
    default:
      reply.type = Reply::Type::kString;
      reply.str.assign(raw.str, raw.len);
  }
  return reply;
}

std::string_view Text(const redisReply& reply) { return {reply.str, reply.len}; }

}  // namespace

struct RedisClient::Impl {
  struct ContextDeleter {
    void operator()(redisContext* context) const { redisFree(context); }
  };
  std::unique_ptr<redisContext, ContextDeleter> context;  // null once it failed: its replies may be out of step
  std::string display;

  // Appends to hiredis' buffer only.
  void Append(std::span<const std::string_view> words) {
    std::vector<const char*> arguments;
    std::vector<size_t> sizes;
    for (const std::string_view word : words) {
      arguments.push_back(word.data());
      sizes.push_back(word.size());
    }
    redisAppendCommandArgv(context.get(), static_cast<int>(words.size()), arguments.data(), sizes.data());
  }

  // Error replies come back as replies here.
  absl::StatusOr<ReplyPtr> Next() {
    void* raw = nullptr;
    if (redisGetReply(context.get(), &raw) != REDIS_OK || raw == nullptr) {
      absl::Status status = absl::UnavailableError(absl::StrCat(display, ": ", context->errstr));
      context.reset();
      return status;
    }
    return ReplyPtr(static_cast<redisReply*>(raw));
  }

  absl::Status Gone() const { return absl::UnavailableError(absl::StrCat(display, ": the connection is gone")); }
};

RedisClient::RedisClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RedisClient::RedisClient(RedisClient&&) noexcept = default;
RedisClient& RedisClient::operator=(RedisClient&&) noexcept = default;
RedisClient::~RedisClient() = default;

absl::StatusOr<RedisClient> RedisClient::Connect(const RedisTarget& target, int64_t timeout_ns) {
  const std::string display = target.Display();
  if (target.tls) return absl::UnimplementedError(absl::StrCat(display, ": TLS is not supported by this version"));
  if (target.kind == RedisTarget::Kind::kEmbedded && target.unix_path.empty()) {
    return absl::InvalidArgumentError(
        "an embedded Redis is private to the bridge that starts it; name a server instead");
  }
  const timeval timeout{timeout_ns / kNsPerSec, static_cast<suseconds_t>(timeout_ns % kNsPerSec / kNsPerUs)};
  redisOptions options{};
  options.connect_timeout = &timeout;
  options.command_timeout = &timeout;
  if (!target.unix_path.empty()) {
    REDIS_OPTIONS_SET_UNIX(&options, target.unix_path.c_str());
  } else {
    REDIS_OPTIONS_SET_TCP(&options, target.host.c_str(), target.port);
  }
  auto impl = std::make_unique<Impl>();
  impl->display = display;
  impl->context.reset(redisConnectWithOptions(&options));
  if (impl->context == nullptr) return absl::ResourceExhaustedError("no memory for a connection");
  if (impl->context->err != 0) {
    return absl::UnavailableError(absl::StrCat("cannot reach ", display, ": ", impl->context->errstr));
  }
  RedisClient client(std::move(impl));
  if (absl::Status status = client.Authenticate(target); !status.ok()) return status;
  return client;
}

absl::Status RedisClient::Authenticate(const RedisTarget& target) {
  if (!target.password.empty()) {
    std::vector<std::string_view> words = {"AUTH"};
    if (!target.user.empty()) words.push_back(target.user);
    words.push_back(target.password);
    impl_->Append(words);
    absl::StatusOr<ReplyPtr> reply = impl_->Next();
    if (!reply.ok()) return reply.status();
    if ((*reply)->type == REDIS_REPLY_ERROR) {
      // Only the first word: a server where AUTH is renamed answers with its arguments.
      const std::string_view text = Text(**reply);
      return absl::PermissionDeniedError(
          absl::StrCat(impl_->display, " refuses the user or the password (", text.substr(0, text.find(' ')), ")"));
    }
  }
  if (target.db != 0) {
    if (absl::StatusOr<Reply> reply = Command({"SELECT", absl::StrCat(target.db)}); !reply.ok()) return reply.status();
  }
  return absl::OkStatus();
}

absl::StatusOr<Reply> RedisClient::Command(std::span<const std::string_view> words) {
  if (impl_->context == nullptr) return impl_->Gone();
  impl_->Append(words);
  absl::StatusOr<ReplyPtr> reply = impl_->Next();
  if (!reply.ok()) return reply.status();
  if ((*reply)->type != REDIS_REPLY_ERROR) return Converted(**reply);
  const std::string_view text = Text(**reply);
  if (text.starts_with("NOAUTH")) {
    return absl::PermissionDeniedError(
        absl::StrCat(impl_->display, " needs a password: set REDIS_PASSWORD or redis.password_file"));
  }
  return absl::FailedPreconditionError(absl::StrCat(impl_->display, ": ", text));
}

absl::StatusOr<std::vector<Reply>> RedisClient::Pipeline(std::span<const std::vector<std::string>> commands) {
  if (impl_->context == nullptr) return impl_->Gone();
  for (const std::vector<std::string>& command : commands) {
    impl_->Append(std::vector<std::string_view>(command.begin(), command.end()));
  }
  std::vector<Reply> replies;
  absl::Status refused;
  // All are read, also after an error reply, so that the next command finds its own.
  for (size_t i = 0; i < commands.size(); ++i) {
    absl::StatusOr<ReplyPtr> reply = impl_->Next();
    if (!reply.ok()) return reply.status();
    if ((*reply)->type == REDIS_REPLY_ERROR) {
      refused = absl::FailedPreconditionError(absl::StrCat(impl_->display, ": ", Text(**reply)));
    } else {
      replies.push_back(Converted(**reply));
    }
  }
  if (!refused.ok()) return refused;
  return replies;
}

}  // namespace tickbridge
