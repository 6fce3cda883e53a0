// SPDX-License-Identifier: Apache-2.0
//
// Identifiers and times: what floors, what is zero, what is ordered.

#include "core/types.h"

#include <gtest/gtest.h>

namespace tickbridge {
namespace {

TEST(UnixTime, FloorsToMilliseconds) {
  EXPECT_EQ(ToUnixMs(UnixNs{1'700'000'000'000'999'999}).value, 1'700'000'000'000);
  EXPECT_EQ(ToUnixMs(UnixNs{1'700'000'000'001'000'000}).value, 1'700'000'000'001);
  EXPECT_EQ(ToUnixMs(UnixNs{0}).value, 0);
  EXPECT_EQ(ToUnixMs(UnixNs{-1}).value, -1);
  EXPECT_EQ(ToUnixMs(UnixNs{-kNsPerMs}).value, -1);
  EXPECT_EQ(ToUnixMs(UnixNs{-kNsPerMs - 1}).value, -2);
  EXPECT_EQ(ToUnixNs(UnixMs{1'700'000'000'001}).value, 1'700'000'000'001'000'000);
}

TEST(MonoNs, SubtractsToNanosecondsAndOrders) {
  constexpr MonoNs early{100};
  constexpr MonoNs late = early + 250;
  static_assert(late - early == 250);
  static_assert(early - late == -250);
  static_assert((late - int64_t{50}).value == 300);
  static_assert(early < late && MonoNs{} < early);
  EXPECT_EQ(MonoNs{}.value, 0);
}

TEST(SourceId, HoldsIndexAndGeneration) {
  const SourceId id = MakeSourceId(0xFFFF, 7);
  EXPECT_EQ(SourceIndex(id), 0xFFFF);
  EXPECT_EQ(SourceGeneration(id), 7);
  EXPECT_NE(MakeSourceId(3, 1), MakeSourceId(3, 2));
  EXPECT_NE(MakeSourceId(0, 1), kNoSource);
}

TEST(SymbolId, IndexIsTheValue) {
  EXPECT_EQ(Index(SymbolId{42}), 42U);
  EXPECT_NE(SymbolId{0}, kNoSymbol);
}

}  // namespace
}  // namespace tickbridge
