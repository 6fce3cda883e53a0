// SPDX-License-Identifier: Apache-2.0
#include "sink/redis_connector.h"

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <initializer_list>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "sink/redis_error.h"

namespace tickbridge {
namespace {

constexpr unsigned kPeerTimeoutMs = 30'000;
// Where predecessors may not be ended: how long their last bytes are given to arrive.
constexpr std::chrono::seconds kFenceWait{1};

struct ContextDeleter {
  void operator()(redisContext* context) const { redisFree(context); }
};
using ContextPtr = std::unique_ptr<redisContext, ContextDeleter>;

struct ReplyDeleter {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using ReplyPtr = std::unique_ptr<redisReply, ReplyDeleter>;

class SocketTransport final : public Transport {
 public:
  explicit SocketTransport(int fd) : fd_(fd) {}
  ~SocketTransport() override { ::close(fd_); }

  Result Read(std::span<char> into, size_t* bytes) noexcept override {
    return Outcome(::recv(fd_, into.data(), into.size(), MSG_DONTWAIT), bytes);
  }
  Result Write(std::span<const char> from, size_t* bytes) noexcept override {
    // MSG_NOSIGNAL: a peer that is gone must be an error here, not a SIGPIPE to the process.
    return Outcome(::send(fd_, from.data(), from.size(), MSG_DONTWAIT | MSG_NOSIGNAL), bytes);
  }

 private:
  static Result Outcome(ssize_t done, size_t* bytes) noexcept {
    if (done > 0) {
      *bytes = static_cast<size_t>(done);
      return Result::kOk;
    }
    *bytes = 0;
    if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return Result::kWouldBlock;
    return Result::kClosed;
  }

  int fd_;
};

std::string_view View(const redisReply& reply) { return {reply.str, reply.len}; }

// One command and its reply, on a blocking context. An error reply is a Status with its text.
absl::StatusOr<ReplyPtr> Call(redisContext* context, std::initializer_list<std::string_view> words) {
  std::vector<const char*> arguments;
  std::vector<size_t> sizes;
  for (const std::string_view word : words) {
    arguments.push_back(word.data());
    sizes.push_back(word.size());
  }
  ReplyPtr reply(static_cast<redisReply*>(
      redisCommandArgv(context, static_cast<int>(arguments.size()), arguments.data(), sizes.data())));
  if (reply == nullptr) return absl::UnavailableError(context->errstr);
  if (reply->type != REDIS_REPLY_ERROR) return reply;
  const std::string_view text = View(*reply);
  if (ClassifyRedisError(text) == RedisErrorKind::kAuth) return absl::PermissionDeniedError(text);
  if (RedisErrorCode(text) == "NOPERM") return absl::FailedPreconditionError(text);
  return absl::UnavailableError(text);
}

// A line `name:value` of INFO.
std::string InfoField(std::string_view info, std::string_view name) {
  for (std::string_view line : absl::StrSplit(info, "\r\n")) {
    if (line.size() > name.size() && line.starts_with(name) && line[name.size()] == ':') {
      return std::string(line.substr(name.size() + 1));
    }
  }
  return "";
}

// A field `name=value` of a line of CLIENT LIST.
std::string_view ListField(std::string_view line, std::string_view name) {
  for (const std::string_view field : absl::StrSplit(line, ' ')) {
    if (field.size() > name.size() && field.starts_with(name) && field[name.size()] == '=') {
      return field.substr(name.size() + 1);
    }
  }
  return {};
}

// Ends every other connection of our name. By id and address: an id alone may have passed to a stranger.
absl::Status Fence(redisContext* context, const std::string& name, int64_t own_id) {
  auto list = Call(context, {"CLIENT", "LIST"});
  if (!list.ok()) return list.status();
  for (const std::string_view line : absl::StrSplit(View(**list), '\n', absl::SkipEmpty())) {
    int64_t id = 0;
    if (ListField(line, "name") != name || !absl::SimpleAtoi(ListField(line, "id"), &id) || id == own_id) continue;
    auto killed = Call(context, {"CLIENT", "KILL", "ID", absl::StrCat(id), "ADDR", ListField(line, "addr")});
    if (!killed.ok()) return killed.status();
  }
  return absl::OkStatus();
}

absl::Status Authenticate(redisContext* context, const RedisTarget& target) {
  if (!target.password.empty()) {
    auto reply = target.user.empty() ? Call(context, {"AUTH", target.password})
                                     : Call(context, {"AUTH", target.user, target.password});
    if (context->err != 0) return reply.status();
    // Only the code is passed on: a server that does not know AUTH repeats its arguments.
    if (!reply.ok()) {
      return absl::PermissionDeniedError(
          absl::StrCat("Redis refused the credentials (", RedisErrorCode(reply.status().message()), ")"));
    }
  }
  if (target.db != 0) {
    if (auto reply = Call(context, {"SELECT", absl::StrCat(target.db)}); !reply.ok()) return reply.status();
  }
  return absl::OkStatus();
}

}  // namespace

RedisConnector::RedisConnector(Options options) : options_(std::move(options)) {
  // Signals are for the main thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  helper_ = std::thread([this] { HelperLoop(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

RedisConnector::~RedisConnector() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    if (handshake_fd_ >= 0) ::shutdown(handshake_fd_, SHUT_RDWR);
  }
  wake_.notify_one();
  helper_.join();
}

void RedisConnector::Begin() {
  {
    const std::lock_guard lock(mutex_);
    requested_ = true;
  }
  wake_.notify_one();
}

std::optional<absl::StatusOr<Session>> RedisConnector::Poll() {
  // The helper holds the mutex for moments only; but a runner does not wait even for those.
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock() || !outcome_.has_value()) return std::nullopt;
  return std::exchange(outcome_, std::nullopt);
}

