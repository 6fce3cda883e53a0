// SPDX-License-Identifier: Apache-2.0
// Goal: `stats` shows what is in the counters file, whatever it is called, and says when nobody writes it any more.
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "core/clock.h"
#include "core/counters.h"
#include "tools/commands.h"
#include "tools/json.h"
#include "tools/paths.h"
#include "tools/session.h"

namespace tickbridge {
namespace {

class StatsTest : public testing::Test {
 protected:
  void SetUp() override {
    instance_ = "stats-test-" + std::to_string(::getpid());
    auto file = CountersFile::Create(CountersPath(instance_));
    ASSERT_TRUE(file.ok()) << file.status();
    file_ = *std::move(file);
  }
  void TearDown() override { file_.reset(); }

  int Run(bool json, std::string* out) {
    GlobalOptions global;
    global.sets = {"bridge.instance=" + instance_};
    global.json = json;
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int code = CommandStats(global);
    *out = testing::internal::GetCapturedStdout();
    said_ = testing::internal::GetCapturedStderr();
    return code;
  }

  std::string instance_;
  std::string said_;
  std::unique_ptr<CountersFile> file_;
};

TEST_F(StatsTest, ShowsEveryKindOfValue) {
  file_->AddCounter("feed.local.records")->Add(12);
  file_->AddCounter("feed.local.rejected.stale")->Add(3);
  file_->AddCounter("feed.local.rejected.empty");
  file_->AddGauge("lane.0.in_flight")->Set(-1);
  file_->AddText("lane.0.state")->Set("ready \"now\"");
  file_->AddHistogram("lane.0.tick_to_ack_ns")->Record(1'500);
  file_->AddCounter("symbols")->Add(2);
  file_->Beat(SystemClock::ReadMonotonic());

  std::string out;
  EXPECT_EQ(Run(true, &out), kExitOk) << said_;
  EXPECT_TRUE(IsJson(out)) << out;
  EXPECT_EQ(out.find('\n'), out.size() - 1);
  for (const char* part : {R"("alive":true)", R"("feed":{"local":{"records":12,"rejected":{"stale":3,"empty":0}}})",
                           R"("lane":{"0":{"in_flight":-1,"state":"ready \"now\"","tick_to_ack_ns":{"count":1,"p50":)",
                           R"("symbols":2)"}) {
    EXPECT_NE(out.find(part), std::string::npos) << part << "\n" << out;
  }
  EXPECT_EQ(Run(false, &out), kExitOk) << said_;
  for (const char* part : {"feed.local\n", "records", "rejected.stale", "p99.9 1.50us", "bridge\n  symbols  2\n"}) {
    EXPECT_NE(out.find(part), std::string::npos) << part << "\n" << out;
  }
  EXPECT_EQ(out.find("rejected.empty"), std::string::npos);
}

TEST_F(StatsTest, TellsPeopleAStateAndSinceWhen) {
  file_->AddGauge("lane.0.state_code")->Set(1);
  file_->AddGauge("lane.0.state_since_unix_ns")->Set(SystemClock().UnixNow().value - 185 * kNsPerSec);
  file_->AddText("lane.0.state")->Set("up");
  file_->AddText("lane.1.state")->Set("connecting");
  file_->AddGauge("lane.1.state_since_unix_ns");
  file_->AddGauge("feed.file.open")->Set(1);
  file_->Beat(SystemClock::ReadMonotonic());
  std::string out;
  EXPECT_EQ(Run(false, &out), kExitOk) << said_;
  for (const char* part :
       {"lane.0\n  state  up, for 3m05s\n", "lane.1\n  state  connecting\n", "feed.file\n  open  yes\n"}) {
    EXPECT_NE(out.find(part), std::string::npos) << part << "\n" << out;
  }
  for (const char* part : {"state_code", "unix_ns"}) EXPECT_EQ(out.find(part), std::string::npos) << out;
  EXPECT_EQ(Run(true, &out), kExitOk);
  EXPECT_NE(out.find(R"("state_code":1,"state_since_unix_ns":)"), std::string::npos) << out;
}

TEST_F(StatsTest, SaysThatTheHeartbeatIsOld) {
  file_->Beat(SystemClock::ReadMonotonic() - 60 * kNsPerSec);
  std::string out;
  EXPECT_EQ(Run(true, &out), kExitFailed);
  EXPECT_NE(out.find(R"("alive":false)"), std::string::npos);
  EXPECT_NE(said_.find("no heartbeat for 1m"), std::string::npos) << said_;
}

TEST_F(StatsTest, SaysThatThereIsNoBridge) {
  TearDown();
  std::string out;
  EXPECT_EQ(Run(false, &out), kExitFailed);
  EXPECT_EQ(out, "");
  EXPECT_NE(said_.find(instance_), std::string::npos) << said_;
}

}  // namespace
}  // namespace tickbridge
