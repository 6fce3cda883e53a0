// SPDX-License-Identifier: Apache-2.0
// Time. MonoNs is CLOCK_MONOTONIC, the same for every process of this host; UnixNs is what strategies and venues speak.
//
// Cost: a reading of the time stamp counter takes about as long as the vDSO's clock_gettime, 18 ns against 19; see
// ReadTicks in
//   clock.cc for what would be faster, and what it would break.
// Threading: Now, UnixNow and ToUnix by any thread, without locks or waiting; Maintain by one thread at a time, about
// once a
//   second, and not a hot one: it reads a file of the kernel's.
// Guarantees: Now never decreases, also between threads of which one saw what the other did after its reading, and
//   however long Maintain is held up. Unix time may step, since the system's does.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/types.h"

namespace tickbridge {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonoNs Now() const noexcept = 0;
  virtual UnixNs ToUnix(MonoNs time) const noexcept = 0;
  virtual void Maintain() noexcept {}
  UnixNs UnixNow() const noexcept { return ToUnix(Now()); }
};

// clock_gettime, a vDSO call of some 20 ns. The offset to Unix time follows steps of the system's clock at Maintain.
class SystemClock : public Clock {
 public:
  SystemClock() { SystemClock::Maintain(); }
  MonoNs Now() const noexcept override { return ReadMonotonic(); }
  UnixNs ToUnix(MonoNs time) const noexcept override {
    // Relaxed: a single word, and no other data hangs on it.
    return UnixNs{time.value + unix_offset_ns_.load(std::memory_order_relaxed)};
  }
  void Maintain() noexcept override;

  static MonoNs ReadMonotonic() noexcept;

 private:
  std::atomic<int64_t> unix_offset_ns_{0};
};

// Nanoseconds from the ticks of a counter: straight pieces laid end to end, each with the rate that brings the line
// back to the true time by its end. A piece that nothing followed goes on at a floor rate, which no later piece goes
// below; and a new piece begins no earlier than the last one's end. So whenever a reader comes to see a new piece, it
// is not below what the old one showed: the line never steps back, though nobody waits for anybody.
//
// Threading: Correct by one thread; Read by any thread.
// Progress: Read is lock-free: it repeats only if kPieces − 1 corrections (seconds) happened meanwhile.
// Memory order: Correct's release (2) of each word publishes what Read's acquire (1) observes. A word of a piece being
//   overwritten was stored after the count that makes the repeated load of it (3) differ.
class SlewedLine {
 public:
  // Ticks at a time, and the rate measured until then.
  void Start(uint64_t ticks, int64_t ns, double ns_per_tick) noexcept;

  // Both clocks read at once. Readings less than kIntervalNsMin after the last used one are ignored. False: the counter
  // cannot be trusted (it ran backwards, its rate changed, or the line is too far ahead of the true time); the line is
  // as it was.
  bool Correct(uint64_t ticks, int64_t ns) noexcept;

  // The time at the ticks that `read_ticks` returns; it is called after the piece to use was chosen.
  template <typename ReadTicks>
  int64_t Read(ReadTicks&& read_ticks) const noexcept {
    while (true) {
      const uint64_t count = count_.load(std::memory_order_acquire);
      const Piece& piece = pieces_[count % kPieces];
      const uint64_t ticks = read_ticks();
      const uint64_t begin = piece.begin_ticks.load(std::memory_order_acquire);    // (1)
      const uint64_t length = piece.length_ticks.load(std::memory_order_acquire);  // (1)
      const int64_t begin_ns = piece.begin_ns.load(std::memory_order_acquire);     // (1)
      const uint64_t rate = piece.rate.load(std::memory_order_acquire);            // (1)
      if (ticks - begin < length) [[likely]] {
        if (StillValid(count)) [[likely]] {
          return begin_ns + Scale(ticks - begin, rate);
        }
        continue;
      }
      int64_t ns = 0;
      if (ReadOutside(piece, ticks, Line{begin, length, begin_ns, rate}, count, &ns)) {
        return ns;
      }
    }
  }

  // As calibrated.
  double ns_per_tick() const noexcept { return rate_calibrated_; }

