// SPDX-License-Identifier: Apache-2.0
// Goal: every form of address is understood, every wrong one refused, and no secret shows in what is said about either.
#include "sink/redis_target.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <string>

namespace tickbridge {
namespace {

using Kind = RedisTarget::Kind;

std::string Canonical(std::string_view url) {
  const absl::StatusOr<RedisTarget> target = ParseRedisUrl(url);
  return target.ok() ? target->Display() : std::string(target.status().message());
}

TEST(RedisTarget, ReadsEachFormOfUrl) {
  EXPECT_EQ(Canonical("redis://localhost"), "redis://localhost:6379/0");
  EXPECT_EQ(Canonical("redis://localhost/"), "redis://localhost:6379/0");
  EXPECT_EQ(Canonical("REDIS://10.0.0.1:7000/3"), "redis://10.0.0.1:7000/3");
  EXPECT_EQ(Canonical("redis://h:1?db=4"), "redis://h:1/4");
  EXPECT_EQ(Canonical("redis://bridge@h:1/2"), "redis://bridge@h:1/2");
  EXPECT_EQ(Canonical("redis://bridge:@h:1/2"), "redis://bridge@h:1/2");
  EXPECT_EQ(Canonical("redis://a%40b@h"), "redis://a%40b@h:6379/0");
  EXPECT_EQ(Canonical("rediss://prices.example:6380/1"), "rediss://prices.example:6380/1");
  EXPECT_EQ(Canonical("redis://[::1]:6390/2"), "redis://[::1]:6390/2");
  EXPECT_EQ(Canonical("redis://[fe80::1]"), "redis://[fe80::1]:6379/0");
  EXPECT_EQ(Canonical("unix:///run/redis/redis.sock"), "unix:///run/redis/redis.sock?db=0");
  EXPECT_EQ(Canonical("unix:///run/a:b@c.sock?db=5"), "unix:///run/a%3ab%40c.sock?db=5");
  EXPECT_EQ(Canonical("unix://me@/run/r.sock"), "unix://me@/run/r.sock?db=0");
  EXPECT_EQ(Canonical("embedded"), "embedded");

  const RedisTarget tls = *ParseRedisUrl("rediss://[::1]:1");
  EXPECT_TRUE(tls.tls);
  EXPECT_EQ(tls.kind, Kind::kTcp);
  EXPECT_EQ(tls.host, "::1");
  EXPECT_EQ(ParseRedisUrl("unix:///run/a%20b.sock?db=5")->unix_path, "/run/a b.sock");
  EXPECT_EQ(ParseRedisUrl("embedded")->kind, Kind::kEmbedded);
}

TEST(RedisTarget, DisplayReadsBackAsItself) {
  for (const char* url :
       {"redis://u%40x@[::1]:6390/2", "unix:///run/a:b@c%3f.sock?db=5", "rediss://h:1/0", "embedded"}) {
    const std::string once = Canonical(url);
    EXPECT_EQ(Canonical(once), once) << url;
  }
}

TEST(RedisTarget, RefusesWhatItCannotRead) {
  for (const char* url : {"",
                          "localhost:6379",
                          "http://h",
                          "redis://",
                          "redis://:6379",
                          "redis://h:",
                          "redis://h:0",
                          "redis://h:65536",
                          "redis://h:+1",
                          "redis://h:6379/x",
                          "redis://h:6379/-1",
                          "redis://h/99999999999",
                          "redis://h/0/1",
                          "redis://::1",
                          "redis://[::1",
                          "redis://[::1]6379",
                          "redis://a b",
                          "redis://h#x",
                          "redis://h?tls=1",
                          "unix://relative.sock",
                          "unix:///",
                          "unix:///run/%zz",
                          "unix:///run/%0a",
                          "redis://a%0ab@h",
                          "Embedded"}) {
    EXPECT_EQ(ParseRedisUrl(url).status().code(), absl::StatusCode::kInvalidArgument) << url;
  }
  const std::string message = Canonical("unix:///" + std::string(120, 'x'));
  EXPECT_NE(message.find("107"), std::string::npos) << message;
}

TEST(RedisTarget, SaysThatClusterAndSentinelAreNotThereYet) {
  for (const char* url : {"redis+cluster://h1:1,h2:2", "redis+sentinel://h1:26379,h2:26379/mymaster"}) {
    const absl::Status status = ParseRedisUrl(url).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
    EXPECT_NE(status.message().find("not supported by this version"), std::string::npos) << status;
  }
}

TEST(RedisTarget, RefusesAPasswordAndNeverRepeatsIt) {
  for (const char* url :
       {"redis://user:s3cret@h:6379/0", "redis://:s3cret@h", "rediss://u:s3cret@h", "redis://u:a@s3cret@h",
        "redis://u:a/s3cret@h:6379", "redis://u:a?s3cret@h", "redis://u:a#s3cret@h", "redis://h/0?password=s3cret",
        "unix:///run/r.sock?password=s3cret", "unix://u:s3cret@/run/r.sock", "redis://u%3as3cret@h"}) {
    const absl::Status status = ParseRedisUrl(url).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_NE(status.message().find("REDIS_PASSWORD"), std::string::npos) << status;
    EXPECT_EQ(status.message().find("s3cret"), std::string::npos) << status;
  }
  // Forms that are wrong in another way: no matter what is said, not this.
  for (const char* url : {"u:s3cret@h:6379", "redis:/u:s3cret@h", "http://u:s3cret@h", "redis://u:s3cret",
                          "redis+cluster://u:s3cret@h", "redis://h/s3cret", "redis://h?s3cret=1", "s3cret://h"}) {
    const absl::Status status = ParseRedisUrl(url).status();
    EXPECT_FALSE(status.ok()) << url;
    EXPECT_EQ(status.message().find("s3cret"), std::string::npos) << status;
  }
}

class ResolveRedisTargetTest : public testing::Test {
 protected:
  ResolveRedisTargetTest() {
    char name[] = "/tmp/tickbridge-target-XXXXXX";
    const int fd = ::mkstemp(name);
    EXPECT_GE(fd, 0);
    ::close(fd);
    file_ = name;
  }
  ~ResolveRedisTargetTest() override { ::unlink(file_.c_str()); }

