// SPDX-License-Identifier: Apache-2.0
// Goal: replies and errors of a real server arrive as they are, and no error repeats the password.
#include "tools/redis_client.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tools/embedded_redis.h"

namespace tickbridge {
namespace {

constexpr int64_t kTimeoutNs = 5'000'000'000;

class RedisClientTest : public testing::Test {
 protected:
  void SetUp() override {
    ::signal(SIGPIPE, SIG_IGN);
    auto redis = EmbeddedRedis::Start();
    ASSERT_TRUE(redis.ok()) << redis.status();
    redis_ = *std::move(redis);
  }
  RedisClient Connect() {
    auto client = RedisClient::Connect(redis_->target(), kTimeoutNs);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  std::unique_ptr<EmbeddedRedis> redis_;
};

TEST_F(RedisClientTest, ReadsEachKindOfReply) {
  RedisClient client = Connect();
  EXPECT_EQ(client.Command({"SET", "k", std::string_view("a\0b", 3)})->str, "OK");
  EXPECT_EQ(client.Command({"GET", "k"})->str, std::string("a\0b", 3));
  EXPECT_EQ(client.Command({"GET", "absent"})->type, Reply::Type::kNil);
  EXPECT_EQ(client.Command({"STRLEN", "k"})->integer, 3);
  const auto many = client.Command({"MGET", "k", "absent"});
  ASSERT_TRUE(many.ok());
  ASSERT_EQ(many->elements.size(), 2U);
  EXPECT_EQ(many->elements[0].type, Reply::Type::kString);
  EXPECT_EQ(many->elements[1].type, Reply::Type::kNil);
}

TEST_F(RedisClientTest, GoesOnAfterAnErrorReply) {
  RedisClient client = Connect();
  client.Command({"SET", "k", "v"}).IgnoreError();
  const absl::Status status = client.Command({"LPUSH", "k", "v"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("WRONGTYPE"), std::string::npos) << status;
  EXPECT_EQ(client.Command({"GET", "k"})->str, "v");
  EXPECT_FALSE(client.Pipeline(std::vector<std::vector<std::string>>{{"LPUSH", "k", "v"}, {"GET", "k"}}).ok());
  EXPECT_EQ(client.Pipeline(std::vector<std::vector<std::string>>{{"GET", "k"}, {"TTL", "k"}})->at(1).integer, -1);
}

TEST_F(RedisClientTest, SelectsTheDatabase) {
  RedisTarget target = redis_->target();
  target.db = 3;
  auto client = RedisClient::Connect(target, kTimeoutNs);
  ASSERT_TRUE(client.ok()) << client.status();
  client->Command({"SET", "k", "v"}).IgnoreError();
  EXPECT_EQ(Connect().Command({"GET", "k"})->type, Reply::Type::kNil);
  target.db = 99;
  EXPECT_EQ(RedisClient::Connect(target, kTimeoutNs).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(RedisClientTest, AuthenticatesAndNeverRepeatsThePassword) {
  RedisClient admin = Connect();
  ASSERT_TRUE(admin.Command({"ACL", "SETUSER", "bridge", "on", ">s3cret", "~*", "+@all"}).ok());
  ASSERT_TRUE(admin.Command({"CONFIG", "SET", "requirepass", "s3cret"}).ok());

  RedisTarget target = redis_->target();
  const auto without = RedisClient::Connect(target, kTimeoutNs)->Command({"GET", "k"}).status();
  EXPECT_EQ(without.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_NE(without.message().find("REDIS_PASSWORD"), std::string::npos) << without;

  target.password = "s3cret";
  EXPECT_TRUE(RedisClient::Connect(target, kTimeoutNs)->Command({"PING"}).ok());
  target.user = "bridge";
  EXPECT_TRUE(RedisClient::Connect(target, kTimeoutNs)->Command({"PING"}).ok());
  target.password = "s3cret wrong";
  const absl::Status wrong = RedisClient::Connect(target, kTimeoutNs).status();
  EXPECT_EQ(wrong.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(wrong.message().find("s3cret"), std::string::npos) << wrong;
}

TEST_F(RedisClientTest, SaysWhatIsNotThere) {
  const std::string path = redis_->unix_path();
  RedisClient client = Connect();
  const RedisTarget target = redis_->target();
  redis_.reset();
  EXPECT_EQ(client.Command({"PING"}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(client.Command({"PING"}).status().code(), absl::StatusCode::kUnavailable);
  const absl::Status status = RedisClient::Connect(target, kTimeoutNs).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(status.message().find(path), std::string::npos) << status;
  EXPECT_EQ(RedisClient::Connect(*ParseRedisUrl("embedded"), kTimeoutNs).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// A server that hides AUTH answers it with the arguments in clear; and one that is silent must not hold us up.
class FakeServer {
 public:
  explicit FakeServer(std::string answer) : answer_(std::move(answer)) {
    char folder[] = "/tmp/tickbridge-fake-XXXXXX";
    folder_ = ::mkdtemp(folder);
    target_.kind = RedisTarget::Kind::kUnix;
    target_.unix_path = folder_ + "/s";
    target_.password = "s3cret";
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, target_.unix_path.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    thread_ = std::thread([this] {
      const int fd = ::accept(listener_, nullptr, nullptr);
      char buffer[512];
      while (::read(fd, buffer, sizeof(buffer)) > 0) {
        if (!answer_.empty()) (void)!::write(fd, answer_.data(), answer_.size());
      }
      ::close(fd);
    });
  }
  ~FakeServer() {
    thread_.join();
    ::close(listener_);
    ::unlink(target_.unix_path.c_str());
    ::rmdir(folder_.c_str());
  }
  const RedisTarget& target() const { return target_; }

 private:
  std::string answer_;
  std::string folder_;
  RedisTarget target_;
  int listener_ = -1;
  std::thread thread_;
};

TEST(RedisClient, DoesNotRepeatThePasswordThatAServerWithoutAuthRepeats) {
  const FakeServer server("-ERR unknown command 'AUTH', with args beginning with: 's3cret'\r\n");
  const absl::Status status = RedisClient::Connect(server.target(), kTimeoutNs).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(status.message().find("s3cret"), std::string::npos) << status;
}

TEST(RedisClient, GivesUpOnASilentServer) {
  const FakeServer server("");
  EXPECT_EQ(RedisClient::Connect(server.target(), 20'000'000).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace tickbridge
