// SPDX-License-Identifier: Apache-2.0
//
// Runners with agents that write down what is done to them, on real threads.

#include "core/runner.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/agent.h"
#include "core/clock.h"
#include "core/idle_strategy.h"
#include "core/machine.h"

namespace tickbridge {
namespace {

class Recorder : public Agent {
 public:
  explicit Recorder(int work = 0) : work_(work) {}

  int DoWork() noexcept override {
    EXPECT_TRUE(started && !closed);
    EXPECT_TRUE(pthread_equal(thread, pthread_self()));
    cycles.fetch_add(1, std::memory_order_relaxed);
    if (slow.exchange(false, std::memory_order_relaxed)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return work_;
  }
  std::string_view name() const override { return "recorder"; }
  void OnStart() noexcept override {
    started = true;
    thread = pthread_self();
    char text[16] = {};
    pthread_getname_np(thread, text, sizeof(text));
    thread_name = text;
    CPU_ZERO(&cpus);
    sched_getaffinity(0, sizeof(cpus), &cpus);
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  }
  void OnClose() noexcept override { closed = true; }

  void AwaitCycles(uint64_t count) const {
    while (cycles.load(std::memory_order_relaxed) < count) {
      std::this_thread::yield();
    }
  }

  bool started = false;
  bool closed = false;
  pthread_t thread{};
  std::string thread_name;
  cpu_set_t cpus;
  sigset_t mask;
  std::atomic<bool> slow{false};
  std::atomic<uint64_t> cycles{0};

 private:
  const int work_;
};

int FirstAllowedCpu() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof(allowed), &allowed);
  size_t cpu = 0;
  while (!CPU_ISSET(cpu, &allowed)) {
    ++cpu;
  }
  return static_cast<int>(cpu);
}

TEST(Runner, TurnsItsAgentsFromStartToClose) {
  SystemClock clock;
  for (const IdleMode mode : {IdleMode::kSpin, IdleMode::kYield, IdleMode::kBackoff}) {
    Recorder first(0);
    Recorder second(1);
    Runner runner({.name = "a-rather-long-runner-name", .idle = mode}, {&first, &second}, &clock);
    ASSERT_TRUE(runner.Start().ok());
    EXPECT_EQ(runner.Start().code(), absl::StatusCode::kFailedPrecondition);
    first.AwaitCycles(1000);
    runner.Stop();
    runner.Join();
    EXPECT_TRUE(first.closed && second.closed);
    EXPECT_EQ(first.cycles.load(), second.cycles.load());
    EXPECT_EQ(runner.cycles(), first.cycles.load());
    EXPECT_EQ(first.thread_name, "a-rather-long-r");
  }
}

TEST(Runner, PinsBeforeTheFirstAgentStarts) {
  SystemClock clock;
  Recorder agent;
  const int cpu = FirstAllowedCpu();
  Runner runner({.name = "pinned", .cpu = cpu}, {&agent}, &clock);
  ASSERT_TRUE(runner.Start().ok());
  agent.AwaitCycles(1);
  runner.Stop();
  runner.Join();
  EXPECT_EQ(CPU_COUNT(&agent.cpus), 1);
  EXPECT_TRUE(CPU_ISSET(static_cast<size_t>(cpu), &agent.cpus));
}

TEST(Runner, RefusesACpuThatItMayNotUse) {
  SystemClock clock;
  cpu_set_t before;
  CPU_ZERO(&before);
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  const int cpu = FirstAllowedCpu();
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<size_t>(cpu), &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  std::vector<int> wrongs = {-2, 40'000, 1'000'000};
  if (CPU_COUNT(&before) > 1) wrongs.push_back(cpu + 1);
  // Without sysfs nobody knows which CPUs there are, but which may be used.
  const bool knows_cpus = !ReadCpus().present.empty();
  const std::string may_use = "the CPUs " + std::to_string(cpu) + " (";
  for (const int wrong : wrongs) {
    const bool exists = wrong == cpu + 1 || (wrong >= 0 && !knows_cpus);
    Recorder agent;
    Runner runner({.name = "main", .cpu = wrong}, {&agent}, &clock);
    const absl::Status status = runner.Start();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    for (const std::string& part :
         {std::string("runner.main.cpu = ") + std::to_string(wrong), exists ? may_use : std::string("no such CPU")}) {
      EXPECT_NE(std::string(status.message()).find(part), std::string::npos) << status.message();
    }
    EXPECT_FALSE(agent.started);
  }
  if (CPU_COUNT(&before) > 1) {
    // The starting thread keeps off it; the process was given it all the same.
    Recorder agent;
    Runner runner({.name = "main", .cpu = cpu + 1, .affinity = {cpu, cpu + 1}}, {&agent}, &clock);
    EXPECT_TRUE(runner.Start().ok());
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

TEST(Runner, HasItsPriorityAndItsChildrenDoNot) {
  struct Parent final : Recorder {
    void OnStart() noexcept override {
      Recorder::OnStart();
      policy = sched_getscheduler(0);
      std::thread([this] { child_policy = sched_getscheduler(0); }).join();
    }
    int policy = -1;
    int child_policy = -1;
  };
  int permitted = -1;
  std::thread([&] {
    const sched_param param{.sched_priority = 7};
    permitted = sched_setscheduler(0, SCHED_FIFO, &param);
  }).join();
  SystemClock clock;
  Parent agent;
  Runner runner({.name = "main", .priority = 7}, {&agent}, &clock);
  const absl::Status status = runner.Start();
  if (permitted != 0) {
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    for (const char* part : {"runner.main.priority = 7", "RLIMIT_RTPRIO", "CAP_SYS_NICE"}) {
      EXPECT_NE(std::string(status.message()).find(part), std::string::npos) << status.message();
    }
    EXPECT_FALSE(agent.started);
    return;
  }
  ASSERT_TRUE(status.ok()) << status;
  agent.AwaitCycles(1);
  runner.Stop();
  runner.Join();
  EXPECT_EQ(agent.policy, SCHED_FIFO | SCHED_RESET_ON_FORK);
  EXPECT_EQ(agent.child_policy, SCHED_OTHER);
}

TEST(Runner, LeavesSignalsToTheMainThread) {
  SystemClock clock;
  Recorder agent;
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, nullptr, &before);
  {
    Runner runner({.name = "signals"}, {&agent}, &clock);
    ASSERT_TRUE(runner.Start().ok());
    agent.AwaitCycles(1);
  }
  EXPECT_TRUE(agent.closed) << "the destructor stops and joins";
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGCHLD}) {
    EXPECT_EQ(sigismember(&agent.mask, signal), 1) << signal;
  }
  EXPECT_EQ(sigismember(&agent.mask, SIGSEGV), 0);
  sigset_t after;
  pthread_sigmask(SIG_BLOCK, nullptr, &after);
  EXPECT_EQ(sigismember(&after, SIGINT), sigismember(&before, SIGINT));
}

TEST(Runner, FindsTheLongestDutyCycleAmongMany) {
  SystemClock clock;
  Recorder agent(1);
  Runner runner({.name = "slow", .idle = IdleMode::kSpin}, {&agent}, &clock);
  ASSERT_TRUE(runner.Start().ok());
  agent.AwaitCycles(1003);
  agent.slow.store(true, std::memory_order_relaxed);
  agent.AwaitCycles(agent.cycles.load() + 1000);
  runner.Stop();
  runner.Join();
  EXPECT_GE(runner.cycle_ns_max(), 20 * kNsPerMs);
}

TEST(Runner, IdlingIsNoPartOfTheDutyCycle) {
  SystemClock clock;
  Recorder agent;
  Runner runner({.name = "idle", .max_park_ns = 300 * kNsPerMs}, {&agent}, &clock);
  ASSERT_TRUE(runner.Start().ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  runner.Stop();
  runner.Join();
  EXPECT_LT(runner.cycle_ns_max(), 200 * kNsPerMs);
  EXPECT_LT(runner.cycles(), 1000U) << "it does sleep";
}

TEST(IdleStrategy, BacksOffUntilThereIsWork) {
  const auto elapsed_ns = [](IdleStrategy& idle, int work, int times) {
    const MonoNs begin = SystemClock::ReadMonotonic();
    for (int i = 0; i < times; ++i) {
      idle.Idle(work);
    }
    return SystemClock::ReadMonotonic() - begin;
  };
  IdleStrategy idle(IdleMode::kBackoff, 20 * kNsPerMs);
  elapsed_ns(idle, 0, 140);
  EXPECT_GE(elapsed_ns(idle, 0, 1), 19 * kNsPerMs);
  idle.Idle(1);
  // The least of several, since this thread may be held up at any time.
  int64_t least_ns = kNsPerSec;
  for (int i = 0; i < 20; ++i) {
    idle.Idle(1);
    least_ns = std::min(least_ns, elapsed_ns(idle, 0, 1));
  }
  EXPECT_LT(least_ns, 5 * kNsPerMs) << "work makes it spin again";
}

TEST(IdleStrategy, RestsAtOnceButNoLongerThanItMayPark) {
  const auto slept_ns = [](IdleMode mode, int64_t max_park_ns, int64_t rest_ns, int work) {
    IdleStrategy idle(mode, max_park_ns);
    const MonoNs begin = SystemClock::ReadMonotonic();
    idle.Idle(work, rest_ns);
    return SystemClock::ReadMonotonic() - begin;
  };
  EXPECT_GE(slept_ns(IdleMode::kBackoff, kNsPerSec, 20 * kNsPerMs, 0), 20 * kNsPerMs);
  EXPECT_GE(slept_ns(IdleMode::kBackoff, 20 * kNsPerMs, 3'600 * kNsPerSec, 0), 20 * kNsPerMs);
  // An hour would be noticed.
  EXPECT_LT(slept_ns(IdleMode::kBackoff, 3'600 * kNsPerSec, 3'600 * kNsPerSec, 1), 60 * kNsPerSec);
  EXPECT_LT(slept_ns(IdleMode::kBackoff, 0, 3'600 * kNsPerSec, 0), 60 * kNsPerSec);
  EXPECT_LT(slept_ns(IdleMode::kSpin, 3'600 * kNsPerSec, 3'600 * kNsPerSec, 0), 60 * kNsPerSec);
}

TEST(Runner, RestsOnlyWhereAllWhoKnowAgree) {
  struct Waiting final : Agent {
    explicit Waiting(int64_t rest_ns) : rest(rest_ns) {}
    int DoWork() noexcept override {
      cycles.fetch_add(1, std::memory_order_relaxed);
      return 0;
    }
    int64_t RestNs() const noexcept override { return rest; }
    std::string_view name() const override { return "waiting"; }
    const int64_t rest;
    std::atomic<uint64_t> cycles{0};
  };
  SystemClock clock;
  const auto cycles_in_a_while = [&](std::vector<Agent*> agents, const Waiting& counted) {
    Runner runner({.name = "main", .idle = IdleMode::kBackoff, .max_park_ns = 40 * kNsPerMs}, std::move(agents),
                  &clock);
    EXPECT_TRUE(runner.Start().ok());
    const MonoNs end = clock.Now() + 200 * kNsPerMs;
    while (clock.Now() < end) std::this_thread::yield();
    runner.Stop();
    runner.Join();
    return counted.cycles.load();
  };
  Waiting blocked(kNsPerSec);
  Waiting silent(Agent::kNoSay);
  EXPECT_LE(cycles_in_a_while({&blocked, &silent}, blocked), 10u);
  Waiting alert(0);
  EXPECT_GE(cycles_in_a_while({&blocked, &alert}, alert), 50u) << "spins and yields first";
  Waiting alone(Agent::kNoSay);
  EXPECT_GE(cycles_in_a_while({&alone}, alone), 50u);
}

TEST(IdleStrategy, SleepsWholeSecondsAndNotAtAllWhenForbidden) {
  IdleStrategy never(IdleMode::kBackoff, 0);
  for (int i = 0; i < 300; ++i) {
    never.Idle(0);
  }
  IdleStrategy longer(IdleMode::kBackoff, 1'100 * kNsPerMs);
  for (int i = 0; i < 110 + 20; ++i) {  // spins, yields, and sleeps of 1 us … 524 ms
    longer.Idle(0);
  }
  const MonoNs begin = SystemClock::ReadMonotonic();
  longer.Idle(0);
  EXPECT_GE(SystemClock::ReadMonotonic() - begin, 1'040 * kNsPerMs);
}

}  // namespace
}  // namespace tickbridge
