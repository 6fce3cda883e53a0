// SPDX-License-Identifier: Apache-2.0
#include "tools/embedded_redis.h"

#include <fcntl.h>
#include <signal.h>
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

absl::StatusOr<std::string> MakeFolder() {
  const char* const given = std::getenv("TMPDIR");
  std::string name = absl::StrCat(given == nullptr || *given == '\0' ? "/tmp" : given, "/tickbridge-redis-XXXXXX");
  if (name.size() + kSocketName.size() > kUnixPathBytesMax) name = "/tmp/tickbridge-redis-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("cannot make a folder ", name));
  return name;
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
  absl::StatusOr<std::string> folder = MakeFolder();
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
}

RedisTarget EmbeddedRedis::target() const {
  RedisTarget target;
  target.kind = RedisTarget::Kind::kUnix;
  target.host.clear();
  target.unix_path = unix_path_;
  return target;
}

}  // namespace tickbridge
