// SPDX-License-Identifier: Apache-2.0
// A bridge's part of a shared table, for tests: takes over the file of that path, or makes it, and writes quotes.
//
// Threading: one thread. In a child made by fork it must be made by the child: the lock goes with the open file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "core/shared_table.h"
#include "core/source_table.h"
#include "core/symbol_table.h"

namespace tickbridge {

struct TableWriter {
  static constexpr uint32_t kCapacity = 100;

  explicit TableWriter(const std::string& path, uint32_t capacity = kCapacity, uint64_t generation = 1'000,
                       Ownership ownership = {})
      : shared(*SharedTable::Open({path, capacity, generation, ownership})),
        symbols(capacity, shared->symbols()),
        table(shared->table_options()),
        sources(shared->source_cells()) {
    if (shared->adopted()) emptied = shared->Salvage(&table, symbols);
    shared->GoLive(SystemClock::ReadMonotonic());
    source = sources.Open(kNsPerSec, SystemClock::ReadMonotonic());
  }

  SymbolId Quote(std::string_view symbol, int64_t bid) {
    const SymbolId id = symbols.Insert(symbol);
    table.Claim(id, OwnerId{1});
    Tick tick;
    tick.Set(Field::kBid, {bid, -2});
    tick.Set(Field::kAsk, {bid + 1, -2});
    tick.Set(Field::kLow, {bid, -2});  // on another line than these
    table.Merge(id, tick, {SystemClock::ReadMonotonic(), {}, source});
    return id;
  }

  std::unique_ptr<SharedTable> shared;
  SymbolTable symbols;
  LatestTable table;
  SourceTable sources;
  SourceId source{};
  uint32_t emptied = 0;
};

}  // namespace tickbridge
