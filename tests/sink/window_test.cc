// SPDX-License-Identifier: Apache-2.0
// The window before servers that are only arithmetic: they answer so many commands a second, better in bulk, at the end
// of a line of some length.
#include "sink/window.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace tickbridge {
namespace {

struct Server {
  double commands_per_s;
  int64_t line_ns;                      // there and back
  double bulk = 0;                      // of a window of so many, half of the server's time is lost
  double noise = 0.05;                  // of the rate, either way
  uint32_t in_flight_max = UINT32_MAX;  // the socket takes no more
  int64_t pause_ns = 0;                 // it does nothing every other time of so long

  // With `window` in flight all the time.
  double Rate(uint32_t window) const {
    const double at_best = commands_per_s * window / (window + bulk);
    return std::min(at_best, window * 1e9 / (static_cast<double>(line_ns) + window * 1e9 / at_best / 2));
  }
};

class WindowTest : public ::testing::Test {
 protected:
  void Run(Window* window, const Server& server, int64_t for_ns) {
    const MonoNs end = now_ + for_ns;
    std::normal_distribution<double> noise(1, server.noise);
    while (now_ < end) {
      const uint32_t answered = std::max(window->size() / 4, 1U);
      const uint32_t in_flight = std::min(window->size(), server.in_flight_max);
      const double rate = server.Rate(in_flight) * std::max(noise(random_), 0.1);
      Pass(server, static_cast<int64_t>(answered * 1e9 / rate));
      window->OnAnswered(answered, in_flight, now_);
    }
  }
  // So much of the time that the server works.
  void Pass(const Server& server, int64_t work_ns) {
    const int64_t every_ns = server.pause_ns;
    while (every_ns != 0 && work_ns > 0) {
      if (now_.value / every_ns % 2 == 1) now_ = MonoNs{(now_.value / every_ns + 1) * every_ns};
      const int64_t step_ns = std::min(work_ns, every_ns - now_.value % every_ns);
      now_ = now_ + step_ns;
      work_ns -= step_ns;
    }
    now_ = now_ + work_ns;
  }
  // Of what the server can do, with this window.
  static double Share(const Server& server, const Window& window) {
    return server.Rate(window.settled()) / server.Rate(1 << 20);
  }

  MonoNs now_{kNsPerSec};
  std::mt19937_64 random_{7};
};

constexpr Server kNear{1'800'000, 15'000, 20};
constexpr Server kSlow{10'000, 15'000, 0, 0.02};
constexpr Server kFar{1'800'000, 1'000'000, 20};
constexpr Server kVeryFar{1'000'000, 10'000'000, 20};

TEST_F(WindowTest, IsAsLargeAsAServerNeeds) {
  for (const Server& server : {kNear, kSlow, kFar}) {
    Window window(65'536);
    Run(&window, server, 20 * kNsPerSec);
    EXPECT_GE(Share(server, window), 0.94) << server.commands_per_s << " " << server.line_ns;
  }
}

TEST_F(WindowTest, IsNotMuchLarger) {
  Window slow(4096);
  Run(&slow, kSlow, 20 * kNsPerSec);
  EXPECT_LE(slow.settled(), 64u);
  Window near(65'536);
  Run(&near, kNear, 20 * kNsPerSec);
  EXPECT_LE(near.settled(), 4096u);
}

TEST_F(WindowTest, FollowsAServerThatChanges) {
  Window window(65'536);
  Run(&window, kSlow, 20 * kNsPerSec);
  Run(&window, kFar, 10 * kNsPerSec);
  EXPECT_GE(Share(kFar, window), 0.9);
  Run(&window, kSlow, 60 * kNsPerSec);
  EXPECT_LE(window.settled(), 64u);
}

TEST_F(WindowTest, FollowsALineThatBecomesLongInLessThanASecond) {
  Window window(65'536);
  Run(&window, kNear, 5 * kNsPerSec);
  Run(&window, kVeryFar, kNsPerSec * 6 / 10);
  EXPECT_GE(Share(kVeryFar, window), 0.9) << window.settled();
}

TEST_F(WindowTest, GivesUpAtOnceWhatTheSocketDoesNotTake) {
  Window window(65'536);
  Run(&window, kVeryFar, 5 * kNsPerSec);
  ASSERT_GE(window.settled(), 8'192u);
  Server near = kNear;
  near.in_flight_max = 1'700;
  Run(&window, near, 200 * kNsPerMs);
  EXPECT_LE(window.size(), 4'096u);
}

TEST_F(WindowTest, IsNotLedAstrayByAServerThatPauses) {
  Server shared = kNear;
  shared.pause_ns = 3 * kNsPerMs;
  shared.noise = 0.02;
  constexpr int kWindows = 10;
  constexpr int kLooks = 100;
  double share = 0;
  int large = 0;
  for (int i = 0; i < kWindows; ++i) {
    Window window(65'536);
    for (int look = 0; look < kLooks; ++look) {
      Run(&window, shared, 300 * kNsPerMs);
      share += Share(shared, window) / kLooks / kWindows;
      large += window.settled() > 4'096 ? 1 : 0;
    }
  }
  EXPECT_GE(share, 0.9);
  EXPECT_LE(large, kLooks * kWindows * 15 / 100);
}

TEST_F(WindowTest, StaysWithinItsBounds) {
  Window window(100);
  Run(&window, kFar, kNsPerSec);
  EXPECT_EQ(window.settled(), 100u);
  Window tiny(4);
  Run(&tiny, kSlow, kNsPerSec);
  EXPECT_EQ(tiny.settled(), 4u);
  Window fixed(1000, /*fixed=*/true);
  Run(&fixed, kSlow, kNsPerSec);
  EXPECT_EQ(fixed.size(), 1000u);
}

TEST_F(WindowTest, LearnsNothingWhileTheFeedIsTheLimit) {
  Window window(4096);
  for (int i = 0; i < 100'000; ++i) {
    now_ = now_ + 100'000;
    window.OnFeedLimited();
    window.OnAnswered(1, 1, now_);
  }
  EXPECT_EQ(window.settled(), Window::kStart);
}

}  // namespace
}  // namespace tickbridge
