// SPDX-License-Identifier: Apache-2.0
// The lane against a real redis-server.
#include "sink/lane.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/sink/lane_fixture.h"

namespace tickbridge {
namespace {

constexpr char kQuoteValue[] =
    R"({"Last":null,"Bid":1.0,"Ask":2.5,"Volume":null,"High":null,"Low":null,"Timestamp":1700000000000})";

TEST_F(LaneTest, WritesTheNewestValueWithItsLifetime) {
  Quote("MNQZ5", 50, 60);
  Quote("MNQZ5", 100, 250);
  ASSERT_TRUE(Drain());
  EXPECT_EQ(redis_.Call({"GET", "price:MNQZ5:latest"}), kQuoteValue);
  const int64_t left_ms = std::stoll(redis_.Call({"PTTL", "price:MNQZ5:latest"}));
  EXPECT_GT(left_ms, 3000);
  EXPECT_LE(left_ms, 5000);
  EXPECT_EQ(lane_->counts().written->Get(), 1u);
  EXPECT_EQ(lane_->counts().conflated->Get(), 1u);
}

TEST_F(LaneTest, WritesAndDeletesDocuments) {
  Document("positions", "A1", R"({"qty":2})");
  ASSERT_TRUE(Drain());
  EXPECT_EQ(redis_.Call({"GET", "hft:positions:A1:all"}), R"({"qty":2})");
  Batch();
  Document("positions", "A1", "", true);
  ASSERT_TRUE(Drain());
  EXPECT_EQ(redis_.Call({"EXISTS", "hft:positions:A1:all"}), "0");
}

TEST_F(LaneTest, SendsNothingThatIsTooOld) {
  ingest_->BeginBatch(source_, clock_.Now() - 6 * kNsPerSec);
  Quote("OLD", 1, 2);
  ingest_->BeginBatch(source_, clock_.Now() - 3 * kNsPerSec);
  Quote("LATE", 1, 2);
  ASSERT_TRUE(Drain());
  EXPECT_EQ(lane_->counts().expired->Get(), 1u);
  EXPECT_EQ(lane_->counts().written->Get(), 1u);
  EXPECT_EQ(redis_.Call({"EXISTS", "price:OLD:latest"}), "0");
  const int64_t left_ms = std::stoll(redis_.Call({"PTTL", "price:LATE:latest"}));
  EXPECT_GT(left_ms, 0);
  EXPECT_LE(left_ms, 2000);
}

TEST_F(LaneTest, SendsEverythingAgainToAServerThatForgotIt) {
  std::vector<KeyClass> classes = DefaultKeyClasses();
  classes[0].ttl_ns = 600 * kNsPerSec;
  classes[1].ttl_ns = 600 * kNsPerSec;
  Build(std::move(classes), Lane::Options{});
  for (int i = 0; i < 500; ++i) Quote("S" + std::to_string(i), i, i + 1);
  Document("positions", "A1", "[1]");
  ASSERT_TRUE(Drain());
  redis_.Kill();
  redis_.Start();
  ASSERT_TRUE(WaitFor([this] {
    lane_->DoWork();
    return redis_.Call({"DBSIZE"}) == "501";
  }));
  EXPECT_TRUE(WaitFor([this] {
    lane_->DoWork();
    return lane_->counts().acks->Get() == 1002;
  }));
  EXPECT_EQ(lane_->counts().resent->Get(), 501u);
  EXPECT_EQ(lane_->counts().written->Get(), 501u);
  EXPECT_EQ(redis_.Call({"GET", "hft:positions:A1:all"}), "[1]");
}

TEST_F(LaneTest, LosesNothingWhenConnectionsAreCut) {
  for (int round = 0; round < 50; ++round) {
    Batch();
    for (int i = 0; i < 200; ++i) Quote("S" + std::to_string(i), round, round + 1);
    lane_->DoWork();
    if (round % 3 == 0) redis_.Call({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
  }
  ASSERT_TRUE(Drain());
  for (int i = 0; i < 200; ++i) {
    EXPECT_NE(redis_.Call({"GET", "price:S" + std::to_string(i) + ":latest"}).find("\"Bid\":0.49,\"Ask\":0.5,"),
              std::string::npos);
  }
}

TEST_F(LaneTest, KeepsWhatATransientErrorRefusedAndSaysSoOnce) {
  redis_.Call({"CONFIG", "SET", "maxmemory", "1"});
  Quote("MNQZ5", 100, 250);
  ASSERT_TRUE(WaitFor([this] {
    lane_->DoWork();
    return lane_->counts().errors->Get() >= 2;
  }));
  EXPECT_EQ(lane_->state(), Lane::State::kBackingOff);
  EXPECT_EQ(lane_->last_error().substr(0, 3), "OOM");
  redis_.Call({"CONFIG", "SET", "maxmemory", "0"});
  Batch();
  Quote("MNQZ5", 100, 250);
  ASSERT_TRUE(Drain());
  EXPECT_EQ(redis_.Call({"GET", "price:MNQZ5:latest"}), kQuoteValue);
  EXPECT_EQ(lane_->state(), Lane::State::kUp);
}

TEST_F(LaneTest, CountsAPermanentErrorAsFailedAndGoesOn) {
  redis_.Call({"ACL", "SETUSER", "default", "resetkeys", "~price:GOOD:*"});
  Quote("BAD", 1, 2);
  Quote("GOOD", 100, 250);
  ASSERT_TRUE(Drain());
  EXPECT_EQ(lane_->counts().failed->Get(), 1u);
  EXPECT_EQ(lane_->counts().written->Get(), 1u);
  EXPECT_EQ(redis_.Call({"GET", "price:GOOD:latest"}), kQuoteValue);
}

TEST_F(LaneTest, EndsThePredecessorsOfItsName) {
  RedisServer& server = redis_;
  Quote("A", 1, 2);
  ASSERT_TRUE(Drain());
  RedisConnector::Options connect;
  connect.target.unix_path = server.socket();
  connect.client_name = "tickbridge:test:0";
  const std::unique_ptr<RedisConnector> second = *RedisConnector::Create(connect);
  std::optional<absl::Status> outcome;
  second->Connect();
  ASSERT_TRUE(WaitFor([&] { return (outcome = second->Poll()).has_value(); }));
  ASSERT_TRUE(outcome->ok()) << *outcome;
  EXPECT_EQ(lane_->counts().reconnects->Get(), 0u);
  second->Fence();
  ASSERT_TRUE(WaitFor([&] { return (outcome = second->Poll()).has_value(); }));
  ASSERT_TRUE(outcome->ok()) << *outcome;
  EXPECT_TRUE(second->Take().server.fenced);
  EXPECT_TRUE(WaitFor([this] {
    lane_->DoWork();
    return lane_->counts().reconnects->Get() == 1;
  }));
}

TEST_F(LaneTest, RefreshesAQuietSymbolWhileItsSourceLives) {
  std::vector<KeyClass> classes = DefaultKeyClasses();
  classes[0].ttl_ns = kNsPerSec / 2;
  classes[0].refresh = true;
  Build(std::move(classes), Lane::Options{});
  Quote("MNQZ5", 100, 250);
  ASSERT_TRUE(WaitFor([this] {
    lane_->DoWork();
    return lane_->counts().refreshed->Get() >= 4;
  }));
  EXPECT_TRUE(WaitFor([this] {  // a machine that stalls longer than the lifetime sees it vanish and come back
    lane_->DoWork();
    return redis_.Call({"GET", "price:MNQZ5:latest"}) == kQuoteValue;
  }));
  EXPECT_EQ(lane_->counts().written->Get(), 1u);
  sources_->Close(source_);
  EXPECT_TRUE(WaitFor([this] {
    lane_->DoWork();
    return redis_.Call({"EXISTS", "price:MNQZ5:latest"}) == "0";
  }));
}

TEST_F(LaneTest, RefreshesAQuietSymbolAlsoWhereOthersTakeAllThereIs) {
  std::vector<KeyClass> classes = DefaultKeyClasses();
  classes[0].ttl_ns = kNsPerSec / 2;
  classes[0].refresh = true;
  Lane::Options options;
  options.share = 1.0;
  options.max_in_flight = 64;
  Build(std::move(classes), std::move(options));
  Quote("QUIET", 100, 250);
  EXPECT_TRUE(WaitFor([this] {
    Batch();
    for (int i = 0; i < 300; ++i) Quote("BUSY" + std::to_string(i), i, i + 1);
    lane_->DoWork();
    return lane_->counts().refreshed->Get() >= 4;
  }));
}

// Below 1 a share measures the line before it sends, time and again.
TEST_F(LaneTest, WritesOverALineOfAQuarterOfASecond) {
  line_delay_ns_ = 250 * kNsPerMs;
  Build(DefaultKeyClasses(), Lane::Options{});
  for (int i = 0; i < 600; ++i) Quote("S" + std::to_string(i), i, i + 1);
  const uint64_t begin = lane_->counts().acks->Get();
  ASSERT_TRUE(Drain());
  EXPECT_EQ(lane_->counts().acks->Get() - begin, 600u);
}

TEST_F(LaneTest, BoundsTheRateOfAKeyAndStillSendsItsLastValue) {
  std::vector<KeyClass> classes = DefaultKeyClasses();
  classes[0].min_interval_ns = 50 * kNsPerMs;
  Build(std::move(classes), Lane::Options{});
  const MonoNs end = clock_.Now() + 220 * kNsPerMs;
  int64_t value = 0;
  while (clock_.Now() < end) {
    Batch();
    ++value;
    Quote("MNQZ5", value, value + 1);
    lane_->DoWork();
  }
  ASSERT_TRUE(Drain());
  EXPECT_LE(lane_->counts().writes->Get(), 6u);
  EXPECT_GE(lane_->counts().writes->Get(), 2u);
  EXPECT_EQ(lane_->counts().written->Get() + lane_->counts().conflated->Get(), static_cast<uint64_t>(value));
}

TEST_F(LaneTest, PublishesAfterTheSet) {
  std::vector<KeyClass> classes = DefaultKeyClasses();
  classes[0].publish = *KeyPattern::Parse("price.{symbol}");
  Build(std::move(classes), Lane::Options{});
  redisContext* subscriber = redisConnectUnix(redis_.socket().c_str());
  ASSERT_EQ(subscriber->err, 0);
  freeReplyObject(redisCommand(subscriber, "SUBSCRIBE price.MNQZ5"));
  Quote("MNQZ5", 100, 250);
  ASSERT_TRUE(Drain());
  redisReply* message = nullptr;
  ASSERT_EQ(redisGetReply(subscriber, reinterpret_cast<void**>(&message)), REDIS_OK);
  ASSERT_EQ(message->elements, 3u);
  EXPECT_STREQ(message->element[2]->str, kQuoteValue);
  freeReplyObject(message);
  redisFree(subscriber);
}

TEST_F(LaneTest, SendsAndPublishesDocumentsOfTheLargestSize) {
  std::vector<KeyClass> classes = DefaultKeyClasses();
  classes[1].publish = *KeyPattern::Parse("positions.{account}");
  Build(std::move(classes), Lane::Options{});
  const std::string value = '"' + std::string(limits::kDocumentBytesMax - 2, 'x') + '"';
  for (int round = 0; round < 3; ++round) {
    Batch();
    for (int i = 0; i < 8; ++i) Document("positions", "A" + std::to_string(i), value);
    for (int i = 0; i < 500; ++i) Quote("S" + std::to_string(i), i, i + 1);
    ASSERT_TRUE(Drain());
  }
  EXPECT_EQ(redis_.Call({"STRLEN", "hft:positions:A7:all"}), std::to_string(limits::kDocumentBytesMax));
  EXPECT_EQ(lane_->counts().written->Get(), 3 * 508u);
}

TEST_F(LaneTest, FreesDocumentsThatHaveExpiredAndCountsThemOnce) {
  std::vector<KeyClass> classes = DefaultKeyClasses();
  classes[1].ttl_ns = 50 * kNsPerMs;
  Build(std::move(classes), Lane::Options{});
  for (int round = 0; round < 3; ++round) {
    Batch();
    for (int i = 0; i < 1000; ++i) Document("positions", std::to_string(round) + "-" + std::to_string(i), "1");
    ASSERT_TRUE(Drain());
    // As many again would not fit beside them.
    ASSERT_TRUE(WaitFor([this] {
      lane_->DoWork();
      return documents_->size() == 0;
    }));
  }
  EXPECT_EQ(lane_->counts().written->Get() + lane_->counts().expired->Get(), 3000u);
  EXPECT_EQ(ingest_->counts().accepted->Get(), 3000u);
}

TEST_F(LaneTest, KeepsAFeedsKeyAliveWhileTheFeedLives) {
  bool alive = true;
  Lane::Options options;
  options.beacons.push_back({"test", "feed:test:alive", kNsPerSec / 4, [&](MonoNs) { return alive; }});
  Build(DefaultKeyClasses(), std::move(options));
  ASSERT_TRUE(WaitFor([this] {
    lane_->DoWork();
    return lane_->counts().beacons->Get() >= 6;
  }));
  EXPECT_EQ(redis_.Call({"EXISTS", "feed:test:alive"}), "1");
  alive = false;
  EXPECT_TRUE(WaitFor([this] {
    lane_->DoWork();
    return redis_.Call({"EXISTS", "feed:test:alive"}) == "0";
  }));
}

TEST_F(LaneTest, ShowsNothingOfACommandThatTheServerRepeats) {
  RedisServer server({"--rename-command", "SETEX", "", "--rename-command", "PSETEX", ""});
  server_ = &server;
  Build(DefaultKeyClasses(), Lane::Options{});
  Document("token", "APEX", "SECRET-SECRET");
  ASSERT_TRUE(Drain());
  EXPECT_EQ(lane_->counts().failed->Get(), 1u);
  EXPECT_EQ(lane_->last_error().substr(0, 21), "ERR unknown command '");
  EXPECT_EQ(lane_->last_error().find("SECRET"), std::string::npos);
  EXPECT_EQ(lane_->last_error().find("APEX"), std::string::npos);
}

TEST_F(LaneTest, WorksUnfencedWhereClientWasTakenAway) {
  RedisServer server({"--rename-command", "CLIENT", "", "--rename-command", "INFO", ""});
  server_ = &server;
  Build(DefaultKeyClasses(), Lane::Options{});
  Quote("MNQZ5", 100, 250);
  ASSERT_TRUE(Drain());
  EXPECT_EQ(server.Call({"GET", "price:MNQZ5:latest"}), kQuoteValue);
  EXPECT_EQ(lane_->state(), Lane::State::kUnfenced);
}

TEST_F(LaneTest, SaysThatTheServerStallsAndCatchesUpWhenItWakes) {
  Lane::Options options;
  options.ack_timeout_ns = 50 * kNsPerMs;
  Build(DefaultKeyClasses(), std::move(options));
  Quote("MNQZ5", 1, 2);
  ASSERT_TRUE(Drain());
  redis_.Signal(SIGSTOP);
  int64_t value = 0;
  ASSERT_TRUE(WaitFor([this, &value] {
    Batch();
    ++value;
    Quote("MNQZ5", value, value + 1);
    lane_->DoWork();
    return lane_->state() == Lane::State::kStalled;
  }));
  Batch();
  Quote("MNQZ5", 100, 250);
  redis_.Signal(SIGCONT);
  ASSERT_TRUE(Drain());
  EXPECT_EQ(lane_->state(), Lane::State::kUp);
  EXPECT_EQ(redis_.Call({"GET", "price:MNQZ5:latest"}), kQuoteValue);
}

}  // namespace
}  // namespace tickbridge
