// SPDX-License-Identifier: Apache-2.0
// The simulated server beside a real redis-server: the same commands, the same replies, the same keys.
#include "tests/sim/server.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "sink/resp.h"
#include "tests/redis_server.h"
#include "tests/sim/random.h"

namespace tickbridge::sim {
namespace {

using Words = std::vector<std::string>;

// A raw connection to the real one, and one to the simulated.
class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    context_.reset(redisConnectUnix(redis_.socket().c_str()));
    ASSERT_EQ(context_->err, 0);
    client_ = server_.Accept();
  }

  // As RESP, both from the real one and from the simulated.
  std::string Real(const Words& words) {
    redisReply* const reply = RedisCall(context_.get(), words);
    const std::string text = Show(*reply);
    freeReplyObject(reply);
    return text;
  }
  std::string Simulated(const Words& words) {
    std::string command;
    const std::vector<std::string_view> views(words.begin(), words.end());
    resp::AppendCommand(&command, views);
    const std::string reply = server_.Receive(client_, command, 1);
    redisReader* const reader = redisReaderCreate();
    redisReaderFeed(reader, reply.data(), reply.size());
    void* parsed = nullptr;
    EXPECT_EQ(redisReaderGetReply(reader, &parsed), REDIS_OK);
    EXPECT_NE(parsed, nullptr) << words[0];
    std::string text = parsed == nullptr ? "" : Show(*static_cast<redisReply*>(parsed));
    freeReplyObject(parsed);
    redisReaderFree(reader);
    return text;
  }
  void ExpectSame(const Words& words) {
    // The real clock stands still for the simulated one while a command is compared.
    const std::string time = Real({"TIME"});
    server_.SetTime(std::stoll(time.substr(2)) * 1'000'000 + std::stoll(time.substr(time.find(' ') + 2)));
    EXPECT_EQ(Simulated(words), Real(words)) << words[0] << (words.size() > 1 ? " " + words[1] : "");
  }

  static std::string Show(const redisReply& reply) {
    switch (reply.type) {
      case REDIS_REPLY_INTEGER:
        return absl::StrCat(":", reply.integer);
      case REDIS_REPLY_NIL:
        return "(nil)";
      case REDIS_REPLY_ERROR:
        return absl::StrCat("-", std::string(reply.str, reply.len));
      case REDIS_REPLY_ARRAY: {
        std::string text;
        for (size_t i = 0; i < reply.elements; ++i) absl::StrAppend(&text, i == 0 ? "*" : " ", Show(*reply.element[i]));
        return text;
      }
      default:
        return absl::StrCat(reply.type == REDIS_REPLY_STATUS ? "+" : "$", std::string(reply.str, reply.len));
    }
  }

  struct Free {
    void operator()(redisContext* context) const { redisFree(context); }
  };
  RedisServer redis_;
  std::unique_ptr<redisContext, Free> context_;
  Server server_;
  Server::ClientId client_ = 0;
};

TEST_F(ServerTest, AnswersRandomCommandsAsTheRealOne) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Random random(seed);
  for (int i = 0; i < 20'000; ++i) {
    const std::string key = absl::StrCat("k", random.Below(20));
    const std::string value = absl::StrCat("{\"n\":", i, "}");
    // Lifetimes far off, or long past: what runs out in the middle of a comparison compares nothing.
    const auto life = static_cast<int64_t>(1'000 + random.Below(1'000));
    switch (random.Below(14)) {
      case 0:
        ExpectSame({"SETEX", key, absl::StrCat(life), value});
        break;
      case 1:
        ExpectSame({"PSETEX", key, absl::StrCat(life * 1000), value});
        break;
      case 2:
        ExpectSame({"SET", key, value, "PXAT", absl::StrCat(server_.time_ms() + life * 1000)});
        break;
      case 3:
        ExpectSame({"SET", key, value, "PXAT", absl::StrCat(server_.time_ms() - life * 1000)});
        break;
      case 4:
        ExpectSame({"SET", key, value});
        break;
      case 5:
        ExpectSame({"UNLINK", key});
        break;
      case 6:
        ExpectSame({"UNLINK", key, "k1", "k2"});
        break;
      case 7:
        ExpectSame({random.Chance(0.5) ? "PSETEX" : "SETEX", key, absl::StrCat(random.Between(-5, 0)), value});
        break;
      case 8:
        ExpectSame({"SETEX", key, "ten", value});
        break;
      case 9:
        ExpectSame({"PUBLISH", "c", value});
        break;
      case 10:
        ExpectSame({"NOSUCH", key, value});
        break;
      case 11:
        ExpectSame({"PING"});
        break;
      case 12:
        ExpectSame({"SETEX", key});
        ExpectSame({"GETRANGE", key, "0", random.Chance(0.5) ? "4" : "4095"});
        break;
      default:
        ExpectSame({"GET", key});
    }
  }
  for (int i = 0; i < 20; ++i) {
    const std::string key = absl::StrCat("k", i);
    ExpectSame({"GET", key});
    const int64_t real = std::stoll(Real({"PTTL", key}).substr(1));
    const int64_t simulated = std::stoll(Simulated({"PTTL", key}).substr(1));
    // The real clock went on since the key was set by the simulated one's.
    EXPECT_NEAR(static_cast<double>(real), static_cast<double>(simulated), 1000) << key;
    EXPECT_EQ(real < 0, simulated < 0) << key;
  }
}

TEST_F(ServerTest, HoldsTheHandshakeAsTheRealOne) {
  ExpectSame({"CLIENT", "SETNAME", "tickbridge:test:0"});
  ExpectSame({"SELECT", "0"});
  for (Words command : {Words{"CLIENT", "ID"}, Words{"CLIENT", "LIST"}, Words{"INFO", "server"}, Words{"TIME"}}) {
    EXPECT_EQ(Simulated(command)[0], Real(command)[0]) << command[0];
  }
  EXPECT_NE(Real({"CLIENT", "LIST"}).find(" name=tickbridge:test:0 "), std::string::npos);
  EXPECT_NE(Simulated({"CLIENT", "LIST"}).find(" name=tickbridge:test:0 "), std::string::npos);
  // Nobody has that id.
  ExpectSame({"CLIENT", "KILL", "ID", "999999", "ADDR", "1.2.3.4:5"});
}

TEST_F(ServerTest, CarriesOutWhatComesInPieces) {
  std::string commands;
  for (int i = 0; i < 50; ++i) {
    resp::AppendCommand(&commands, {"SETEX", "k", "1000", std::string(static_cast<size_t>(i), 'x')});
  }
  std::string replies;
  for (const char c : commands) replies += server_.Receive(client_, std::string_view(&c, 1), 10);
  EXPECT_EQ(replies.size(), 50 * 5u);
  EXPECT_EQ(server_.Find("k")->value, std::string(49, 'x'));
}

}  // namespace
}  // namespace tickbridge::sim
