// SPDX-License-Identifier: Apache-2.0
#include "sink/redis_connector.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sink/wait.h"

namespace tickbridge {
absl::StatusOr<std::unique_ptr<RedisConnector>> RedisConnector::Create(Options options) {
  std::shared_ptr<TlsContext> tls;
  if (options.target.tls) {
    absl::StatusOr<std::shared_ptr<TlsContext>> made = TlsContext::Create(options.target.tls_options);
    if (!made.ok()) return made.status();
    tls = *std::move(made);
  }
  return std::unique_ptr<RedisConnector>(new RedisConnector(std::move(options), std::move(tls)));
}

RedisConnector::RedisConnector(Options options, std::shared_ptr<TlsContext> tls)
    : options_(std::move(options)),
      tls_(std::move(tls)),
      clock_(options_.clock != nullptr ? options_.clock : &system_clock_),
      stop_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
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
    ::eventfd_write(stop_fd_, 1);
  }
  wake_.notify_one();
  helper_.join();
  ::close(stop_fd_);
}

void RedisConnector::Connect() {
  {
    const std::lock_guard lock(mutex_);
    ++generation_;
    wish_ = Wish::kConnect;
    outcome_.reset();
    attempt_.reset();
  }
  wake_.notify_one();
}

void RedisConnector::Fence() {
  {
    const std::lock_guard lock(mutex_);
    wish_ = Wish::kFence;
  }
  wake_.notify_one();
}

void RedisConnector::Abandon() {
  const std::lock_guard lock(mutex_);
  ++generation_;
  wish_ = Wish::kNone;
  outcome_.reset();
  attempt_.reset();
  ::eventfd_write(stop_fd_, 1);  // the helper clears it
}

std::optional<absl::Status> RedisConnector::Poll() {
  // The helper holds the mutex for moments only; but a runner does not wait even for those.
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return std::nullopt;
  return std::exchange(outcome_, std::nullopt);
}

Session RedisConnector::Take() {
  const std::lock_guard lock(mutex_);
  Session session;
  session.server = attempt_->handshake->server();
  attempt_->handshake.reset();
  session.transport = std::move(attempt_->line.transport);
  session.fd = attempt_->line.fd;
  attempt_.reset();
  return session;
}

void RedisConnector::HelperLoop() {
  pthread_setname_np(pthread_self(), "tb-connect");
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return wish_ != Wish::kNone || stopping_; });
    if (stopping_) return;
    const uint64_t generation = generation_;
    const Wish wish = std::exchange(wish_, Wish::kNone);
    std::optional<Attempt> attempt = std::exchange(attempt_, std::nullopt);
    eventfd_t pending = 0;
    ::eventfd_read(stop_fd_, &pending);
    lock.unlock();

    absl::Status status;
    if (wish == Wish::kConnect) {
      absl::StatusOr<Attempt> greeted = Greet();
      status = greeted.status();
      if (greeted.ok()) attempt = *std::move(greeted);
    } else if (attempt.has_value()) {
      attempt->handshake->Fence();
      status = Turn(&*attempt);
    }
    if (!status.ok()) attempt.reset();

    lock.lock();
    if (generation != generation_) continue;  // nobody wants it any more
    attempt_ = std::move(attempt);
    outcome_ = std::move(status);
  }
}

absl::StatusOr<RedisConnector::Attempt> RedisConnector::Greet() {
  Handshake::Options hello;
  hello.user = options_.target.user;
  hello.password = options_.target.password;
  if (!options_.target.password_file.empty()) {
    // Read anew each time, so that a changed password needs no restart.
    absl::StatusOr<std::string> password = ReadPasswordFile(options_.target.password_file);
    if (!password.ok()) return absl::UnavailableError(password.status().message());
    hello.password = *std::move(password);
  }
  hello.db = options_.target.db;
  hello.client_name = options_.client_name;
  hello.fence_wait_ns = options_.fence_wait_ns;
  hello.refuse_rival = options_.refuse_rival;
  hello.own = options_.own;
  absl::StatusOr<Line> line = Dial(options_.target, tls_.get(), options_.timeout_ns, stop_fd_);
  if (!line.ok()) return line.status();
  Attempt attempt;
  attempt.line = *std::move(line);
  attempt.handshake = std::make_unique<Handshake>(std::move(hello), attempt.line.transport.get(), clock_);
  attempt.handshake->Greet();
  if (absl::Status status = Turn(&attempt); !status.ok()) return status;
  return attempt;
}

absl::Status RedisConnector::Turn(Attempt* attempt) {
  MonoNs began = SystemClock::ReadMonotonic();
  while (true) {
    if (std::optional<absl::Status> outcome = attempt->handshake->Step()) return *std::move(outcome);
    const MonoNs now = SystemClock::ReadMonotonic();
    const MonoNs wake = attempt->handshake->wake();
    const bool waits = wake.value != std::numeric_limits<int64_t>::max();
    if (!waits && now - began > options_.timeout_ns) {
      return absl::UnavailableError(
          absl::StrCat("no answer to the handshake within ", options_.timeout_ns / kNsPerMs, " ms"));
    }
    if (waits) began = now;  // a wait that the handshake asks for is not the server's slowness
    const MonoNs until = waits ? wake : began + options_.timeout_ns;
    absl::Status status = WaitForSocketOrTime(attempt->line.fd, attempt->handshake->wants_write(), until, stop_fd_);
    if (!status.ok()) return status;
  }
}

}  // namespace tickbridge
