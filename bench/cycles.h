// SPDX-License-Identifier: Apache-2.0
// Cycles of a piece of a benchmark: the core's own count where the machine gives one (perf_event_open), shown as
// `cycles`; else ticks of the time stamp counter, shown as `tsc`, which run at one rate whatever the core does. Which
// of them it is, is the name of the column: a virtual machine has the second only, as a rule.
//
// (Google Benchmark's --benchmark_perf_counters needs a library that was built with libpfm; the packaged one is not.)
//
// Threading: the thread that made it. Cost: Start and Stop are a system call each with `cycles`: put much between them.
#pragma once

#include <benchmark/benchmark.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace tickbridge {

class Cycles {
 public:
  Cycles() : fd_(Open()) { Start(); }
  ~Cycles() {
    if (fd_ >= 0) ::close(fd_);
  }
  Cycles(const Cycles&) = delete;
  Cycles& operator=(const Cycles&) = delete;

  void Start() { begun_ = Read(); }
  void Stop() { sum_ += Read() - begun_; }
  void Forget() { sum_ = 0; }

  // Of `operations`, between all the Starts and Stops.
  void Report(benchmark::State& state, int64_t operations) const {
    if (fd_ < 0 && !kHasTsc) return;
    state.counters[fd_ >= 0 ? "cycles" : "tsc"] = static_cast<double>(sum_) / static_cast<double>(operations);
  }

 private:
#if defined(__x86_64__)
  static constexpr bool kHasTsc = true;
#else
  static constexpr bool kHasTsc = false;
#endif

  static int Open() {
    perf_event_attr attributes;
    std::memset(&attributes, 0, sizeof(attributes));
    attributes.size = sizeof(attributes);
    attributes.type = PERF_TYPE_HARDWARE;
    attributes.config = PERF_COUNT_HW_CPU_CYCLES;
    attributes.exclude_kernel = 1;  // so that it is permitted to all
    attributes.exclude_hv = 1;
    return static_cast<int>(::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
  }
  uint64_t Read() const {
    uint64_t value = 0;
    if (fd_ >= 0) return ::read(fd_, &value, sizeof(value)) == sizeof(value) ? value : 0;
#if defined(__x86_64__)
    unsigned cpu;
    value = __rdtscp(&cpu);
#endif
    return value;
  }

  const int fd_;
  uint64_t begun_ = 0;
  uint64_t sum_ = 0;
};

// The columns of a benchmark whose items are ticks, lines or replies: ns and cycles of one.
inline void ReportPerItem(benchmark::State& state, const Cycles& cycles, int64_t items, const char* unit) {
  state.SetItemsProcessed(items);
  state.counters[unit] =
      benchmark::Counter(static_cast<double>(items) * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  cycles.Report(state, items);
}

}  // namespace tickbridge
