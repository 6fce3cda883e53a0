// SPDX-License-Identifier: Apache-2.0
// The bridge's clocks in a simulation, moved by the world.
#pragma once

#include <functional>
#include <utility>

#include "core/clock.h"

namespace tickbridge::sim {

class SimClock final : public Clock {
 public:
  MonoNs Now() const noexcept override { return now_; }
  // A place in the middle of a lane's work, where other threads may do something.
  UnixNs ToUnix(MonoNs time) const noexcept override {
    meanwhile();
    return UnixNs{time.value + offset_ns_};
  }
  void Advance(int64_t ns) { now_ = now_ + ns; }
  // Somebody sets the system's clock.
  void Jump(int64_t ns) { offset_ns_ += ns; }
  int64_t unix_offset_ns() const { return offset_ns_; }

  std::function<void()> meanwhile = [] {};

 private:
  MonoNs now_{kNsPerSec};
  int64_t offset_ns_ = 1'700'000'000 * kNsPerSec;
};

}  // namespace tickbridge::sim