void RedisConnector::HelperLoop() {
  pthread_setname_np(pthread_self(), "tb-connect");
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return requested_ || stopping_; });
    if (stopping_) return;
    requested_ = false;
    lock.unlock();
    absl::StatusOr<Session> session = Connect();
    lock.lock();
    outcome_ = std::move(session);
  }
}

// Lends the socket of an attempt to the destructor, which may shut it down, for as long as the attempt owns it.
struct RedisConnector::HandshakeGuard {
  HandshakeGuard(RedisConnector* c, int fd) : connector(c) {
    const std::lock_guard lock(connector->mutex_);
    connector->handshake_fd_ = fd;
    stopping = connector->stopping_;
  }
  ~HandshakeGuard() {
    const std::lock_guard lock(connector->mutex_);
    connector->handshake_fd_ = -1;
  }
  RedisConnector* connector;
  bool stopping;
};

absl::StatusOr<Session> RedisConnector::Connect() {
  const RedisTarget& target = options_.target;
  const timeval timeout{options_.timeout_ns / 1'000'000'000,
                        static_cast<suseconds_t>(options_.timeout_ns % 1'000'000'000 / 1000)};
  redisOptions settings{};
  settings.connect_timeout = &timeout;
  settings.command_timeout = &timeout;
  if (!target.unix_path.empty()) {
    REDIS_OPTIONS_SET_UNIX(&settings, target.unix_path.c_str());
  } else {
    REDIS_OPTIONS_SET_TCP(&settings, target.host.c_str(), target.port);
  }
  const ContextPtr context(redisConnectWithOptions(&settings));
  if (context == nullptr) return absl::ResourceExhaustedError("no memory for a connection");
  if (context->err != 0) return absl::UnavailableError(context->errstr);
  if (target.unix_path.empty()) {
    redisEnableKeepAlive(context.get());
    // A peer that vanished without a word ends the connection after this, not after the quarter of an hour of the
    // default.
    const unsigned timeout_ms = kPeerTimeoutMs;
    ::setsockopt(context->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
  }
  const HandshakeGuard guard(this, context->fd);
  if (guard.stopping) return absl::CancelledError("stopping");

  if (absl::Status status = Authenticate(context.get(), target); !status.ok()) return status;
  auto named = Call(context.get(), {"CLIENT", "SETNAME", options_.client_name});
  if (!named.ok()) return named.status();
  auto info = Call(context.get(), {"INFO", "server"});
  // Forbidden to ask: then every connection is taken to be to another server.
  if (!info.ok() && !absl::IsFailedPrecondition(info.status())) return info.status();
  auto id = Call(context.get(), {"CLIENT", "ID"});
  if (!id.ok()) return id.status();

  Session session;
  if (info.ok()) {
    session.run_id = InfoField(View(**info), "run_id");
    session.version = InfoField(View(**info), "redis_version");
  }
  session.client_id = (*id)->integer;
  if (absl::Status status = Fence(context.get(), options_.client_name, session.client_id); !status.ok()) {
    // Without the right to end predecessors the lane works, but says that it is not fenced.
    if (status.code() != absl::StatusCode::kFailedPrecondition) return status;
    session.fenced = false;
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, kFenceWait, [this] { return stopping_; });
  }

  // From here on the socket is the lane's: hiredis forgets it, and its time-outs go with it.
  const int fd = ::fcntl(context->fd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return absl::ResourceExhaustedError("no file descriptor left for a connection");
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  session.transport = std::make_unique<SocketTransport>(fd);
  return session;
}

}  // namespace tickbridge
