// SPDX-License-Identifier: Apache-2.0
// The latest table in shared memory: one file below /dev/shm, written by one bridge, mapped read-only by any number of
// strategies (sink/table_reader.h, tickbridge_reader.h, the Python package in tools/python).
//
// Layout (version 2, this machine's byte order): a header of 4096 bytes, SharedTableHeader; then, at the offsets that
// it names, the arrays of SymbolTable (cells, names, lengths), LatestTable (slots) and SourceTable (cells). A file is
// never truncated and never changes its layout. A bridge that needs another layout makes a new file, renames it over,
// and marks the old one superseded; readers of the old one see that and open anew. A bridge that finds a file of its
// own layout and of this boot takes it over with all that is in it.
//
// Threading: Open by one thread before anything is shared. The header's words are written by the bridge's main thread
// and its waker, and read by anyone.
#pragma once

#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/file.h"
#include "core/latest_table.h"
#include "core/source_table.h"
#include "core/symbol_table.h"

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
  uint64_t names_offset = 0;    // capacity × 64 bytes
  uint64_t lengths_offset = 0;  // capacity × 1 byte
  uint64_t slots_offset = 0;      // capacity × 192 bytes
  uint64_t snapshots_offset = 0;  // capacity × 192 bytes
  uint64_t sources_offset = 0;  // 65536 × 64 bytes
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

class SharedTable {
 public:
  struct Options {
    std::string path;  // "/dev/shm/tickbridge"
    uint32_t capacity = limits::kSymbolsDefault;
    uint64_t generation = 0;  // Unix µs now; the sequence base of a new table
  };

  // Takes over the file of that path, or makes a new one.
  // Errors: kAlreadyExists: another living bridge writes it; kResourceExhausted: no room; kFailedPrecondition: the path
  // is something else.
  static absl::StatusOr<std::unique_ptr<SharedTable>> Open(const Options& options);
  // Marks it closed. The file stays: readers keep the last values, and the next bridge takes it over.
  ~SharedTable();
  SharedTable(const SharedTable&) = delete;
  SharedTable& operator=(const SharedTable&) = delete;

  bool adopted() const { return adopted_; }
  SharedTableHeader& header() { return *reinterpret_cast<SharedTableHeader*>(base_); }
  SymbolTable::Storage symbol_storage();
  LatestTable::Options table_options();
  SourceTable::Cell* source_cells();

  // After the tables were made over it: empties what the writer before left half done. Returns how many slots.
  uint32_t Salvage(LatestTable* table, const SymbolTable& symbols);
  // From here on readers may take it for living.
  void GoLive(MonoNs now);
  void Beat(MonoNs now) { header().beat_mono_ns.store(now.value, std::memory_order_relaxed); }

 private:
  SharedTable() = default;

  std::string path_;
  int fd_ = -1;  // holds the lock
  char* base_ = nullptr;
  size_t bytes_ = 0;
  bool adopted_ = false;
};

}  // namespace tickbridge
