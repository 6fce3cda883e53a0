// SPDX-License-Identifier: Apache-2.0
// Every fixed bound of the bridge, in one place, with the relations between them asserted.
//
// A limit that an operator may set has its default here and its key in config/tickbridge.toml.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tickbridge::limits {

// Names. A symbol is 1..64 bytes of UTF-8; a key field (account, id, …) follows the same rule.
inline constexpr size_t kSymbolBytesMax = 64;
inline constexpr size_t kKeyBytesMax = 512;

// Table sizes: defaults and ceilings. The ceiling of symbols bounds the pre-faulted memory (< 1 KiB each).
inline constexpr uint32_t kSymbolsDefault = 65'536;
inline constexpr uint32_t kSymbolsMax = 4'194'304;
inline constexpr uint32_t kDocumentsDefault = 65'536;
inline constexpr size_t kDocumentBytesMax = size_t{1} << 20;

// Input.
inline constexpr size_t kLineBytesMax = size_t{1} << 20;
inline constexpr size_t kDatagramBytesMax = 65'536;
inline constexpr uint32_t kConnectionsPerFeed = 256;
// simdjson reads up to this many bytes past the end of a text.
inline constexpr size_t kParsePaddingBytes = 64;

// Topology. Source ids keep their index in 16 bits; owners of slots are runner numbers in 16 bits.
inline constexpr uint32_t kSourcesMax = 65'535;
inline constexpr uint32_t kFeedsMax = 64;
inline constexpr uint32_t kRunnersMax = 64;
inline constexpr uint32_t kLanesMax = 64;
inline constexpr uint32_t kClassesMax = 64;

// Redis.
inline constexpr uint32_t kInFlightDefault = 4'096;
inline constexpr size_t kInFlightBytesDefault = size_t{8} << 20;
inline constexpr uint32_t kInFlightMax = 1'048'576;

// Values. Venue times lie in 1…9999999999999 Unix milliseconds (the year 2286).
inline constexpr int64_t kUnixMsMax = 9'999'999'999'999;
inline constexpr int kDecimalDigitsMax = 18;

static_assert(kFeedsMax * kConnectionsPerFeed <= kSourcesMax);
static_assert(kDocumentBytesMax <= kInFlightBytesDefault);
static_assert(kDocumentBytesMax <= kLineBytesMax, "a document arrives in one line");

}  // namespace tickbridge::limits
