// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/tick.h"
#include "core/types.h"

namespace tickbridge {

// A quote with all that the default value shows, 115 bytes of it.
inline Tick FullTick(int64_t i) {
  Tick tick;
  tick.Set(Field::kLast, {2'100'025 + i % 9, -2});
  tick.Set(Field::kBid, {2'100'012, -2});
  tick.Set(Field::kAsk, {2'100'051, -2});
  tick.Set(Field::kVolume, {12'345 + i % 9, 0});
  tick.Set(Field::kHigh, {2'110'025, -2});
  tick.Set(Field::kLow, {2'095'025, -2});
  tick.quote_time = tick.trade_time = VenueNsFromMs(1'700'000'000'000 + i);
  return tick;
}

}  // namespace tickbridge
