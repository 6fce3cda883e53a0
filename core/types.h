// SPDX-License-Identifier: Apache-2.0
//
// The small domain types that everything else is written in: identifiers, and times whose unit and clock are part of
// the type.
//
// Units: MonoNs counts nanoseconds of CLOCK_MONOTONIC (this boot of this host only); UnixNs and UnixMs count from
// 1970-01-01T00:00:00Z. The zero of each is not a time: MonoNs{0} is "never", UnixNs{0} and UnixMs{0} are "absent".
// Errors: none; arithmetic is plain int64 and wraps nowhere before the year 2262.
// Memory: each is trivially copyable and exactly as large as its integer, so that it may lie in shared memory.

#pragma once

#include <compare>
#include <cstdint>
#include <type_traits>

namespace tickbridge {

inline constexpr int64_t kNsPerUs = 1'000;
inline constexpr int64_t kNsPerMs = 1'000'000;
inline constexpr int64_t kNsPerSec = 1'000'000'000;

// Dense: the first symbol is 0. Given once to a name, never reused while the process lives.
enum class SymbolId : uint32_t {};

inline constexpr SymbolId kNoSymbol{0xFFFF'FFFFU};

constexpr uint32_t Index(SymbolId id) noexcept { return static_cast<uint32_t>(id); }

// What a tick came through. The index names the place in the table of sources; the generation tells two sources that
// held the same place at different times apart, so that a late look-up cannot take a new connection for a dead one.
// Generations begin at 1, so no real source is kNoSource.
enum class SourceId : uint32_t {};

inline constexpr SourceId kNoSource{0};

constexpr SourceId MakeSourceId(uint16_t index, uint16_t generation) noexcept {
  return static_cast<SourceId>((static_cast<uint32_t>(generation) << 16U) | index);
}
constexpr uint16_t SourceIndex(SourceId id) noexcept { return static_cast<uint16_t>(static_cast<uint32_t>(id)); }
constexpr uint16_t SourceGeneration(SourceId id) noexcept {
  return static_cast<uint16_t>(static_cast<uint32_t>(id) >> 16U);
}

struct MonoNs {
  int64_t value = 0;
  auto operator<=>(const MonoNs&) const = default;
};

struct UnixNs {
  int64_t value = 0;
  auto operator<=>(const UnixNs&) const = default;
};

struct UnixMs {
  int64_t value = 0;
  auto operator<=>(const UnixMs&) const = default;
};

// Nanoseconds from `b` to `a`.
constexpr int64_t operator-(MonoNs a, MonoNs b) noexcept { return a.value - b.value; }
constexpr int64_t operator-(UnixNs a, UnixNs b) noexcept { return a.value - b.value; }

constexpr MonoNs operator+(MonoNs t, int64_t ns) noexcept { return MonoNs{t.value + ns}; }
constexpr MonoNs operator-(MonoNs t, int64_t ns) noexcept { return MonoNs{t.value - ns}; }
constexpr UnixNs operator+(UnixNs t, int64_t ns) noexcept { return UnixNs{t.value + ns}; }
constexpr UnixNs operator-(UnixNs t, int64_t ns) noexcept { return UnixNs{t.value - ns}; }

// Floors, also before 1970, where integer division would round up. A time in the first millisecond of 1970 becomes
// absent; no venue stamps one.
constexpr UnixMs ToUnixMs(UnixNs t) noexcept {
  const int64_t quotient = t.value / kNsPerMs;
  return UnixMs{quotient - static_cast<int64_t>(t.value % kNsPerMs < 0)};
}

// Exact while |t| is under 2^63 ns (the year 2262).
constexpr UnixNs ToUnixNs(UnixMs t) noexcept { return UnixNs{t.value * kNsPerMs}; }

static_assert(sizeof(SymbolId) == 4 && sizeof(SourceId) == 4);
static_assert(sizeof(MonoNs) == 8 && sizeof(UnixNs) == 8 && sizeof(UnixMs) == 8);
static_assert(std::is_trivially_copyable_v<MonoNs> && std::is_trivially_copyable_v<UnixNs>);

}  // namespace tickbridge