  absl::StatusOr<RedisTarget> Resolve(std::string_view url = "", const std::string& password_file = "") {
    return ResolveRedisTarget(url, password_file, [this](const char* name) -> const char* {
      const auto found = env_.find(name);
      return found == env_.end() ? nullptr : found->second.c_str();
    });
  }
  void WriteFile(std::string_view text) { std::ofstream(file_, std::ios::binary) << text; }

  std::map<std::string, std::string> env_;
  std::string file_;
};

TEST_F(ResolveRedisTargetTest, PrefersTheUrlThenRedisUrlThenThePartsThenTheDefault) {
  EXPECT_EQ(Resolve()->Display(), "redis://127.0.0.1:6379/0");
  env_ = {{"REDIS_HOST", ""}, {"REDIS_PORT", ""}};
  EXPECT_EQ(Resolve()->Display(), "redis://127.0.0.1:6379/0");
  env_ = {{"REDIS_HOST", "::1"}, {"REDIS_PORT", "7001"}, {"REDIS_DB", "2"}};
  EXPECT_EQ(Resolve()->Display(), "redis://[::1]:7001/2");
  env_["REDIS_HOST"] = "[::1]";
  EXPECT_EQ(Resolve()->Display(), "redis://[::1]:7001/2");
  env_["REDIS_URL"] = "redis://other:1/9";
  EXPECT_EQ(Resolve()->Display(), "redis://other:1/9");
  EXPECT_EQ(Resolve("unix:///r.sock")->Display(), "unix:///r.sock?db=0");
}

TEST_F(ResolveRedisTargetTest, NamesTheVariableThatIsWrong) {
  for (const auto& [name, value] : std::map<std::string, std::string>{
           {"REDIS_URL", "redis://u:s3cret@h"}, {"REDIS_HOST", "a/b"}, {"REDIS_PORT", "x"}, {"REDIS_DB", "-1"}}) {
    env_ = {{name, value}};
    const absl::Status status = Resolve().status();
    EXPECT_TRUE(status.message().starts_with(name + ": ")) << status;
    EXPECT_EQ(status.message().find("s3cret"), std::string::npos) << status;
  }
}

TEST_F(ResolveRedisTargetTest, TakesThePasswordFromTheFileOrTheEnvironmentWhateverTheUrl) {
  env_ = {{"REDIS_PASSWORD", "from env"}};
  EXPECT_EQ(Resolve()->password, "from env");
  EXPECT_EQ(Resolve("redis://u@h")->password, "from env");
  WriteFile("from file\n");
  EXPECT_EQ(Resolve("redis://u@h", file_)->password, "from file");
  WriteFile("two\nlines\r\n");
  EXPECT_EQ(Resolve("", file_)->password, "two\nlines");
  WriteFile(" kept \r");
  EXPECT_EQ(Resolve("", file_)->password, " kept \r");
  EXPECT_EQ(Resolve("redis://u@h", file_)->Display(), "redis://u@h:6379/0");
  EXPECT_EQ(Resolve("embedded", file_)->password, "");
}

TEST_F(ResolveRedisTargetTest, NamesThePasswordFileThatCannotBeRead) {
  for (const std::string& path : {file_, file_ + ".absent", std::string("/tmp")}) {
    const absl::Status status = Resolve("", path).status();
    EXPECT_FALSE(status.ok()) << path;
    EXPECT_NE(status.message().find(path), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace tickbridge
