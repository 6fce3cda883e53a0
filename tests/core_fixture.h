// SPDX-License-Identifier: Apache-2.0
// A whole core in private memory with a clock set by hand, for tests and benchmarks of what feeds it or reads it.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/counters.h"
#include "core/dirty_queue.h"
#include "core/document_table.h"
#include "core/ingest.h"
#include "core/key_class.h"
#include "core/latest_table.h"
#include "core/source_table.h"
#include "core/symbol_table.h"

namespace tickbridge {

class CoreFixture {
 public:
  struct Options {
    uint32_t symbols = 1024;
    uint32_t documents = 1024;
    uint32_t producers = 4;
    uint32_t lanes = 1;
    std::vector<KeyClass> classes = DefaultKeyClasses();
  };

  CoreFixture() : CoreFixture(Options{}) {}
  explicit CoreFixture(Options options)
      : classes(std::move(options.classes)),
        symbols(options.symbols),
        table({.capacity = options.symbols, .sequence_base = 1000}),
        dirty(&table, options.producers, options.lanes),
        documents(options.documents, options.lanes, &sources),
        counters(*CountersFile::Create("")) {}
  CoreFixture(const CoreFixture&) = delete;
  CoreFixture& operator=(const CoreFixture&) = delete;

  Core core() {
    return {.clock = &clock,
            .symbols = &symbols,
            .table = &table,
            .dirty = &dirty,
            .documents = &documents,
            .sources = &sources,
            .classes = &classes};
  }

  std::unique_ptr<Ingest> MakeIngest(Ingest::Options options) {
    return std::make_unique<Ingest>(core(), std::move(options), counters.get());
  }
  // A feed "t" with an open source that was just heard of.
  std::unique_ptr<Ingest> MakeIngest() {
    auto ingest = MakeIngest(Ingest::Options{.feed = "t"});
    ingest->BeginBatch(sources.Open(0, clock.Now()), clock.Now());
    return ingest;
  }

  // The merged state of a symbol; nothing where there is none.
  std::optional<Quote> Find(std::string_view symbol) const {
    const SymbolId id = symbols.Find(symbol);
    Quote quote;
    if (id == kNoSymbol || !table.TryLoad(id, &quote) || quote.sequence == table.sequence_base()) return std::nullopt;
    return quote;
  }

  // All dirty documents of lane 0.
  std::vector<DocumentTable::Taken> TakeDocuments() {
    std::vector<DocumentTable::Taken> taken;
    documents.Take(0, documents.capacity(), &taken);
    return taken;
  }

  // How many ids waited in lane 0.
  size_t DrainDirty() {
    std::vector<SymbolId> ids(256);
    size_t total = 0;
    while (const size_t count = dirty.Take(0, ids)) {
      for (size_t i = 0; i < count; ++i) dirty.Begin(ids[i]);
      total += count;
    }
    return total;
  }

  std::vector<KeyClass> classes;
  ManualClock clock;
  SymbolTable symbols;
  LatestTable table;
  DirtyQueue dirty;
  SourceTable sources;
  DocumentTable documents;
  std::unique_ptr<CountersFile> counters;
};

// The value of a field as text, "null" where it is absent.
inline std::string FieldText(const Quote& quote, Field field) {
  if (!quote.Has(field)) return "null";
  char text[kMaxDecimalChars + kDecimalPrintScratch];
  return {text, PrintSize(text, quote.Get(field))};
}

}  // namespace tickbridge
