// SPDX-License-Identifier: Apache-2.0
//
// The clocks of this machine against CLOCK_MONOTONIC, and SlewedLine against simulated counters, where drift, steps and
// late corrections can be had at will.

#include "core/clock.h"

#include <gtest/gtest.h>

#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace tickbridge {
namespace {

// Between two readings of CLOCK_MONOTONIC, whatever the load: the bracket widens by as much as this thread was held up.
void ExpectAgreesWithMonotonic(const Clock& clock) {
  constexpr int64_t kToleranceNs = 200 * kNsPerUs;
  for (int i = 0; i < 1000; ++i) {
    const MonoNs before = SystemClock::ReadMonotonic();
    const MonoNs now = clock.Now();
    const MonoNs after = SystemClock::ReadMonotonic();
    ASSERT_GE(now.value, before.value - kToleranceNs);
    ASSERT_LE(now.value, after.value + kToleranceNs);
  }
}

// The same for Unix time, which may also be slewed.
void ExpectAgreesWithRealtime(const Clock& clock) {
  constexpr int64_t kToleranceNs = 50 * kNsPerMs;
  timespec realtime{};
  ASSERT_EQ(::clock_gettime(CLOCK_REALTIME, &realtime), 0);
  const int64_t unix_ns = clock.UnixNow().value;
  EXPECT_NEAR(static_cast<double>(unix_ns - (int64_t{realtime.tv_sec} * kNsPerSec + realtime.tv_nsec)), 0,
              static_cast<double>(kToleranceNs));
}

// Goal: what a thread reads is never before what another thread read and told it.
// Method: threads take turns through a shared maximum while the clock is corrected all the time.
void ExpectMonotonicAcrossThreads(Clock* clock) {
  std::atomic<int64_t> newest_ns{0};
  std::atomic<bool> done{false};
  std::atomic<int> backwards{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!done.load(std::memory_order_relaxed)) {
        int64_t seen = newest_ns.load(std::memory_order_acquire);
        const int64_t now = clock->Now().value;
        if (now < seen) {
          backwards.fetch_add(1, std::memory_order_relaxed);
        }
        while (seen < now &&
               !newest_ns.compare_exchange_weak(seen, now, std::memory_order_acq_rel, std::memory_order_acquire)) {
        }
      }
    });
  }
  const MonoNs end = SystemClock::ReadMonotonic() + 700 * kNsPerMs;
  while (SystemClock::ReadMonotonic() < end) {
    clock->Maintain();
    std::this_thread::yield();
  }
  done.store(true, std::memory_order_relaxed);
  for (std::thread& reader : readers) {
    reader.join();
  }
  EXPECT_EQ(backwards.load(), 0);
}

TEST(SystemClock, AgreesWithTheSystem) {
  SystemClock clock;
  ExpectAgreesWithMonotonic(clock);
  ExpectAgreesWithRealtime(clock);
  ExpectMonotonicAcrossThreads(&clock);
}

TEST(MakeClock, AgreesWithTheSystemAndNeverStepsBack) {
  const std::unique_ptr<Clock> clock = MakeClock();
  ASSERT_NE(clock, nullptr);
  ExpectAgreesWithMonotonic(*clock);
  ExpectAgreesWithRealtime(*clock);
  ExpectMonotonicAcrossThreads(clock.get());
  ExpectAgreesWithMonotonic(*clock);
}

