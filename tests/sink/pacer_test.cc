// SPDX-License-Identifier: Apache-2.0
// The pacer before a server that is only arithmetic.
#include "sink/pacer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace tickbridge {
namespace {

constexpr uint32_t kWindow = 4096;
constexpr int64_t kRoundTripNs = 20'000;

// A server that takes `cost_ns` a command, and now and then `noise_ns` longer, at the end of a line.
struct Server {
  int64_t cost_ns = 0;
  int64_t round_trip_ns = kRoundTripNs;
  double noise = 0;
  int64_t noise_ns = 0;
};

// Sends as much as it may for `duration_ns`, kPerCycle commands in each duty cycle. Returns the part of the time that
// the server worked for us.
class Sender {
 public:
  explicit Sender(double share) : pacer(share, kWindow) {}

  double Run(const Server& server, int64_t duration_ns) {
    constexpr uint32_t kPerCycle = 256;
    std::mt19937_64 random(7);
    std::uniform_real_distribution<double> chance(0, 1);
    const MonoNs end = now + duration_ns;
    int64_t busy_ns = 0;
    probes = commands = 0;
    while (now < end) {
      uint32_t sent = 0;
      if (pacer.WantsProbe(now)) {
        pacer.OnSent(1, 1, now);
        sent = 1;
        ++probes;
      } else {
        while (const uint32_t allowance = pacer.Allowance(sent, now)) {
          const uint32_t some = std::min(allowance, kPerCycle);
          pacer.OnSent(some, allowance, now);
          sent += some;
        }
        commands += sent;
      }
      if (sent == 0) {
        const int64_t rest_ns = oversleeps_ns != 0 ? pacer.RestNs(0, now) : 0;
        now = now + (rest_ns != 0 ? rest_ns + oversleeps_ns : 1'000);
        continue;
      }
      now = now + server.round_trip_ns + sent * server.cost_ns + (chance(random) < server.noise ? server.noise_ns : 0);
      busy_ns += sent * server.cost_ns;
      pacer.OnAnswered(now);
    }
    return static_cast<double>(busy_ns) / static_cast<double>(duration_ns);
  }

  Pacer pacer;
  int64_t oversleeps_ns = 0;  // 0: does not sleep
  MonoNs now{kNsPerSec};
  uint64_t probes = 0;
  uint64_t commands = 0;
};

double ShareTaken(double share, const Server& server) { return Sender(share).Run(server, kNsPerSec); }

TEST(Pacer, TakesItsShareAndNoMore) {
  for (const double share : {0.1, 0.3, 0.5, 0.7}) {
    for (const int64_t cost_ns : {300, 600, 2'000, 20'000}) {
      const double taken = ShareTaken(share, {.cost_ns = cost_ns});
      EXPECT_LE(taken, share * 1.05) << share << " " << cost_ns;
      EXPECT_GE(taken, share * 0.7) << share << " " << cost_ns;
    }
  }
}

TEST(Pacer, IsNotLedAstrayByWhatElseHappens) {
  const double taken = ShareTaken(0.5, {.cost_ns = 600, .noise = 0.2, .noise_ns = 3'000'000});
  const double quiet_time = 1.0 / (1.0 + 0.2 * 3'000'000 / 120'000);  // what the noise leaves of the second
  EXPECT_LE(taken, 0.5);
  EXPECT_GE(taken, 0.3 * quiet_time);
}

TEST(Pacer, NeverHoldsALoneCommandBack) {
  Pacer pacer(0.1, kWindow);
  MonoNs now{kNsPerSec};
  for (int i = 0; i < 1000; ++i) {
    ASSERT_GT(pacer.Allowance(0, now), 0u);
    pacer.OnSent(1, 1, now);
    now = now + kRoundTripNs;
    pacer.OnAnswered(now);
  }
}

// Round trips of a millisecond to half a second: what is sent in a turn grows with the line, and the probes of it get
// seldom.
TEST(Pacer, SendsOnALongLineToo) {
  for (const int64_t round_trip_ns : {kNsPerMs, 10 * kNsPerMs, 150 * kNsPerMs, 250 * kNsPerMs, 500 * kNsPerMs}) {
    Sender sender(0.5);
    sender.Run({.cost_ns = 1'000, .round_trip_ns = round_trip_ns}, 20 * kNsPerSec);
    const auto turns = static_cast<uint64_t>(20 * kNsPerSec / (round_trip_ns + kWindow * 1'000));
    const auto turn = static_cast<uint64_t>(std::min<int64_t>(round_trip_ns / 2 / 1'000, kWindow));
    EXPECT_GE(sender.commands, turns * turn * 7 / 10) << round_trip_ns;
    EXPECT_LE(sender.probes * 10, turns + 30) << round_trip_ns;
  }
}

TEST(Pacer, MeasuresALineAnewThatChanged) {
  const Server near{.cost_ns = 1'000};
  const Server far{.cost_ns = 1'000, .round_trip_ns = 10 * kNsPerMs};
  Sender fresh(0.5);
  const double taken = fresh.Run(far, 5 * kNsPerSec);
  Sender reconnected(0.5);
  reconnected.Run(near, 5 * kNsPerSec);
  reconnected.pacer.OnDisconnected();
  EXPECT_GE(reconnected.Run(far, 5 * kNsPerSec), 0.95 * taken);
  Sender rerouted(0.5);
  rerouted.Run(near, 5 * kNsPerSec);
  rerouted.Run(far, 5 * kNsPerSec);
  EXPECT_GE(rerouted.Run(far, 5 * kNsPerSec), 0.9 * taken);
  EXPECT_GE(rerouted.Run(near, 5 * kNsPerSec), 0.35);
}

TEST(Pacer, ATurnEndsWhereTheFeedDoes) {
  Pacer pacer(0.5, kWindow);
  MonoNs now{kNsPerSec};
  pacer.OnSent(1, 1, now);
  pacer.OnAnswered(now = now + kRoundTripNs);
  const uint32_t allowance = pacer.Allowance(0, now);
  pacer.OnSent(allowance / 2, allowance, now);
  EXPECT_EQ(pacer.Allowance(allowance / 2, now), allowance - allowance / 2);
  pacer.OnFeedLimited();
  EXPECT_EQ(pacer.Allowance(allowance / 2, now), 0u);
}

TEST(Pacer, RestsWhileTheServerIsBusyForSure) {
  Pacer pacer(1.0, 100, /*fixed=*/true);
  MonoNs now{kNsPerSec};
  EXPECT_EQ(pacer.RestNs(0, now), 0) << "there is room";
  EXPECT_EQ(pacer.RestNs(100, now), 0) << "nothing is known yet";
  for (int i = 0; i < 50; ++i) pacer.OnReplies(10, 100, now = now + 10'000);
  EXPECT_NEAR(static_cast<double>(pacer.RestNs(100, now)), 50'000, 5'000) << "until half of it is answered";
  EXPECT_NEAR(static_cast<double>(pacer.RestNs(80, now)), 30'000, 5'000);
  EXPECT_NEAR(static_cast<double>(pacer.RestNs(80, now + 20'000)), 10'000, 5'000);
  EXPECT_EQ(pacer.RestNs(80, now + 40'000), 0) << "they are late";
  EXPECT_EQ(pacer.RestNs(75, now), 0);
  pacer.OnSent(100, 100, now);
  pacer.OnAnswered(now);
  pacer.OnReplies(10, 100, now = now + kNsPerSec);
  pacer.OnReplies(10, 100, now = now + 10'000);
  EXPECT_NEAR(static_cast<double>(pacer.RestNs(100, now)), 50'000, 5'000) << "a pause of the feed says nothing";
  pacer.OnDisconnected();
  EXPECT_EQ(pacer.RestNs(100, now), 0);
}

// Whoever sleeps in the pauses wakes late: the share is the same.
TEST(Pacer, TakesItsShareAlsoWhereItOversleeps) {
  for (const double share : {0.3, 0.5}) {
    Sender punctual(share);
    const double taken = punctual.Run({.cost_ns = 600}, kNsPerSec);
    Sender sleepy(share);
    sleepy.oversleeps_ns = 25'000;
    const double taken_too = sleepy.Run({.cost_ns = 600}, kNsPerSec);
    EXPECT_LE(taken_too, share * 1.05) << share;
    EXPECT_GE(taken_too, taken * 0.95) << share;
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
