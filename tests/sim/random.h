// SPDX-License-Identifier: Apache-2.0
// Choices of a simulation, all from one seed. Our own distributions: those of the standard library differ between
// implementations, and a seed has to mean the same everywhere.
#pragma once

#include <cstdint>
#include <random>

namespace tickbridge::sim {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  // 0 … n−1.
  uint64_t Below(uint64_t n) { return engine_() % n; }
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Below(static_cast<uint64_t>(high - low + 1)));
  }
  bool Chance(double p) { return static_cast<double>(engine_() >> 11) * 0x1p-53 < p; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace tickbridge::sim
