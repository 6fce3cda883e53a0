// SPDX-License-Identifier: Apache-2.0
// One decoded input record about a symbol, before it is merged, and the snapshot that a reader gets after.
//
// Units: prices and sizes are exact decimals (core/decimal.h); times are Unix nanoseconds, 0 = not given.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>

#include "core/decimal.h"
#include "core/types.h"

namespace tickbridge {

// The value fields of a quote. The order is that of the slot's memory: the quote group first, then the trade group.
enum class Field : uint8_t { kBid, kAsk, kBidSize, kAskSize, kLast, kLastSize, kVolume, kHigh, kLow };
inline constexpr size_t kFieldCount = 9;

using FieldMask = uint16_t;
constexpr FieldMask Bit(Field field) { return static_cast<FieldMask>(1u << static_cast<unsigned>(field)); }
constexpr size_t Index(Field field) { return static_cast<size_t>(field); }

inline constexpr FieldMask kQuoteFields =
    Bit(Field::kBid) | Bit(Field::kAsk) | Bit(Field::kBidSize) | Bit(Field::kAskSize);
inline constexpr FieldMask kTradeFields =
    Bit(Field::kLast) | Bit(Field::kLastSize) | Bit(Field::kVolume) | Bit(Field::kHigh) | Bit(Field::kLow);
inline constexpr FieldMask kPriceFields =
    Bit(Field::kBid) | Bit(Field::kAsk) | Bit(Field::kLast) | Bit(Field::kHigh) | Bit(Field::kLow);

// What a venue says of trading in a symbol. kGap: the book is known to be incomplete.
enum class Status : uint8_t { kOk, kHalted, kGap, kClosed };

// A venue's own time, Unix nanoseconds, 0 = none. Unsigned, since the latest Timestamp that may be published (the year
// 2286) lies past what int64 nanoseconds hold.
struct VenueNs {
  uint64_t value = 0;
  auto operator<=>(const VenueNs&) const = default;
};
constexpr VenueNs VenueNsFromMs(int64_t unix_ms) { return VenueNs{static_cast<uint64_t>(unix_ms) * 1'000'000}; }
constexpr UnixMs ToUnixMs(VenueNs time) { return UnixMs{static_cast<int64_t>(time.value / 1'000'000)}; }

// A quote, a trade, a summary, or any mix. A field may be given (`given`), cleared by the venue (`cleared`),
// or absent (neither); it is never both.
struct Tick {
  std::array<Decimal, kFieldCount> value;  // meaningful only where `given` has the bit
  FieldMask given = 0;
  FieldMask cleared = 0;
  bool has_status = false;
  Status status = Status::kOk;
  VenueNs quote_time;  // venue time of the quote group; 0: the venue gave none
  VenueNs trade_time;  // venue time of the trade group

  void Set(Field field, Decimal decimal) {
    value[Index(field)] = decimal;
    given = static_cast<FieldMask>(given | Bit(field));
    cleared = static_cast<FieldMask>(cleared & ~Bit(field));
  }
  void Clear(Field field) {
    cleared = static_cast<FieldMask>(cleared | Bit(field));
    given = static_cast<FieldMask>(given & ~Bit(field));
  }
  // Makes the tick empty again. The values stay: they mean nothing without their bit.
  void Reset() {
    given = cleared = 0;
    has_status = false;
    status = Status::kOk;
    quote_time = trade_time = VenueNs{};
  }
};

// A consistent copy of one symbol's merged state.
struct Quote {
  std::array<Decimal, kFieldCount> value;  // meaningful only where `present` has the bit
  FieldMask present = 0;
  Status status = Status::kOk;
  SourceId source{};      // of the newest tick merged
  UnixMs timestamp;       // published Timestamp; 0: null
  MonoNs received;        // when the newest tick arrived, on this host's monotonic clock
  uint64_t sequence = 0;  // merges; begins at the process's start time in µs
  VenueNs quote_time;     // newest venue time of the quote group, 0: none
  VenueNs trade_time;     // newest venue time of the trade group, 0: none

  bool Has(Field field) const { return (present & Bit(field)) != 0; }
  const Decimal& Get(Field field) const { return value[Index(field)]; }
};

}  // namespace tickbridge
