// SPDX-License-Identifier: Apache-2.0
// Goal: the private server is there when Start returns, and nothing of it is left afterwards, however it ends.
// Method: a real redis-server; where something has to happen in time, polling with a deadline.
#include "tools/embedded_redis.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "tools/redis_client.h"

namespace tickbridge {
namespace {

bool Within(std::chrono::seconds limit, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

// Gone, or dead and waiting for a parent that will not come.
bool Ended(pid_t pid) {
  if (::kill(pid, 0) != 0) return errno == ESRCH;
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text);
  return text.empty() || text.find(") Z ") != std::string::npos;
}

// Sets a variable while it lives.
class ScopedEnv {
 public:
  ScopedEnv(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    ::setenv(name, value.c_str(), 1);
  }
  ~ScopedEnv() { before_.empty() ? ::unsetenv(name_) : ::setenv(name_, before_.c_str(), 1); }

 private:
  const char* name_;
  std::string before_;
};

TEST(EmbeddedRedis, AnswersAtOnceAndLeavesNothing) {
  auto redis = EmbeddedRedis::Start();
  ASSERT_TRUE(redis.ok()) << redis.status();
  const pid_t pid = (*redis)->pid();
  const std::filesystem::path folder = std::filesystem::path((*redis)->unix_path()).parent_path();
  {
    auto client = RedisClient::Connect((*redis)->target(), 5'000'000'000);
    ASSERT_TRUE(client.ok()) << client.status();
    EXPECT_EQ(client->Command({"SET", "k", "v"})->str, "OK");
    EXPECT_EQ(client->Command({"GET", "k"})->str, "v");
    const auto config = client->Command({"CONFIG", "GET", "save"});
    ASSERT_TRUE(config.ok());
    EXPECT_EQ(config->elements.at(1).str, "");
    EXPECT_EQ(client->Command({"CONFIG", "GET", "port"})->elements.at(1).str, "0");
  }
  struct stat info{};
  ASSERT_EQ(::stat(folder.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
  redis->reset();
  EXPECT_TRUE(Ended(pid));
  EXPECT_FALSE(std::filesystem::exists(folder));
}

TEST(EmbeddedRedis, IsNotInTheGroupThatCtrlCReaches) {
  auto redis = EmbeddedRedis::Start();
  ASSERT_TRUE(redis.ok()) << redis.status();
  EXPECT_EQ(::getpgid((*redis)->pid()), (*redis)->pid());
  EXPECT_NE(::getpgid((*redis)->pid()), ::getpgrp());
}

TEST(EmbeddedRedis, StopsAServerThatIsStopped) {
  auto redis = EmbeddedRedis::Start();
  ASSERT_TRUE(redis.ok()) << redis.status();
  const pid_t pid = (*redis)->pid();
  ::kill(pid, SIGSTOP);
  redis->reset();  // SIGTERM waits for a SIGCONT that never comes
  EXPECT_TRUE(Ended(pid));
}

TEST(EmbeddedRedis, DiesWithAProcessThatIsKilled) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t parent = ::fork();
  if (parent == 0) {
    auto redis = EmbeddedRedis::Start();
    const pid_t pid = redis.ok() ? (*redis)->pid() : 0;
    const bool written = ::write(pipe_ends[1], &pid, sizeof(pid)) == sizeof(pid) &&
                         ::write(pipe_ends[1], (*redis)->unix_path().c_str(), (*redis)->unix_path().size() + 1) > 0;
    if (written) ::pause();
    ::_exit(1);
  }
  ::close(pipe_ends[1]);
  pid_t child = 0;
  char path[128] = {};
  ASSERT_EQ(::read(pipe_ends[0], &child, sizeof(child)), static_cast<ssize_t>(sizeof(child)));
  ASSERT_GT(child, 0);
  ASSERT_GT(::read(pipe_ends[0], path, sizeof(path) - 1), 0);
  ::close(pipe_ends[0]);
  EXPECT_FALSE(Ended(child));
  ::kill(parent, SIGKILL);
  ASSERT_EQ(::waitpid(parent, nullptr, 0), parent);
  EXPECT_TRUE(Within(std::chrono::seconds(10), [&] { return Ended(child); }));
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  EXPECT_TRUE(std::filesystem::exists(folder));
  EXPECT_TRUE(EmbeddedRedis::Start().ok());
  EXPECT_FALSE(std::filesystem::exists(folder)) << "the next start sweeps it";
}

TEST(EmbeddedRedis, SweepsOnlyFoldersOfItsOwnDead) {
  char tmp[] = "/tmp/tb-sweep-XXXXXX";
  ASSERT_NE(::mkdtemp(tmp), nullptr);
  const std::filesystem::path root = tmp;
  {
    const ScopedEnv tmpdir("TMPDIR", tmp);
    auto living = EmbeddedRedis::Start();
    ASSERT_TRUE(living.ok()) << living.status();
    for (const char* name : {"tickbridge-redis-abcdef", "tickbridge-redis-abcdefg", "tickbridge-redis-noownr",
                             "tickbridge-redix-abcdef"}) {
      std::filesystem::create_directory(root / name);
    }
    for (const char* name : {"tickbridge-redis-abcdef", "tickbridge-redis-abcdefg", "tickbridge-redix-abcdef"}) {
      std::ofstream(root / name / "owner") << "";
    }
    // A link to a folder is not a folder.
    std::filesystem::create_directory(root / "elsewhere");
    std::ofstream(root / "elsewhere" / "owner") << "";
    std::filesystem::create_directory_symlink(root / "elsewhere", root / "tickbridge-redis-linked");

    auto next = EmbeddedRedis::Start();
    ASSERT_TRUE(next.ok()) << next.status();
    EXPECT_FALSE(std::filesystem::exists(root / "tickbridge-redis-abcdef"));
    for (const char* name : {"tickbridge-redis-abcdefg", "tickbridge-redis-noownr", "tickbridge-redix-abcdef",
                             "elsewhere/owner", "tickbridge-redis-linked"}) {
      EXPECT_TRUE(std::filesystem::exists(root / name)) << name;
    }
    EXPECT_TRUE(std::filesystem::exists((*living)->unix_path()));
    EXPECT_TRUE(RedisClient::Connect((*living)->target(), 5'000'000'000).ok());
  }
  std::filesystem::remove_all(root);
}

TEST(EmbeddedRedis, NamesThePackageWhereTheProgramIsMissing) {
  const ScopedEnv path("PATH", "/nonexistent");
  const absl::Status status = EmbeddedRedis::Start().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find("Debian's package redis-server"), std::string::npos) << status;
}

TEST(EmbeddedRedis, SaysWhyAServerDidNotStart) {
  char folder[] = "/tmp/tickbridge-fake-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string program = std::string(folder) + "/redis-server";
  std::ofstream(program) << "#!/bin/sh\necho first\necho out of luck >&2\nexit 3\n";
  ::chmod(program.c_str(), 0755);
  {
    const ScopedEnv path("PATH", folder);
    const absl::Status status = EmbeddedRedis::Start().status();
    EXPECT_NE(status.message().find("out of luck"), std::string::npos) << status;
  }
  std::filesystem::remove_all(folder);
}

TEST(EmbeddedRedis, FallsBackWhereTheTemporaryFolderIsTooDeepForASocket) {
  const std::string deep = "/tmp/" + std::string(100, 'd');
  std::filesystem::create_directories(deep);
  const ScopedEnv tmpdir("TMPDIR", deep);
  auto redis = EmbeddedRedis::Start();
  ASSERT_TRUE(redis.ok()) << redis.status();
  EXPECT_LE((*redis)->unix_path().size(), 107U);
  std::filesystem::remove_all(deep);
}

}  // namespace
}  // namespace tickbridge
