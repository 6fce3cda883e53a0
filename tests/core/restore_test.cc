// SPDX-License-Identifier: Apache-2.0
// What stood in Redis before a restart, merged below what came in since.
#include "core/restore.h"

#include <gtest/gtest.h>

#include "tests/core_fixture.h"

namespace tickbridge {
namespace {

constexpr int64_t kStoredMs = 1'700'000'000'500;

class RestoreTest : public ::testing::Test {
 protected:
  RestoreTest() : restore_(&core_.table, &core_.dirty, 2), ingest_(core_.MakeIngest()) {
    Put(&stored_, Field::kBid, {100, 0});
    Put(&stored_, Field::kAsk, {101, 0});
    Put(&stored_, Field::kLast, {100, 0});
    Put(&stored_, Field::kVolume, {50, 0});
    Put(&stored_, Field::kHigh, {110, 0});
    Put(&stored_, Field::kLow, {90, 0});
    stored_.timestamp = UnixMs{kStoredMs};
  }
  static void Put(Quote* quote, Field field, Decimal value) {
    quote->value[Index(field)] = value;
    quote->present = static_cast<FieldMask>(quote->present | Bit(field));
  }
  static Tick Bid(int64_t bid, int64_t ms) {
    Tick tick;
    tick.Set(Field::kBid, {bid, 0});
    if (ms != 0) tick.quote_time = VenueNsFromMs(ms);
    return tick;
  }
  static Tick Trade(int64_t last, int64_t ms) {
    Tick tick;
    tick.Set(Field::kLast, {last, 0});
    tick.Set(Field::kLastSize, {1, 0});
    tick.trade_time = VenueNsFromMs(ms);
    return tick;
  }
  void Apply() {
    restore_.Post(core_.symbols.Find("A"), stored_);
    EXPECT_EQ(restore_.Apply(0), 1);
    EXPECT_EQ(restore_.Apply(0), 0);
  }
  std::string Text(Field field) { return FieldText(*core_.Find("A"), field); }

  CoreFixture core_;
  Restore restore_;
  std::unique_ptr<Ingest> ingest_;
  Quote stored_;
};

TEST_F(RestoreTest, FillsWhatNoTickHasGiven) {
  ingest_->OnTick("A", Bid(200, kStoredMs + 1));
  core_.DrainDirty();
  EXPECT_FALSE(core_.table.Restored(core_.symbols.Find("A")));
  Apply();
  EXPECT_TRUE(core_.table.Restored(core_.symbols.Find("A")));
  EXPECT_EQ(Text(Field::kBid), "200");
  EXPECT_EQ(Text(Field::kAsk), "101");
  EXPECT_EQ(Text(Field::kLast), "100");
  EXPECT_EQ(Text(Field::kVolume), "50");
  EXPECT_EQ(core_.Find("A")->timestamp, UnixMs{kStoredMs + 1});
  EXPECT_EQ(core_.DrainDirty(), 1u) << "the sink waits for it";
}

TEST_F(RestoreTest, WinsOverAnOlderGroupAndMakesOlderTicksStale) {
  ingest_->OnTick("A", Bid(200, kStoredMs - 1));
  Apply();
  EXPECT_EQ(Text(Field::kBid), "100");
  EXPECT_EQ(core_.Find("A")->timestamp, UnixMs{kStoredMs});
  ingest_->OnTick("A", Bid(300, kStoredMs - 1));
  EXPECT_EQ(Text(Field::kBid), "100");
  EXPECT_EQ(ingest_->counts().rejected[static_cast<size_t>(RejectReason::kStale)]->Get(), 1u);
  ingest_->OnTick("A", Bid(300, kStoredMs));
  EXPECT_EQ(Text(Field::kBid), "300");
}

TEST_F(RestoreTest, LeavesAGroupWithoutAVenueTimeAlone) {
  ingest_->OnTick("A", Bid(200, 0));
  Apply();
  EXPECT_EQ(Text(Field::kBid), "200");
}

TEST_F(RestoreTest, HeedsWhatWasCleared) {
  Tick cleared = Bid(200, kStoredMs + 1);
  cleared.Clear(Field::kBid);
  cleared.Set(Field::kAsk, {201, 0});
  ingest_->OnTick("A", cleared);
  Apply();
  EXPECT_EQ(Text(Field::kBid), "null");
}

TEST_F(RestoreTest, GoesOnCountingWhereTheFeedDoesNot) {
  ingest_->OnTick("A", Trade(200, kStoredMs + 1));
  Apply();
  EXPECT_EQ(Text(Field::kVolume), "51");
  EXPECT_EQ(Text(Field::kHigh), "200");
  EXPECT_EQ(Text(Field::kLow), "90");
}

TEST_F(RestoreTest, LeavesTheFeedsOwnCountsAlone) {
  Tick summary = Trade(200, kStoredMs + 1);
  summary.Set(Field::kVolume, {7, 0});
  summary.Clear(Field::kHigh);
  summary.Set(Field::kLow, {5, 0});
  ingest_->OnTick("A", summary);
  Apply();
  EXPECT_EQ(Text(Field::kVolume), "7");
  EXPECT_EQ(Text(Field::kHigh), "null");
  EXPECT_EQ(Text(Field::kLow), "5");
}

TEST_F(RestoreTest, BringsNoCountsBackThatWereReset) {
  ingest_->OnReset("A");  // before the first tick
  EXPECT_EQ(core_.DrainDirty(), 0u);
  ingest_->OnTick("A", Trade(200, kStoredMs - 10));
  Apply();
  EXPECT_EQ(Text(Field::kVolume), "1");
  EXPECT_EQ(Text(Field::kHigh), "200");
  EXPECT_EQ(Text(Field::kAsk), "101");
  ingest_->OnTick("A", Trade(300, kStoredMs - 5));
  EXPECT_EQ(Text(Field::kVolume), "2") << "venue times begin anew after a reset";
  EXPECT_EQ(core_.Find("A")->timestamp, UnixMs{kStoredMs}) << "the published one does not";
}

TEST_F(RestoreTest, GoesToTheRunnerThatOwnsTheSlot) {
  auto other = core_.MakeIngest({.feed = "other", .owner = OwnerId{2}, .producer = 1});
  other->BeginBatch(core_.sources.Open(0, core_.clock.Now()), core_.clock.Now());
  other->OnTick("A", Bid(200, kStoredMs + 1));
  const SymbolId id = core_.symbols.Find("A");
  restore_.Post(id, stored_);
  EXPECT_EQ(restore_.Apply(0), 0);
  EXPECT_EQ(restore_.Apply(1), 1);
  EXPECT_EQ(Text(Field::kAsk), "101");
}

TEST_F(RestoreTest, LeavesASlotThatNobodyOwnsUnowned) {
  ingest_->OnTick("A", Bid(200, kStoredMs + 1));
  const SymbolId id = core_.symbols.Find("A");
  core_.table.Release(id);
  Apply();
  EXPECT_EQ(Text(Field::kAsk), "101");
  EXPECT_EQ(core_.table.Owner(id), kNoOwner);
}

TEST_F(RestoreTest, FollowsASlotThatChangesHands) {
  ingest_->OnTick("A", Bid(200, kStoredMs + 1));
  const SymbolId id = core_.symbols.Find("A");
  restore_.Post(id, stored_);
  core_.table.Release(id);
  ASSERT_TRUE(core_.table.Claim(id, OwnerId{2}));
  restore_.Apply(0);
  EXPECT_FALSE(core_.table.Restored(id));
  restore_.Apply(1);
  EXPECT_TRUE(core_.table.Restored(id));
}

}  // namespace
}  // namespace tickbridge
