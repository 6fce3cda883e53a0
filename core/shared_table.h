// SPDX-License-Identifier: Apache-2.0
// The latest table in shared memory: one file below /dev/shm, written by one bridge, mapped read-only by any number of
// strategies (sink/table_reader.h, tickbridge_reader.h, the Python package in tools/python).
// Its layout: core/shared_layout.h.
//
// Trust: whoever may write the file, which is the bridge's user, the `owner` it is given to, and root, could say a
// price there. What the bridge reads back of it are numbers only, each checked where it goes on to Redis; names, ids,
// lengths and places it keeps to itself. But a file that is cut short ends the bridge and its readers by SIGBUS.
// Threading: Open by one thread before anything is shared. The header's words are written by the bridge's main thread
// and its waker, and read by anyone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/file.h"
#include "core/latest_table.h"
#include "core/shared_layout.h"
#include "core/source_table.h"
#include "core/symbol_table.h"

namespace tickbridge {

class SharedTable {
 public:
  struct Options {
    std::string path;  // "/dev/shm/tickbridge"
    uint32_t capacity = limits::kSymbolsDefault;
    uint64_t generation = 0;   // Unix µs now; the sequence base of a new table
    Ownership ownership = {};  // of the file, whose mode is 0640
  };

  // Of the file of a table of so many symbols.
  static uint64_t FileBytes(uint32_t capacity);

  // Takes over the file of that path, or makes a new one.
  // Errors: kAlreadyExists: another living bridge writes it; kResourceExhausted: no room; kFailedPrecondition: the path
  // is something else, which is left alone.
  static absl::StatusOr<std::unique_ptr<SharedTable>> Open(const Options& options);
  // Marks it closed. The file stays: readers keep the last values, and the next bridge takes it over.
  ~SharedTable();
  SharedTable(const SharedTable&) = delete;
  SharedTable& operator=(const SharedTable&) = delete;

  bool adopted() const { return adopted_; }
  SharedTableHeader& header() { return *reinterpret_cast<SharedTableHeader*>(base_); }
  SymbolTable::Shared symbols();  // once: the names go with it
  LatestTable::Options table_options();
  SourceTable::Cell* source_cells();

  // After the tables were made over it: empties what the writer before left half done. Returns how many slots.
  uint32_t Salvage(LatestTable* table, const SymbolTable& symbols);
  // From here on readers may take it for living.
  void GoLive(MonoNs now);
  void Beat(MonoNs now) { header().beat_mono_ns.store(now.value, std::memory_order_relaxed); }

 private:
  SharedTable() = default;

  int fd_ = -1;  // holds the lock
  char* base_ = nullptr;
  // As they were checked: the file may be scribbled over.
  SharedTableLayout layout_;
  uint64_t sequence_base_ = 0;
  std::vector<std::string> names_;
  bool adopted_ = false;
};

}  // namespace tickbridge
