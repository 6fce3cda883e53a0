// SPDX-License-Identifier: Apache-2.0
// Reading, calibrating and correcting the clocks.
#include "core/clock.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

namespace tickbridge {
namespace {

constexpr int kReadAttempts = 8;
constexpr int64_t kCalibrationNs = 10 * kNsPerMs;
// Two readings further apart than this were interrupted and say little; the next Maintain tries again.
constexpr int64_t kBracketNsMax = 10 * kNsPerUs;
constexpr int64_t kStepBackNsMin = kNsPerSec;

// Of the rate. A kernel that slews by more, or a counter that changes by more, is not followed.
constexpr double kSlewMax = 100e-6;
constexpr double kRateChangeMax = 200e-6;
// A new piece begins this much later than the reading it is made from, so that it rarely begins in the past.
constexpr int64_t kLeadNs = kNsPerMs;
// Evaluate rounds each of two products down, so two lines that meet may cross by so much.
constexpr int64_t kRoundingNs = 2;
constexpr double kRateUnit = 4'294'967'296.0;

int64_t ReadClock(clockid_t id) noexcept {
  timespec time{};
  ::clock_gettime(id, &time);
  return int64_t{time.tv_sec} * kNsPerSec + time.tv_nsec;
}

uint64_t ReadTicks() noexcept {
#if defined(__x86_64__)
  // Not rdtsc, though it takes 8 ns less: it may be executed before an earlier load, and then shows a time up to some
  // 70 ns before that in the message which the load brought from another thread (measured: one reading in two million).
  unsigned cpu;
  return __rdtscp(&cpu);
#else
  return 0;
#endif
}

bool KernelTrustsCounter() noexcept {
#if defined(__x86_64__)
  const int fd = ::open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char text[16] = {};
  const ssize_t size = ::read(fd, text, sizeof(text));
  ::close(fd);
  return size >= 0 && std::string_view(text, static_cast<size_t>(size)) == "tsc\n";
#else
  return false;
#endif
}

bool CounterIsInvariant() noexcept {
#if defined(__x86_64__)
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  constexpr unsigned kRdtscp = 1U << 27U;       // of leaf 0x80000001
  constexpr unsigned kInvariantTsc = 1U << 8U;  // of leaf 0x80000007
  if (__get_cpuid(0x80000001, &a, &b, &c, &d) == 0 || (d & kRdtscp) == 0) return false;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & kInvariantTsc) != 0;
#else
  return false;
#endif
}

struct BothClocks {
  uint64_t ticks = 0;
  int64_t ns = 0;
  uint64_t uncertainty_ticks = ~uint64_t{0};
};

BothClocks ReadBoth() noexcept {
  BothClocks best;
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    const uint64_t before = ReadTicks();
    const int64_t ns = ReadClock(CLOCK_MONOTONIC);
    const uint64_t between = ReadTicks() - before;
    if (between < best.uncertainty_ticks) best = {before + between / 2, ns, between};
  }
  return best;
}

}  // namespace

MonoNs SystemClock::ReadMonotonic() noexcept { return MonoNs{ReadClock(CLOCK_MONOTONIC)}; }

void SystemClock::Maintain() noexcept {
  int64_t offset_ns = 0;
  int64_t best_ns = INT64_MAX;
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    const int64_t before = ReadClock(CLOCK_MONOTONIC);
    const int64_t unix_ns = ReadClock(CLOCK_REALTIME);
    const int64_t between = ReadClock(CLOCK_MONOTONIC) - before;
    if (between < best_ns) {
      best_ns = between;
      offset_ns = unix_ns - (before + between / 2);
    }
  }
  unix_offset_ns_.store(offset_ns, std::memory_order_relaxed);
}

void SlewedLine::Start(uint64_t ticks, int64_t ns, double ns_per_tick) noexcept {
  rate_calibrated_ = ns_per_tick;
  rate_floor_ = static_cast<uint64_t>(ns_per_tick * (1 - kSlewMax) * kRateUnit);
  current_ = Line{ticks, static_cast<uint64_t>(static_cast<double>(kPieceNs) / ns_per_tick), ns,
                  static_cast<uint64_t>(ns_per_tick * kRateUnit)};
  last_ticks_ = ticks;
  last_ns_ = ns;
  Publish(current_);
}

bool SlewedLine::Correct(uint64_t ticks, int64_t ns) noexcept {
  if (ticks < last_ticks_ || ns < last_ns_) return false;
  if (ns - last_ns_ < kIntervalNsMin) {
    // Ticks that ran away from the time are a step, at any interval.
    const double elapsed_ns = static_cast<double>(ticks - last_ticks_) * rate_calibrated_;
    return elapsed_ns < static_cast<double>(2 * kIntervalNsMin);
  }
  const double rate = static_cast<double>(ns - last_ns_) / static_cast<double>(ticks - last_ticks_);
  if (!(std::abs(rate / rate_calibrated_ - 1) <= kRateChangeMax)) return false;  // also where no tick passed
  last_ticks_ = ticks;
  last_ns_ = ns;
  if (ticks < current_.begin_ticks) return true;

  const uint64_t begin = std::max(current_.begin_ticks + current_.length_ticks,
                                  ticks + static_cast<uint64_t>(static_cast<double>(kLeadNs) / rate));
  const int64_t shown_ns = Evaluate(current_, begin);
  const int64_t true_ns = ns + std::llround(static_cast<double>(begin - ticks) * rate);
  const int64_t behind_ns = true_ns - shown_ns;
  if (behind_ns < -kAheadNsMax) return false;
  const bool jump = behind_ns > kBehindNsMax;
  const double slew = jump ? 0 : static_cast<double>(behind_ns) / static_cast<double>(kPieceNs);
  const double slewed = rate * (1 + std::clamp(slew, -kSlewMax, kSlewMax));
  const Line next{begin, static_cast<uint64_t>(static_cast<double>(kPieceNs) / rate),
                  jump ? true_ns : shown_ns + kRoundingNs,
                  std::max(rate_floor_, static_cast<uint64_t>(slewed * kRateUnit))};
  Publish(next);
  current_ = next;
  return true;
}

