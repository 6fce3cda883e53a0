// SPDX-License-Identifier: Apache-2.0
#include "bench/sender.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/clock.h"

namespace tickbridge {
namespace {

constexpr size_t kWriteBytes = size_t{64} << 10;
// A wait that is longer sleeps for all but this.
constexpr int64_t kSpinNs = 60 * kNsPerUs;
constexpr uint64_t kBenchRingBytes = uint64_t{64} << 20;  // 200 ms at 5 M ticks/s

bool SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

int ConnectTo(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
  return -1;
}

// Lines for a socket; as many as one write takes.
class LineWay {
 public:
  explicit LineWay(const Sender::Options& options) : fd_(ConnectTo(options.path)) {}
  bool ok() const { return fd_ >= 0; }
  bool HasRoom() const { return bytes_.size() < kWriteBytes; }
  void Add(const Schedule& schedule) { schedule.AppendLine(&bytes_); }
  bool Flush() {
    const bool sent = SendAll(fd_, bytes_);
    bytes_.clear();
    return sent;
  }

 private:
  const int fd_;
  std::string bytes_;
};

class RingWay {
 public:
  explicit RingWay(const Sender::Options& options)
      : publisher_(OpenBenchRing(options.ring, options.schedule.symbols)) {}
  bool ok() const { return publisher_ != nullptr; }
  bool HasRoom() const { return added_ < kRingBatch; }
  void Add(const Schedule& schedule) {
    publisher_->Publish(schedule.symbol(), schedule.tick());
    ++added_;
  }
  bool Flush() {
    added_ = 0;
    return publisher_->Heartbeat() == Publisher::Result::kPublished && publisher_->counts().refused == 0;
  }

 private:
  static constexpr int kRingBatch = 256;
  const std::unique_ptr<Publisher> publisher_;
  int added_ = 0;
};

// The child: 0 when everything was sent.
template <typename Way>
int SendSchedule(const Sender::Options& options, int begin_fd) {
  Schedule schedule(options.schedule);
  int64_t start_ns = 0;
  if (::read(begin_fd, &start_ns, sizeof(start_ns)) != sizeof(start_ns)) return 1;
  Way way(options);
  if (!way.ok()) return 2;
  while (!schedule.done()) {
    const int64_t now_ns = SystemClock::ReadMonotonic().value - start_ns;
    const uint64_t before = schedule.sent();
    while (!schedule.done() && schedule.due_ns() <= now_ns && way.HasRoom()) {
      way.Add(schedule);
      schedule.Advance();
    }
    if (schedule.sent() != before) {
      if (!way.Flush()) return 3;
    } else if (const int64_t left_ns = schedule.due_ns() - now_ns; left_ns > kSpinNs) {
      const timespec rest{(left_ns - kSpinNs) / kNsPerSec, (left_ns - kSpinNs) % kNsPerSec};
      ::nanosleep(&rest, nullptr);
    } else if (options.cpu >= 0) {
      ::sched_yield();  // others may be pinned there
    }
  }
  return 0;
}

}  // namespace

std::unique_ptr<Publisher> OpenBenchRing(const std::string& path, uint32_t symbols) {
  Publisher::Options options;
  options.file.ring = path;
  options.file.max_symbols = symbols;
  options.file.data_bytes = kBenchRingBytes;
  RingError error;
  std::unique_ptr<Publisher> publisher = Publisher::Open(options, &error);
  for (uint32_t i = 0; publisher != nullptr && i < symbols; ++i) publisher->Declare(BenchSymbolName(i));
  return publisher;
}

absl::StatusOr<std::unique_ptr<Sender>> Sender::Start(const Options& options) {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "cannot make a pipe");
  const pid_t pid = ::fork();
  if (pid < 0) return absl::ErrnoToStatus(errno, "cannot start the generator's process");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    ::close(pipe[1]);
    if (options.cpu >= 0) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(static_cast<size_t>(options.cpu), &one);
      ::sched_setaffinity(0, sizeof(one), &one);
    }
    ::_exit(options.ring.empty() ? SendSchedule<LineWay>(options, pipe[0]) : SendSchedule<RingWay>(options, pipe[0]));
  }
  ::close(pipe[0]);
  return std::unique_ptr<Sender>(new Sender(pid, pipe[1]));
}

Sender::~Sender() {
  ::close(fd_);
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Sender::Begin(MonoNs start) {
  // A child that is gone shows in Done.
  [[maybe_unused]] const ssize_t wrote = ::write(fd_, &start.value, sizeof(start.value));
}

absl::StatusOr<bool> Sender::Done() {
  if (pid_ >= 0) {
    if (::waitpid(pid_, &status_, WNOHANG) == 0) return false;
    pid_ = -1;
  }
  if (WIFEXITED(status_) && WEXITSTATUS(status_) == 0) return true;
  return absl::UnavailableError(absl::StrCat("the generator's process ended early, with ", status_));
}

}  // namespace tickbridge
