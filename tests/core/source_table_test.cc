// SPDX-License-Identifier: Apache-2.0
// Sources live by their signs of life and die when closed or silent; an old id is never taken for the source that has
// its place now. Hand-picked times; no clock is read.
#include "core/source_table.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace tickbridge {
namespace {

TEST(SourceTable, NobodyIsDead) {
  SourceTable sources;
  EXPECT_FALSE(sources.IsAlive(kNoSource, MonoNs{1}));
  EXPECT_FALSE(sources.IsAlive(MakeSourceId(3, 1), MonoNs{1})) << "never opened";
  sources.Close(kNoSource);
}

TEST(SourceTable, WithoutLivenessASourceLivesUntilClosed) {
  SourceTable sources;
  const SourceId id = sources.Open(0, MonoNs{10});
  ASSERT_NE(id, kNoSource);
  EXPECT_TRUE(sources.IsAlive(id, MonoNs{INT64_MAX}));
  EXPECT_EQ(sources.LastLife(id, MonoNs{77}), MonoNs{77}) << "it lives now";
  sources.Close(id);
  EXPECT_FALSE(sources.IsAlive(id, MonoNs{10}));
}

TEST(SourceTable, ASilentSourceIsDeadUntilItSpeaks) {
  SourceTable sources;
  const SourceId id = sources.Open(100, MonoNs{1'000});
  EXPECT_TRUE(sources.IsAlive(id, MonoNs{1'100}));
  EXPECT_FALSE(sources.IsAlive(id, MonoNs{1'101}));
  sources.Touch(id, MonoNs{2'000});
  EXPECT_TRUE(sources.IsAlive(id, MonoNs{2'100}));
  EXPECT_EQ(sources.LastLife(id, MonoNs{2'050}), MonoNs{2'000});
  EXPECT_FALSE(sources.IsAlive(id, MonoNs{2'101}));
}

TEST(SourceTable, AnOldIdIsNotTheSourceThatHasItsPlaceNow) {
  SourceTable sources;
  const SourceId old = sources.Open(0, MonoNs{1});
  sources.Close(old);
  const SourceId fresh = sources.Open(0, MonoNs{2});
  EXPECT_NE(old, fresh);
  EXPECT_EQ(SourceIndex(old), SourceIndex(fresh)) << "the place is used again";
  EXPECT_FALSE(sources.IsAlive(old, MonoNs{2}));
  EXPECT_TRUE(sources.IsAlive(fresh, MonoNs{2}));
  sources.Close(old);
  EXPECT_TRUE(sources.IsAlive(fresh, MonoNs{2})) << "closing twice closes nobody else";
}

TEST(SourceTable, GenerationsWrapPastZero) {
  SourceTable sources;
  std::set<SourceId> ids;
  for (int i = 0; i < 65'535; ++i) {
    const SourceId id = sources.Open(0, MonoNs{1});
    ASSERT_NE(SourceGeneration(id), 0);
    ASSERT_TRUE(ids.insert(id).second) << "65,535 ids before one comes again";
    sources.Close(id);
  }
  const SourceId again = sources.Open(0, MonoNs{1});
  EXPECT_NE(again, kNoSource);
  EXPECT_TRUE(sources.IsAlive(again, MonoNs{1}));
}

TEST(SourceTable, AFullTableSaysSo) {
  SourceTable sources;
  std::vector<SourceId> all;
  for (uint32_t i = 0; i < limits::kSourcesMax; ++i) {
    all.push_back(sources.Open(0, MonoNs{1}));
    ASSERT_NE(all.back(), kNoSource);
  }
  EXPECT_EQ(sources.Open(0, MonoNs{1}), kNoSource);
  sources.Close(all[1'000]);
  EXPECT_NE(sources.Open(0, MonoNs{1}), kNoSource);
  EXPECT_EQ(sources.Open(0, MonoNs{1}), kNoSource);
  EXPECT_EQ(std::set<SourceId>(all.begin(), all.end()).size(), all.size());
}

}  // namespace
}  // namespace tickbridge
