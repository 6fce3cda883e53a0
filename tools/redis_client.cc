// SPDX-License-Identifier: Apache-2.0
#include "tools/redis_client.h"

#include <hiredis/hiredis.h>

#include <array>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/clock.h"
#include "core/types.h"
#include "sink/dial.h"
#include "sink/redis_error.h"
#include "sink/resp.h"
#include "sink/wait.h"

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
  struct ReaderDeleter {
    void operator()(redisReader* reader) const { redisReaderFree(reader); }
  };
  Line line;  // without a transport once it failed: its replies may be out of step
  std::unique_ptr<redisReader, ReaderDeleter> reader{redisReaderCreate()};
  std::string unsent;
  int64_t timeout_ns = 0;
  std::string display;

  void Append(std::span<const std::string_view> words) { resp::AppendCommand(&unsent, words); }

  // Error replies come back as replies here. Reads and writes in turn: a server that waits for us to read does not
  // read.
  absl::StatusOr<ReplyPtr> Next() {
    const MonoNs deadline = SystemClock::ReadMonotonic() + timeout_ns;
    std::array<char, 65536> buffer;
    while (true) {
      void* raw = nullptr;
      if (redisReaderGetReply(reader.get(), &raw) != REDIS_OK) return Fail("what came is not the Redis protocol");
      if (raw != nullptr) return ReplyPtr(static_cast<redisReply*>(raw));
      size_t bytes = 0;
      Transport::Result wrote = Transport::Result::kWouldBlock;
      if (!unsent.empty()) wrote = line.transport->Write(unsent, &bytes);
      if (wrote == Transport::Result::kOk) {
        unsent.erase(0, bytes);
        continue;
      }
      const Transport::Result read = line.transport->Read(buffer, &bytes);
      if (read == Transport::Result::kOk) {
        redisReaderFeed(reader.get(), buffer.data(), bytes);
        continue;
      }
      if (read == Transport::Result::kClosed || wrote == Transport::Result::kClosed) {
        const absl::Status why = line.transport->error();
        return Fail(why.ok() ? "the server closed the connection" : why.message());
      }
      if (SystemClock::ReadMonotonic() >= deadline) {
        return Fail(absl::StrCat("no answer within ", timeout_ns / kNsPerMs, " ms"));
      }
      // Nothing interrupts it, so it can only say that it is worth another try.
      WaitForSocketOrTime(line.fd, !unsent.empty(), deadline, -1).IgnoreError();
    }
  }

  absl::Status Fail(std::string_view why) {
    line.transport.reset();
    return absl::UnavailableError(absl::StrCat(display, ": ", why));
  }
  absl::Status Gone() const { return absl::UnavailableError(absl::StrCat(display, ": the connection is gone")); }
};

RedisClient::RedisClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RedisClient::RedisClient(RedisClient&&) noexcept = default;
RedisClient& RedisClient::operator=(RedisClient&&) noexcept = default;
RedisClient::~RedisClient() = default;

absl::StatusOr<RedisClient> RedisClient::Connect(const RedisTarget& target, int64_t timeout_ns) {
  const std::string display = target.Display();
  if (target.kind == RedisTarget::Kind::kEmbedded && target.unix_path.empty()) {
    return absl::InvalidArgumentError(
        "an embedded Redis is private to the bridge that starts it; name a server instead");
  }
  std::shared_ptr<TlsContext> tls;
  if (target.tls) {
    absl::StatusOr<std::shared_ptr<TlsContext>> made = TlsContext::Create(target.tls_options);
    if (!made.ok()) return made.status();
    tls = *std::move(made);
  }
  absl::StatusOr<Line> line = Dial(target, tls.get(), timeout_ns, -1);
  if (!line.ok()) return line.status();
  auto impl = std::make_unique<Impl>();
  impl->display = display;
  impl->timeout_ns = timeout_ns;
  impl->line = *std::move(line);
  RedisClient client(std::move(impl));
  if (absl::Status status = client.Authenticate(target); !status.ok()) return status;
  return client;
}

absl::Status RedisClient::Authenticate(const RedisTarget& target) {
  if (!target.password.empty() || !target.user.empty()) {
    std::vector<std::string_view> words = {"AUTH"};
    if (!target.user.empty()) words.push_back(target.user);
    words.push_back(target.password);
    impl_->Append(words);
    absl::StatusOr<ReplyPtr> reply = impl_->Next();
    if (!reply.ok()) return reply.status();
    if ((*reply)->type == REDIS_REPLY_ERROR) {
      return absl::PermissionDeniedError(absl::StrCat(impl_->display, ": ", CredentialsProblem(Text(**reply))));
    }
  }
  if (target.db != 0) {
    if (absl::StatusOr<Reply> reply = Command({"SELECT", absl::StrCat(target.db)}); !reply.ok()) return reply.status();
  }
  return absl::OkStatus();
}

absl::StatusOr<Reply> RedisClient::Command(std::span<const std::string_view> words) {
  if (impl_->line.transport == nullptr) return impl_->Gone();
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
  if (impl_->line.transport == nullptr) return impl_->Gone();
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
