// SPDX-License-Identifier: Apache-2.0
#include "bench/coverage.h"

#include <algorithm>

namespace tickbridge {

Coverage::Coverage(uint32_t symbols, uint32_t waiting_max)
    : queues_(symbols),
      places_(std::max(symbols, waiting_max)),
      free_count_(static_cast<uint32_t>(places_.size())),
      idle_symbols_(symbols) {
  for (uint32_t i = 0; i < places_.size(); ++i) {
    places_[i] = {MonoNs{}, i + 1 < places_.size() ? i + 1 : kNone, 0};
  }
}

}  // namespace tickbridge
