// SPDX-License-Identifier: Apache-2.0
// What stands where in the file of the shared table (core/shared_table.h).
//
// Layout (version 2, this machine's byte order): a header of 4096 bytes, SharedTableHeader; then, at the offsets that
// it names, the arrays of SymbolTable (cells, names, lengths), LatestTable (slots, snapshots) and SourceTable (cells).
// A file is never truncated and never changes its layout. A bridge that needs another layout makes a new file, renames
// it over, and marks the old one superseded; readers of the old one see that and open anew. One that was killed in
// between leaves it unmarked, so that readers of a table without a living bridge look at the path, too. A bridge that
// finds a file of its own layout and of this boot takes it over with all that is in it.
#pragma once

#include <array>
#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>

#include "core/boot_id.h"

namespace tickbridge {

// What does not change while the file is in place.
struct SharedTableLayout {
  static constexpr uint64_t kMagic = 0x31656c6261746274;  // "tbtable1"
  static constexpr uint32_t kVersion = 2;

  uint64_t magic = kMagic;
  uint32_t version = kVersion;
  uint32_t capacity = 0;  // symbols
  uint64_t file_bytes = 0;
  uint64_t cells_offset = 0;  // of the index by name: cell_count × 8 bytes
  uint64_t cell_count = 0;
  uint64_t names_offset = 0;      // capacity × 64 bytes
  uint64_t lengths_offset = 0;    // capacity × 1 byte
  uint64_t slots_offset = 0;      // capacity × 192 bytes
  uint64_t snapshots_offset = 0;  // capacity × 192 bytes
  uint64_t sources_offset = 0;    // 65536 × 64 bytes
  BootId boot_id{};
  auto operator<=>(const SharedTableLayout&) const = default;
};

struct SharedTableHeader {
  enum class State : uint32_t { kFresh, kLive, kClosed, kSuperseded };
  static constexpr size_t kBytes = 4096;

  SharedTableLayout layout;
  uint64_t sequence_base = 0;
  // What changes: lines of their own.
  alignas(64) std::atomic<uint32_t> state{};
  std::atomic<uint32_t> symbols{};            // ids given so far
  std::atomic<uint64_t> generation{};         // Unix µs at the start of the bridge that writes it
  std::atomic<int64_t> pid{};                 // of that bridge
  std::atomic<int64_t> beat_mono_ns{};        // its last sign of life, CLOCK_MONOTONIC
  alignas(64) std::atomic<uint32_t> epoch{};  // a futex: changes when a slot has
};
static_assert(sizeof(SharedTableHeader) <= SharedTableHeader::kBytes);

}  // namespace tickbridge