TEST(TscClock, StaysTrustedWhenMaintainedInBursts) {
  const std::unique_ptr<TscClock> clock = TscClock::Create();
  if (clock == nullptr) {
    GTEST_SKIP() << "no counter that the kernel trusts";
  }
  for (int burst = 0; burst < 4; ++burst) {
    for (int i = 0; i < 3; ++i) {
      clock->Maintain();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    ExpectAgreesWithMonotonic(*clock);
  }
  EXPECT_FALSE(clock->fell_back());
}

TEST(ManualClock, IsSetByHand) {
  ManualClock clock(MonoNs{5}, UnixNs{1000});
  EXPECT_EQ(clock.Now(), MonoNs{5});
  EXPECT_EQ(clock.UnixNow(), UnixNs{1005});
  clock.Advance(10);
  EXPECT_EQ(clock.Now(), MonoNs{15});
  clock.Set(MonoNs{7});
  EXPECT_EQ(clock.ToUnix(clock.Now()), UnixNs{1007});
}

// A counter whose frequency is known to the simulation only.
class Simulated {
 public:
  explicit Simulated(double ticks_per_ns) : ticks_per_ns_(ticks_per_ns) {}
  void Advance(double ns) {
    true_ns_ += ns;
    ticks_ += ns * ticks_per_ns_;
  }
  void StepTicks(double ticks) { ticks_ += ticks; }
  void set_ticks_per_ns(double value) { ticks_per_ns_ = value; }
  uint64_t ticks() const { return static_cast<uint64_t>(ticks_); }
  int64_t ns() const { return static_cast<int64_t>(true_ns_); }
  int64_t Shown(const SlewedLine& line) const {
    return line.Read([&] { return ticks(); });
  }

 private:
  double ticks_per_ns_;
  double true_ns_ = 1e12;
  double ticks_ = 1e15;
};

TEST(SlewedLine, ConvergesOnTheTrueTimeAndDoesNotOscillate) {
  for (const double calibration_error : {-20e-6, 0.0, 20e-6}) {
    Simulated machine(2.3);
    SlewedLine line;
    line.Start(machine.ticks(), machine.ns(), (1 + calibration_error) / 2.3);
    int64_t worst_late_ns = 0;
    for (int second = 0; second < 60; ++second) {
      for (int step = 0; step < 100; ++step) {
        machine.Advance(10e6);
        const int64_t error_ns = std::abs(machine.Shown(line) - machine.ns());
        ASSERT_LE(error_ns, 100 * kNsPerUs);
        if (second > 10) {
          worst_late_ns = std::max(worst_late_ns, error_ns);
        }
      }
      ASSERT_TRUE(line.Correct(machine.ticks(), machine.ns()));
    }
    EXPECT_LE(worst_late_ns, 100);
  }
}

// Goal: no reader ever sees time go back, though it may hold the counter's piece of long ago or see a new one late.
// Method: random drift, noise and gaps between corrections; before each correction a copy of the line stands for a
// reader that does not see the new piece yet. Both are read, in turn, with the ticks growing.
TEST(SlewedLine, NeverStepsBackHoweverLateACorrectionIsSeen) {
  const uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  for (int round = 0; round < 200; ++round) {
    Simulated machine(2.3);
    // Fed alike; but `late` gets each correction only after readers have gone on for a random time.
    SlewedLine line;
    SlewedLine late;
    const double rate = (1 + uniform(random) * 10e-6) / 2.3;
    line.Start(machine.ticks(), machine.ns(), rate);
    late.Start(machine.ticks(), machine.ns(), rate);
    int64_t newest_ns = 0;
    for (int correction = 0; correction < 40; ++correction) {
      machine.set_ticks_per_ns(2.3 * (1 + uniform(random) * 40e-6));
      const double gap_ns = std::abs(uniform(random)) * (random() % 8 == 0 ? 10e9 : 2e9);
      for (int step = 0; step < 20; ++step) {
        machine.Advance(gap_ns / 20);
        const int64_t shown = machine.Shown(line);
        ASSERT_GE(shown, newest_ns);
        newest_ns = shown;
      }
      const uint64_t ticks = machine.ticks();
      const int64_t ns = machine.ns() + static_cast<int64_t>(uniform(random) * 300);
      if (!line.Correct(ticks, ns)) {
        break;  // the drift of this round left the bounds
      }
      // A reader with the old piece, for a while of up to seconds; then one with the new piece.
      machine.Advance(std::abs(uniform(random)) * (random() % 4 == 0 ? 3e9 : 1e6));
      const int64_t old_shown = machine.Shown(late);
      ASSERT_GE(old_shown, newest_ns);
      const int64_t shown = machine.Shown(line);
      ASSERT_GE(shown, old_shown);
      newest_ns = shown;
      ASSERT_TRUE(late.Correct(ticks, ns));
      ASSERT_EQ(machine.Shown(late), shown);
    }
  }
}

TEST(SlewedLine, CatchesUpAfterALongPause) {
  Simulated machine(3.0);
  SlewedLine line;
  line.Start(machine.ticks(), machine.ns(), 1 / 3.0);
  machine.Advance(600e9);
  EXPECT_LT(machine.Shown(line), machine.ns());
  EXPECT_GT(machine.Shown(line), machine.ns() - 100 * kNsPerMs);
  ASSERT_TRUE(line.Correct(machine.ticks(), machine.ns()));
  machine.Advance(5e6);
  EXPECT_NEAR(static_cast<double>(machine.Shown(line)), static_cast<double>(machine.ns()), 1000);
}

TEST(SlewedLine, GivesUpACounterThatSteps) {
  for (const double step : {-1e9, -1e6, 1e6, 1e9, 1e13}) {
    Simulated machine(2.3);
    SlewedLine line;
    line.Start(machine.ticks(), machine.ns(), 1 / 2.3);
    machine.Advance(1e9);
    ASSERT_TRUE(line.Correct(machine.ticks(), machine.ns()));
    const int64_t before = machine.Shown(line);
    machine.StepTicks(step * 2.3);
    machine.Advance(0.5e9);
    EXPECT_FALSE(line.Correct(machine.ticks(), machine.ns())) << step;
    if (step < 0) {
      EXPECT_GE(machine.Shown(line) + 500 * kNsPerMs, before) << step;
    }
  }
}

TEST(SlewedLine, GivesUpACounterThatStopsOrChangesItsRate) {
  for (const double ticks_per_ns : {0.0, 2.0, 2.3 * 1.001, 4.6}) {
    Simulated machine(2.3);
    SlewedLine line;
    line.Start(machine.ticks(), machine.ns(), 1 / 2.3);
    machine.set_ticks_per_ns(ticks_per_ns);
    machine.Advance(1e9);
    EXPECT_FALSE(line.Correct(machine.ticks(), machine.ns())) << ticks_per_ns;
  }
}

TEST(SlewedLine, IgnoresReadingsThatAreTooCloseTogether) {
  Simulated machine(2.3);
  SlewedLine line;
  line.Start(machine.ticks(), machine.ns(), 1 / 2.3);
  for (int i = 0; i < 10'000; ++i) {
    machine.Advance(1000);
    ASSERT_TRUE(line.Correct(machine.ticks(), machine.ns() + (i % 2 == 0 ? 50 : -50)));
    ASSERT_NEAR(static_cast<double>(machine.Shown(line) - machine.ns()), 0, 10);
  }
}

}  // namespace
}  // namespace tickbridge