void SlewedLine::Publish(const Line& line) noexcept {
  const uint64_t count = count_.load(std::memory_order_relaxed) + 1;  // only this thread changes it
  Piece& piece = pieces_[count % kPieces];
  piece.begin_ticks.store(line.begin_ticks, std::memory_order_release);               // (2)
  piece.length_ticks.store(line.length_ticks, std::memory_order_release);             // (2)
  piece.begin_ns.store(line.begin_ns, std::memory_order_release);                     // (2)
  piece.rate.store(line.rate, std::memory_order_release);                             // (2)
  piece.before_begin_ticks.store(current_.begin_ticks, std::memory_order_release);    // (2)
  piece.before_length_ticks.store(current_.length_ticks, std::memory_order_release);  // (2)
  piece.before_begin_ns.store(current_.begin_ns, std::memory_order_release);          // (2)
  piece.before_rate.store(current_.rate, std::memory_order_release);                  // (2)
  count_.store(count, std::memory_order_release);                                     // (3)
}

// Also before the line's begin, where it stands still, and behind its end, where it goes on at the floor rate.
int64_t SlewedLine::Evaluate(const Line& line, uint64_t ticks) const noexcept {
  if (static_cast<int64_t>(ticks - line.begin_ticks) < 0) return line.begin_ns;
  const uint64_t inside = std::min(ticks - line.begin_ticks, line.length_ticks);
  const uint64_t behind = ticks - line.begin_ticks - inside;
  return line.begin_ns + Scale(inside, line.rate) + Scale(behind, rate_floor_);
}

bool SlewedLine::ReadOutside(const Piece& piece, uint64_t ticks, const Line& line, uint64_t count,
                             int64_t* ns) const noexcept {
  const Line before{piece.before_begin_ticks.load(std::memory_order_acquire),
                    piece.before_length_ticks.load(std::memory_order_acquire),
                    piece.before_begin_ns.load(std::memory_order_acquire),
                    piece.before_rate.load(std::memory_order_acquire)};  // (1)
  if (!StillValid(count)) return false;
  *ns = Evaluate(static_cast<int64_t>(ticks - line.begin_ticks) < 0 ? before : line, ticks);
  return true;
}

std::unique_ptr<TscClock> TscClock::Create() {
  if (!CounterIsInvariant() || !KernelTrustsCounter()) return nullptr;
  const BothClocks first = ReadBoth();
  while (ReadClock(CLOCK_MONOTONIC) - first.ns < kCalibrationNs) {
  }
  const BothClocks last = ReadBoth();
  if (last.ticks <= first.ticks) return nullptr;
  const double rate = static_cast<double>(last.ns - first.ns) / static_cast<double>(last.ticks - first.ticks);
  // A reading that was interrupted eight times would leave the rate wrong for good; the machine is too busy to
  // calibrate on.
  const double uncertainty_ns = static_cast<double>(first.uncertainty_ticks + last.uncertainty_ticks) * rate;
  if (uncertainty_ns > static_cast<double>(kCalibrationNs) * kSlewMax || !KernelTrustsCounter()) return nullptr;
  std::unique_ptr<TscClock> clock(new TscClock);
  clock->line_.Start(last.ticks, last.ns, rate);
  return clock;
}

MonoNs TscClock::Now() const noexcept {
  if (fell_back_.load(std::memory_order_acquire)) [[unlikely]] {  // (4)
    // Relaxed: published by (4), and never changed again.
    return std::max(ReadMonotonic(), MonoNs{hold_ns_.load(std::memory_order_relaxed)});
  }
  return MonoNs{line_.Read(ReadTicks)};
}

void TscClock::Maintain() noexcept {
  SystemClock::Maintain();
  if (fell_back_.load(std::memory_order_relaxed)) return;  // set by this thread only
  bool trusted = KernelTrustsCounter();
  if (trusted) {
    const BothClocks now = ReadBoth();
    if (static_cast<double>(now.uncertainty_ticks) * line_.ns_per_tick() > static_cast<double>(kBracketNsMax)) return;
    trusted = line_.Correct(now.ticks, now.ns);
  }
  if (trusted) return;
  const int64_t shown_ns = line_.Read(ReadTicks);
  const bool hold = shown_ns - ReadClock(CLOCK_MONOTONIC) < kStepBackNsMin;
  hold_ns_.store(hold ? shown_ns : 0, std::memory_order_relaxed);
  fell_back_.store(true, std::memory_order_release);  // (4)
}

std::unique_ptr<Clock> MakeClock() {
  if (std::unique_ptr<TscClock> clock = TscClock::Create()) return clock;
  return std::make_unique<SystemClock>();
}

}  // namespace tickbridge
