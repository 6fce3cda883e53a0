// SPDX-License-Identifier: Apache-2.0
// The pacer before a server that is only arithmetic.
#include "sink/pacer.h"

#include <gtest/gtest.h>

#include <random>

namespace tickbridge {
namespace {

constexpr uint32_t kWindow = 4096;
constexpr int64_t kRoundTripNs = 20'000;

// Sends as much as it may for a second, to a server that takes `cost_ns` a command, and now and then a while longer.
// Returns the part of the time that the server worked for us.
double ShareTaken(double share, int64_t cost_ns, double noise, int64_t noise_ns) {
  Pacer pacer(share, kWindow);
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> chance(0, 1);
  MonoNs now{kNsPerSec};
  const MonoNs end = now + kNsPerSec;
  int64_t busy_ns = 0;
  while (now < end) {
    uint32_t commands = 0;
    if (pacer.WantsProbe(now)) {
      pacer.OnProbe(now);
      commands = 1;
    } else {
      commands = pacer.Allowance(0, now);
    }
    if (commands == 0) {
      now = now + 1'000;
      continue;
    }
    pacer.OnSent(commands, now);
    now = now + kRoundTripNs + commands * cost_ns + (chance(random) < noise ? noise_ns : 0);
    busy_ns += commands * cost_ns;
    pacer.OnAnswered(now);
  }
  return static_cast<double>(busy_ns) / kNsPerSec;
}

TEST(Pacer, TakesItsShareAndNoMore) {
  for (const double share : {0.1, 0.3, 0.5, 0.7}) {
    for (const int64_t cost_ns : {300, 600, 2'000, 20'000}) {
      const double taken = ShareTaken(share, cost_ns, 0, 0);
      EXPECT_LE(taken, share * 1.05) << share << " " << cost_ns;
      EXPECT_GE(taken, share * 0.7) << share << " " << cost_ns;
    }
  }
}

TEST(Pacer, IsNotLedAstrayByWhatElseHappens) {
  const double taken = ShareTaken(0.5, 600, 0.2, 3'000'000);
  const double quiet_time = 1.0 / (1.0 + 0.2 * 3'000'000 / 120'000);  // what the noise leaves of the second
  EXPECT_LE(taken, 0.5);
  EXPECT_GE(taken, 0.3 * quiet_time);
}

TEST(Pacer, NeverHoldsALoneCommandBack) {
  Pacer pacer(0.1, kWindow);
  MonoNs now{kNsPerSec};
  for (int i = 0; i < 1000; ++i) {
    ASSERT_GT(pacer.Allowance(0, now), 0u);
    pacer.OnSent(1, now);
    now = now + kRoundTripNs;
    pacer.OnAnswered(now);
  }
}

TEST(Pacer, RefillsAFullWindowAPartAtATimeWhereItSaturates) {
  const Pacer pacer(1.0, 100, /*fixed=*/true);
  EXPECT_EQ(pacer.Allowance(0, MonoNs{1}), 100u);
  EXPECT_EQ(pacer.Allowance(75, MonoNs{1}), 25u);
  EXPECT_EQ(pacer.Allowance(76, MonoNs{1}), 0u);
}

}  // namespace
}  // namespace tickbridge
