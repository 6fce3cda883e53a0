// SPDX-License-Identifier: Apache-2.0
// A private redis-server for a test, on a Unix socket in a fresh folder; stopped and removed with the object.
#pragma once

#include <hiredis/hiredis.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace tickbridge {

// Calls `condition` until it is true or the deadline has passed.
template <typename Condition>
bool WaitFor(Condition condition, std::chrono::seconds deadline = std::chrono::seconds(30)) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
  }
  return true;
}

// The reply to a command, the caller's to free; null where the connection broke.
inline redisReply* RedisCall(redisContext* context, const std::vector<std::string>& words) {
  std::vector<const char*> arguments;
  std::vector<size_t> sizes;
  for (const std::string& word : words) {
    arguments.push_back(word.data());
    sizes.push_back(word.size());
  }
  return static_cast<redisReply*>(
      redisCommandArgv(context, static_cast<int>(words.size()), arguments.data(), sizes.data()));
}

class RedisServer {
 public:
  // `program`: another server of the same kind.
  explicit RedisServer(std::vector<std::string> extra = {}, std::string program = "redis-server")
      : extra_(std::move(extra)), program_(std::move(program)) {
    char folder[] = "/tmp/tb-test-XXXXXX";
    if (::mkdtemp(folder) == nullptr) throw std::runtime_error("mkdtemp");
    folder_ = folder;
    Start();
  }
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;
  ~RedisServer() {
    Kill();
    std::filesystem::remove_all(folder_);
  }

  void Start() {
    std::vector<std::string> words = {program_, "--port",     "0",       "--unixsocket", socket(),
                                      "--save", "",           "--dir",   folder_,        "--appendonly",
                                      "no",     "--loglevel", "warning", "--logfile",    folder_ + "/log"};
    words.insert(words.end(), extra_.begin(), extra_.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // also where a test ends by a signal
      ::execvp(arguments[0], arguments.data());
      ::_exit(127);
    }
    if (!WaitFor([this] { return Try({"PING"}) == "PONG"; })) throw std::runtime_error(program_ + " did not start");
  }
  void Signal(int number) const { ::kill(pid_, number); }
  void Kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGCONT);
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
    client_.reset();
    std::filesystem::remove(socket());
  }

  pid_t pid() const { return pid_; }
  std::string socket() const { return folder_ + "/redis.sock"; }
  const std::string& folder() const { return folder_; }

  // The reply as text; integers in decimal, nil as "(nil)", errors with "-" before them.
  std::string Call(std::vector<std::string> words) {
    const std::string reply = Try(words);
    if (reply == "(no answer)") throw std::runtime_error("redis-server does not answer " + words[0]);
    return reply;
  }

 private:
  struct ContextDeleter {
    void operator()(redisContext* context) const { redisFree(context); }
  };

  std::string Try(std::vector<std::string> words) {
    if (client_ == nullptr || client_->err != 0) client_.reset(redisConnectUnix(socket().c_str()));
    if (client_ == nullptr || client_->err != 0) return "(no answer)";
    redisReply* const reply = RedisCall(client_.get(), words);
    if (reply == nullptr) return "(no answer)";
    std::string text = reply->type == REDIS_REPLY_NIL       ? "(nil)"
                       : reply->type == REDIS_REPLY_INTEGER ? std::to_string(reply->integer)
                       : reply->str != nullptr              ? std::string(reply->str, reply->len)
                                                            : "";
    if (reply->type == REDIS_REPLY_ERROR) text.insert(0, "-");
    freeReplyObject(reply);
    return text;
  }

  std::string folder_;
  std::vector<std::string> extra_;
  std::string program_;
  pid_t pid_ = -1;
  std::unique_ptr<redisContext, ContextDeleter> client_;
};

}  // namespace tickbridge
