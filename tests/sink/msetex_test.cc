// SPDX-License-Identifier: Apache-2.0
// MSETEX against a real server that has it: what bench/build_valkey builds, or TICKBRIDGE_VALKEY_SERVER. Without one
// these tests are skipped; the simulation's server has the command, too.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/sink/lane_fixture.h"

namespace tickbridge {
namespace {

std::string Getenv(const char* name) {
  const char* const text = std::getenv(name);
  return text == nullptr ? "" : text;
}

std::string ValkeyServer() {
  if (const std::string given = Getenv("TICKBRIDGE_VALKEY_SERVER"); !given.empty()) return given;
  const std::string prefix = Getenv("TICKBRIDGE_VALKEY");
  const std::string built =
      (prefix.empty() ? Getenv("HOME") + "/.cache/tickbridge/valkey" : prefix) + "/bin/valkey-server";
  return std::filesystem::exists(built) ? built : "";
}

class MsetexTest : public LaneTest {
 protected:
  static constexpr int kSymbols = 500;

  MsetexTest() : LaneTest(ValkeyServer().empty() ? "redis-server" : ValkeyServer()) {}
  void SetUp() override {
    if (ValkeyServer().empty()) GTEST_SKIP() << "no Valkey 9.1: bench/build_valkey makes one";
    LaneTest::SetUp();
  }
  void QuoteAll(int64_t bid) {
    Batch();
    for (int i = 0; i < kSymbols; ++i) Quote(absl::StrCat("S", i), bid + i, bid + i + 1);
  }
  // Gives every symbol a value and delivers it, until some went together: on a busy machine they may all be late.
  bool DeliverTogether(int64_t bid) {
    const int64_t before = Calls("msetex");
    return WaitFor([&] {
      QuoteAll(bid);
      return Drain() && Calls("msetex") > before;
    });
  }
  int64_t Calls(const std::string& command) {
    const std::string stats = redis_.Call({"INFO", "commandstats"});
    const std::string name = "cmdstat_" + command + ":calls=";
    const size_t at = stats.find(name);
    return at == std::string::npos ? 0 : std::stoll(stats.substr(at + name.size()));
  }
  void ExpectAllWritten(int64_t bid, int except = -1) {
    for (int i = 0; i < kSymbols; ++i) {
      const std::string value = redis_.Call({"GET", absl::StrCat("price:S", i, ":latest")});
      if (i == except) continue;
      EXPECT_NE(value.find(absl::StrCat("\"Bid\":", (bid + i) / 100, ".")), std::string::npos) << i << " " << value;
    }
  }
};

TEST_F(MsetexTest, WritesYoungValuesTogether) {
  ASSERT_TRUE(DeliverTogether(10'000));
  ExpectAllWritten(10'000);
  const int64_t left_ms = std::stoll(redis_.Call({"PTTL", "price:S7:latest"}));
  EXPECT_GT(left_ms, 3000);
  EXPECT_LE(left_ms, 5000);
  EXPECT_EQ(lane_->counts().writes->Get() % kSymbols, 0u);
  EXPECT_EQ(lane_->counts().acks->Get(), lane_->counts().writes->Get());
  EXPECT_LT(static_cast<uint64_t>(Calls("msetex") + Calls("setex") + Calls("psetex")), lane_->counts().writes->Get());
}

TEST_F(MsetexTest, SendsLateValuesAlone) {
  ingest_->BeginBatch(source_, clock_.Now() - 2 * kNsPerSec);
  for (int i = 0; i < kSymbols; ++i) Quote(absl::StrCat("S", i), i, i + 1);
  ASSERT_TRUE(Drain());
  EXPECT_EQ(Calls("msetex"), 0);
  EXPECT_EQ(Calls("psetex"), kSymbols);
  EXPECT_LE(std::stoll(redis_.Call({"PTTL", "price:S7:latest"})), 3000);
}

TEST_F(MsetexTest, SendsDeadlinesWithAbsoluteExpiry) {
  Lane::Options options;
  options.absolute_expiry = true;
  Build(DefaultKeyClasses(), options);
  ASSERT_TRUE(DeliverTogether(10'000));
  ExpectAllWritten(10'000);
  EXPECT_LE(std::stoll(redis_.Call({"PTTL", "price:S7:latest"})), 5001);
}

// One key of the batch may not be written: all of it is refused, and all the others are written nevertheless.
TEST_F(MsetexTest, GoesOnAroundAKeyThatMayNotBeWritten) {
  ASSERT_EQ(redis_.Call({"ACL", "SETUSER", "default", "resetkeys", "~price:S[0-6]*", "~price:S[8-9]*"}), "OK");
  QuoteAll(10'000);
  ASSERT_TRUE(Drain());
  ASSERT_EQ(redis_.Call({"ACL", "SETUSER", "default", "allkeys"}), "OK");
  const uint64_t failed = lane_->counts().failed->Get();
  EXPECT_EQ(failed, 11u);  // S7 and S70 to S79
  EXPECT_EQ(lane_->counts().written->Get(), kSymbols - failed);
  // What failed stays on its own, the others go together again.
  ASSERT_TRUE(DeliverTogether(20'000));
  ExpectAllWritten(20'000);
}

TEST_F(MsetexTest, DoesWithoutWhereItIsForbidden) {
  ASSERT_EQ(redis_.Call({"ACL", "SETUSER", "default", "-msetex"}), "OK");
  QuoteAll(10'000);
  ASSERT_TRUE(Drain());
  ExpectAllWritten(10'000);
  EXPECT_EQ(lane_->counts().failed->Get(), 0u);
  EXPECT_EQ(Calls("setex") + Calls("psetex"), kSymbols);
}

// Redis and Valkey name the user in the refusal, and users have all kinds of names.
TEST_F(MsetexTest, AsksOnlyOnceWhereItIsForbidden) {
  user_ = "key";
  ASSERT_EQ(redis_.Call({"ACL", "SETUSER", user_, "on", "nopass", "allkeys", "+@all", "-msetex"}), "OK");
  Build(DefaultKeyClasses(), Lane::Options{});
  ASSERT_TRUE(WaitFor([this] {
    QuoteAll(10'000);
    return Drain() && lane_->counts().errors->Get() > 0;
  }));
  const uint64_t errors = lane_->counts().errors->Get();
  for (int64_t bid = 20'000; bid < 50'000; bid += 10'000) {
    QuoteAll(bid);
    ASSERT_TRUE(Drain());
    ExpectAllWritten(bid);
  }
  EXPECT_EQ(lane_->counts().errors->Get(), errors);
}

TEST_F(MsetexTest, KeepsABatchThatTheServerHasNoRoomFor) {
  ASSERT_EQ(redis_.Call({"CONFIG", "SET", "maxmemory", "1"}), "OK");
  QuoteAll(10'000);
  ASSERT_TRUE(WaitFor([this] {
    lane_->DoWork();
    return lane_->state() == Lane::State::kBackingOff;
  }));
  ASSERT_EQ(redis_.Call({"CONFIG", "SET", "maxmemory", "0"}), "OK");
  Batch();
  ASSERT_TRUE(Drain());
  ExpectAllWritten(10'000);
  EXPECT_EQ(lane_->counts().failed->Get(), 0u);
}

}  // namespace
}  // namespace tickbridge
