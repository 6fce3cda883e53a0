// SPDX-License-Identifier: Apache-2.0
#include "sink/dial.h"

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/clock.h"

namespace tickbridge {
namespace {

// A TCP peer that vanished without a word ends the connection after this, not after the quarter of an hour of the
// system's default.
constexpr unsigned kPeerTimeoutMs = 30'000;

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

  const int fd_;
};

// hiredis tries each address of a name in turn, with a time-out. It lets go of the socket again.
absl::StatusOr<int> ConnectSocket(const RedisTarget& target, int64_t timeout_ns) {
  const timeval timeout{timeout_ns / kNsPerSec, static_cast<suseconds_t>(timeout_ns % kNsPerSec / kNsPerUs)};
  redisOptions settings{};
  settings.connect_timeout = &timeout;
  if (!target.unix_path.empty()) {
    REDIS_OPTIONS_SET_UNIX(&settings, target.unix_path.c_str());
  } else {
    REDIS_OPTIONS_SET_TCP(&settings, target.host.c_str(), target.port);
  }
  redisContext* const context = redisConnectWithOptions(&settings);
  if (context == nullptr) return absl::ResourceExhaustedError("no memory for a connection");
  if (context->err != 0) {
    absl::Status status =
        absl::UnavailableError(absl::StrCat("cannot connect to ", target.Display(), ": ", context->errstr));
    redisFree(context);
    return status;
  }
  if (target.unix_path.empty()) redisEnableKeepAlive(context);
  const int fd = redisFreeKeepFd(context);
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  if (target.unix_path.empty()) {
    ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kPeerTimeoutMs, sizeof(kPeerTimeoutMs));
  }
  return fd;
}

}  // namespace

absl::StatusOr<Line> Dial(const RedisTarget& target, const TlsContext* tls, int64_t timeout_ns, int stop_fd) {
  const MonoNs deadline = SystemClock::ReadMonotonic() + timeout_ns;
  absl::StatusOr<int> fd = ConnectSocket(target, timeout_ns);
  if (!fd.ok()) return fd.status();
  Line line;
  line.fd = *fd;
  if (tls == nullptr) {
    line.transport = std::make_unique<SocketTransport>(*fd);
    return line;
  }
  absl::StatusOr<std::unique_ptr<Transport>> secured = tls->Connect(*fd, target.host, deadline, stop_fd);
  if (!secured.ok()) return secured.status();
  line.transport = *std::move(secured);
  return line;
}

}  // namespace tickbridge
