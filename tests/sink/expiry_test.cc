// SPDX-License-Identifier: Apache-2.0
// Lifetimes of late values, and the server's clock that deadlines are sent by.
#include <gtest/gtest.h>

#include "sink/server_clock.h"
#include "sink/ttl.h"

namespace tickbridge {
namespace {

constexpr int64_t kTtl = 5 * kNsPerSec;
constexpr MonoNs kNow{100 * kNsPerSec};

TEST(Lifetime, IsWholeForTheYoungAndTheRestForTheOld) {
  EXPECT_EQ(LifetimeOf(kTtl, 0, nullptr, kNow).kind, Lifetime::Kind::kFullSeconds);
  EXPECT_EQ(LifetimeOf(kTtl, kYoungNs - 1, nullptr, kNow).ms, 5000);
  const Lifetime late = LifetimeOf(kTtl, kYoungNs, nullptr, kNow);
  EXPECT_EQ(late.kind, Lifetime::Kind::kMilliseconds);
  EXPECT_EQ(late.ms, 4990);
  EXPECT_EQ(LifetimeOf(kTtl, kTtl - kNsPerMs, nullptr, kNow).ms, 1);
  EXPECT_EQ(LifetimeOf(kTtl, kTtl - kNsPerMs + 1, nullptr, kNow).kind, Lifetime::Kind::kNone) << "floored";
  EXPECT_EQ(LifetimeOf(kTtl, kTtl + 1, nullptr, kNow).kind, Lifetime::Kind::kNone);
  EXPECT_EQ(LifetimeOf(kNsPerSec / 2, 0, nullptr, kNow).kind, Lifetime::Kind::kMilliseconds);
}

TEST(Lifetime, IsADeadlineByTheServersClock) {
  ServerClock clock;
  EXPECT_EQ(LifetimeOf(kTtl, 0, &clock, kNow).kind, Lifetime::Kind::kFullSeconds) << "its time is not known";
  clock.OnTime(kNow, kNow, 1'700'000'000'000'000);
  const Lifetime life = LifetimeOf(kTtl, kNsPerSec, &clock, kNow);
  EXPECT_EQ(life.kind, Lifetime::Kind::kDeadline);
  EXPECT_EQ(life.deadline, UnixMs{1'700'000'004'000});
  EXPECT_EQ(LifetimeOf(kTtl, kTtl, &clock, kNow).kind, Lifetime::Kind::kNone);
}

TEST(ServerClock, IsNeverTakenToBeAhead) {
  ServerClock clock;
  // Asked at 10, heard at 14 ms: the time told is of some moment between.
  EXPECT_EQ(clock.OnTime(MonoNs{10 * kNsPerMs}, MonoNs{14 * kNsPerMs}, 1'000'000), 0);
  EXPECT_EQ(clock.At(MonoNs{14 * kNsPerMs}), UnixMs{1'000});
  EXPECT_NEAR(static_cast<double>(clock.uncertainty_ns()), 4e6, 1001);
  // A quicker answer tells more exactly; a slower one takes nothing back.
  EXPECT_EQ(clock.OnTime(MonoNs{20 * kNsPerMs}, MonoNs{21 * kNsPerMs}, 1'009'000), 0);
  EXPECT_EQ(clock.At(MonoNs{21 * kNsPerMs}), UnixMs{1'009});
  EXPECT_EQ(clock.OnTime(MonoNs{30 * kNsPerMs}, MonoNs{90 * kNsPerMs}, 1'040'000), 0);
  EXPECT_EQ(clock.At(MonoNs{21 * kNsPerMs}), UnixMs{1'009});
}

TEST(ServerClock, FollowsAJumpAndSaysHowFar) {
  ServerClock clock;
  clock.OnTime(MonoNs{0}, MonoNs{kNsPerMs}, 1'000'000);
  EXPECT_NEAR(static_cast<double>(clock.OnTime(MonoNs{kNsPerSec}, MonoNs{kNsPerSec + kNsPerMs}, 7'000'000)), 5e9, 2e6);
  EXPECT_EQ(clock.At(MonoNs{kNsPerSec + kNsPerMs}), UnixMs{7'000});
  EXPECT_LT(clock.OnTime(MonoNs{2 * kNsPerSec}, MonoNs{2 * kNsPerSec}, 1'000'000), -6 * kNsPerSec);
}

}  // namespace
}  // namespace tickbridge
