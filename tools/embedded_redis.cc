// SPDX-License-Identifier: Apache-2.0
#include "tools/embedded_redis.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/types.h"
#include "tools/redis_client.h"

namespace tickbridge {
namespace {

using std::chrono::steady_clock;

constexpr auto kStartWithin = std::chrono::seconds(10);
constexpr auto kStopWithin = std::chrono::seconds(5);
constexpr auto kPollEvery = std::chrono::milliseconds(2);
constexpr size_t kUnixPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;
constexpr std::string_view kSocketName = "/redis.sock";
constexpr std::string_view kOwnerName = "/owner";
constexpr std::string_view kFolderPattern = "tickbridge-redis-XXXXXX";

std::string FindInPath(std::string_view program) {
  const char* const path = std::getenv("PATH");
  for (const std::string_view folder : absl::StrSplit(path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path, ':')) {
    std::string candidate = absl::StrCat(folder.empty() ? "." : folder, "/", program);
    struct stat info{};
    if (::stat(candidate.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(candidate.c_str(), X_OK) == 0)
      return candidate;
  }
  return "";
}

// Where our folders go: TMPDIR, unless a socket's path in it would be too long.
std::string FolderOfFolders() {
  const char* const given = std::getenv("TMPDIR");
  const std::string folder = given == nullptr || *given == '\0' ? "/tmp" : given;
  const size_t bytes = folder.size() + 1 + kFolderPattern.size() + kSocketName.size();
  return bytes > kUnixPathBytesMax ? "/tmp" : folder;
}

// Makes a folder, and the file in it whose lock says that we live. The lock is held before the file has its name, so
// that a folder with an unlocked one is always of somebody who is gone.
absl::StatusOr<std::string> MakeFolder(int* owner_fd) {
  std::string name = absl::StrCat(FolderOfFolders(), "/", kFolderPattern);
  if (::mkdtemp(name.data()) == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("cannot make a folder ", name));
  const std::string owner = absl::StrCat(name, kOwnerName);
  const std::string fresh = owner + ".new";
  // Closed on exec: the server must not hold it.
  *owner_fd = ::open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (*owner_fd < 0 || ::flock(*owner_fd, LOCK_EX | LOCK_NB) != 0 || ::rename(fresh.c_str(), owner.c_str()) != 0) {
    absl::Status status = absl::ErrnoToStatus(errno, absl::StrCat("cannot make ", owner));
    std::error_code ignored;
    std::filesystem::remove_all(name, ignored);
    return status;
  }
  return name;
}

// Removes the folders of ours whose owner was killed. Whoever holds an owner's lock decides about its folder.
void SweepFolders() {
  const std::string_view prefix = kFolderPattern.substr(0, kFolderPattern.find('X'));
  std::error_code ignored;
  std::vector<std::string> found;
  for (std::filesystem::directory_iterator at(FolderOfFolders(), ignored), end; at != end; at.increment(ignored)) {
    const std::string name = at->path().filename();
    if (name.size() == kFolderPattern.size() && name.starts_with(prefix)) found.push_back(at->path());
  }
  for (const std::string& folder : found) {
    struct stat info{};
    if (::lstat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != ::geteuid()) continue;
    const int fd = ::open(absl::StrCat(folder, kOwnerName).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;  // not ours, or just being made
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) std::filesystem::remove_all(folder, ignored);
    ::close(fd);
  }
}

std::string LastLine(const std::string& path) {
  std::ifstream in(path);
  std::string last;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) last = line;
  }
  return last;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EmbeddedRedis>> EmbeddedRedis::Start() {
  const std::string program = FindInPath("redis-server");
  if (program.empty()) {
    return absl::NotFoundError(
        "an embedded Redis needs the program redis-server, which is not in PATH; install it (Debian's package "
        "redis-server), "
        "or name a server with --redis");
  }
  std::unique_ptr<EmbeddedRedis> redis(new EmbeddedRedis);
  SweepFolders();
  absl::StatusOr<std::string> folder = MakeFolder(&redis->owner_fd_);
  if (!folder.ok()) return folder.status();
  redis->folder_ = *std::move(folder);
  redis->unix_path_ = absl::StrCat(redis->folder_, kSocketName);
  redis->log_path_ = redis->folder_ + "/redis.log";
  if (absl::Status status = redis->Launch(program); !status.ok()) return status;
  if (absl::Status status = redis->AwaitReady(); !status.ok()) return status;
  return redis;
}

absl::Status EmbeddedRedis::Launch(const std::string& program) {
  // Everything that allocates is done before the fork: the child may only make system calls.
  std::array<std::string, 18> words = {program, "--port",      "0",  "--unixsocket", unix_path_, "--unixsocketperm",
                                       "700",   "--save",      "",   "--appendonly", "no",       "--dir",
                                       folder_, "--daemonize", "no", "--loglevel",   "notice",   "--logfile"};
  std::string no_file;
  std::array<char*, words.size() + 2> arguments{};
  for (size_t i = 0; i < words.size(); ++i) arguments[i] = words[i].data();
  arguments[words.size()] = no_file.data();  // to standard output
  const int log = ::open(log_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const pid_t parent = ::getpid();
  const pid_t child = log < 0 || null < 0 ? -1 : ::fork();
  if (child == 0) {
    // A group of its own: Ctrl-C is for the bridge, which still has to drain into this server.
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);  // it died before the line above
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int signal : {SIGINT, SIGTERM, SIGPIPE, SIGHUP}) ::signal(signal, SIG_DFL);
    ::dup2(null, 0);
    ::dup2(log, 1);
    ::dup2(log, 2);
    ::execv(program.c_str(), arguments.data());
    ::_exit(127);
  }
  const int error = errno;
  if (log >= 0) ::close(log);
  if (null >= 0) ::close(null);
  if (child < 0) return absl::ErrnoToStatus(error, "cannot start redis-server");
  pid_ = child;
  return absl::OkStatus();
}

absl::Status EmbeddedRedis::AwaitReady() {
  const auto deadline = steady_clock::now() + kStartWithin;
  while (true) {
    if (absl::StatusOr<RedisClient> client = RedisClient::Connect(target(), kNsPerSec); client.ok()) {
      if (client->Command({"PING"}).ok()) return absl::OkStatus();
    }
    if (Reap())
      return absl::UnavailableError(absl::StrCat("the embedded redis-server ended at once: ", LastLine(log_path_)));
    if (steady_clock::now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("the embedded redis-server does not answer: ", LastLine(log_path_)));
    }
    std::this_thread::sleep_for(kPollEvery);
  }
}

bool EmbeddedRedis::Reap() {
  if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) != 0) pid_ = -1;  // also ECHILD: somebody else reaped it
  return pid_ < 0;
}

EmbeddedRedis::~EmbeddedRedis() {
  if (pid_ > 0) {
    ::kill(pid_, SIGTERM);
    const auto deadline = steady_clock::now() + kStopWithin;
    while (!Reap() && steady_clock::now() < deadline) std::this_thread::sleep_for(kPollEvery);
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
  }
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  if (owner_fd_ >= 0) ::close(owner_fd_);
}

RedisTarget EmbeddedRedis::target() const {
  RedisTarget target;
  target.kind = RedisTarget::Kind::kUnix;
  target.host.clear();
  target.unix_path = unix_path_;
  return target;
}

}  // namespace tickbridge
