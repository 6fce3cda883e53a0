// SPDX-License-Identifier: Apache-2.0
// core/decimal.cc once more, compiled for a processor without SSE4.1: the other half of its code, which no build for
// x86-64-v3 runs.
#pragma once

#include <cstdint>

namespace tickbridge::fuzz {

// As core/decimal.h has them, whose types have another name here.
struct PortableResult {
  uint8_t error = 0;
  int64_t mantissa = 0;
  int8_t exponent = 0;
};

// ParseDecimalPadded with `mantissa` and `exponent` as the number that is there before.
PortableResult ParsePaddedPortable(const char* begin, const char* end, int64_t mantissa, int8_t exponent) noexcept;

}  // namespace tickbridge::fuzz