  static constexpr int64_t kPieceNs = 2 * kNsPerSec;
  static constexpr int64_t kIntervalNsMin = 100 * kNsPerMs;
  // A line that is behind by more goes to the true time at once; one that is ahead by more is given up.
  static constexpr int64_t kBehindNsMax = 100 * kNsPerUs;
  static constexpr int64_t kAheadNsMax = kNsPerMs;

 private:
  static constexpr size_t kPieces = 4;

  struct Line {
    uint64_t begin_ticks = 0;
    uint64_t length_ticks = 0;
    int64_t begin_ns = 0;
    uint64_t rate = 0;  // ns / tick × 2^32
  };
  // A piece, and the one before it, which is in force until this one begins.
  struct alignas(64) Piece {
    std::atomic<uint64_t> begin_ticks{0};
    std::atomic<uint64_t> length_ticks{0};
    std::atomic<int64_t> begin_ns{0};
    std::atomic<uint64_t> rate{0};
    std::atomic<uint64_t> before_begin_ticks{0};
    std::atomic<uint64_t> before_length_ticks{0};
    std::atomic<int64_t> before_begin_ns{0};
    std::atomic<uint64_t> before_rate{0};
  };
  static_assert(sizeof(Piece) == 64);

  static int64_t Scale(uint64_t ticks, uint64_t rate) noexcept {
    __extension__ using Wide = unsigned __int128;
    return static_cast<int64_t>((Wide{ticks} * rate) >> 32U);
  }
  bool StillValid(uint64_t count) const noexcept {
    return count_.load(std::memory_order_relaxed) - count < kPieces - 1;  // (3)
  }
  int64_t Evaluate(const Line& line, uint64_t ticks) const noexcept;
  bool ReadOutside(const Piece& piece, uint64_t ticks, const Line& line, uint64_t count, int64_t* ns) const noexcept;
  void Publish(const Line& line) noexcept;

  std::array<Piece, kPieces> pieces_;
  std::atomic<uint64_t> count_{0};
  // Set by Start, before the line is shared.
  uint64_t rate_floor_ = 0;
  double rate_calibrated_ = 0;
  // Of the thread that corrects.
  Line current_;
  uint64_t last_ticks_ = 0;
  int64_t last_ns_ = 0;
};

// The time stamp counter on a SlewedLine, where the counter is invariant and the kernel itself trusts it. When it
// proves wrong (a virtual machine was moved, the kernel gave it up) this is clock_gettime from then on, held at the
// last reading until the true time has passed it; only if that is more than a second away is the clock stepped back.
class TscClock final : public SystemClock {
 public:
  // Null where the counter cannot be trusted. Takes 10 ms.
  static std::unique_ptr<TscClock> Create();

  MonoNs Now() const noexcept override;
  void Maintain() noexcept override;
  bool fell_back() const noexcept { return fell_back_.load(std::memory_order_acquire); }

 private:
  TscClock() = default;

  SlewedLine line_;
  // (4) publishes hold_ns_, and with it all that was read from the line until then.
  std::atomic<bool> fell_back_{false};
  std::atomic<int64_t> hold_ns_{0};
};

// Set by hand; for tests and simulations. Now may be read by any thread.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(MonoNs now = MonoNs{kNsPerSec}, UnixNs unix_at_zero = UnixNs{1'700'000'000 * kNsPerSec})
      : now_(now.value), unix_at_zero_(unix_at_zero) {}
  MonoNs Now() const noexcept override { return MonoNs{now_.load(std::memory_order_acquire)}; }
  UnixNs ToUnix(MonoNs time) const noexcept override { return UnixNs{unix_at_zero_.value + time.value}; }
  void Set(MonoNs now) noexcept { now_.store(now.value, std::memory_order_release); }
  void Advance(int64_t ns) noexcept { now_.fetch_add(ns, std::memory_order_acq_rel); }

 private:
  std::atomic<int64_t> now_;
  const UnixNs unix_at_zero_;
};

// The best of this machine.
std::unique_ptr<Clock> MakeClock();

}  // namespace tickbridge
