// SPDX-License-Identifier: Apache-2.0
// What a runner does between two duty cycles that found nothing to do.
//
// Threading: one thread has its own. Cost: nothing but a store when there was work.
// A sleep takes as long as it says only where the thread's timer slack is small (core/runner.h sets it): by default the
// kernel adds 50 us to each.
#pragma once

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cstdint>

#include "core/types.h"

namespace tickbridge {

enum class IdleMode : uint8_t {
  kSpin,     // never gives the core away: the lowest latency, for a core of its own
  kYield,    // lets others run, and comes back at once
  kBackoff,  // spins a little, yields a little, then sleeps longer and longer up to a bound; at once where that is
             // known to cost nothing
};

class IdleStrategy {
 public:
  // `max_park_ns` bounds one sleep of kBackoff; 0 or less: it does not sleep, it yields.
  IdleStrategy(IdleMode mode, int64_t max_park_ns) : mode_(mode), max_park_ns_(max_park_ns) {}

  // `rest_ns`: for as long nothing will come (Agent::RestNs).
  void Idle(int work_done, int64_t rest_ns = 0) noexcept {
    if (work_done > 0) {
      idle_cycles_ = 0;
      park_ns_ = kMinParkNs;
      return;
    }
    if (mode_ == IdleMode::kSpin) return Pause();
    if (mode_ == IdleMode::kYield) {
      ::sched_yield();
      return;
    }
    if (rest_ns >= kRestMinNs && max_park_ns_ > 0) return Sleep(std::min(rest_ns, max_park_ns_));
    if (idle_cycles_ < kSpins) {
      ++idle_cycles_;
      return Pause();
    }
    if (idle_cycles_ < kSpins + kYields || max_park_ns_ <= 0) {
      idle_cycles_ = std::min(idle_cycles_ + 1, kSpins + kYields);
      ::sched_yield();
      return;
    }
    Sleep(std::min(park_ns_, max_park_ns_));
    park_ns_ = std::min(park_ns_ * 2, max_park_ns_);
  }

 private:
  static constexpr int kSpins = 100;
  static constexpr int kYields = 10;
  static constexpr int64_t kMinParkNs = 1'000;
  // About what falling asleep and waking costs.
  static constexpr int64_t kRestMinNs = 5'000;

  static void Sleep(int64_t ns) noexcept {
    const timespec park{static_cast<time_t>(ns / kNsPerSec), static_cast<long>(ns % kNsPerSec)};
    ::nanosleep(&park, nullptr);
  }
  static void Pause() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  const IdleMode mode_;
  const int64_t max_park_ns_;
  int idle_cycles_ = 0;
  int64_t park_ns_ = kMinParkNs;
};

}  // namespace tickbridge
