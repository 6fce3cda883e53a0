// SPDX-License-Identifier: Apache-2.0
// The same source under another namespace, so that both fit into one program. CMakeLists.txt takes SSE4.1 away.
#if defined(__SSE4_1__)
#error "this file is to be compiled with -mno-sse4.1"
#endif

#include "tests/fuzz/decimal_portable.h"

#define tickbridge tickbridge_portable
#include "core/decimal.cc"  // NOLINT(bugprone-suspicious-include)
#undef tickbridge

tickbridge::fuzz::PortableResult tickbridge::fuzz::ParsePaddedPortable(const char* begin, const char* end,
                                                                       int64_t mantissa, int8_t exponent) noexcept {
  tickbridge_portable::Decimal value{mantissa, exponent};
  const tickbridge_portable::DecimalError error = tickbridge_portable::ParseDecimalPadded(begin, end, &value);
  return {static_cast<uint8_t>(error), value.mantissa, value.exponent};
}
