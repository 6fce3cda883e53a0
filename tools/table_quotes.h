// SPDX-License-Identifier: Apache-2.0
// The latest quotes as they stand in the shared table (sink/table_reader.h), as rows beside those of Redis. For `get`
// and `watch` with --shm.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/key_class.h"
#include "sink/quote_encoder.h"
#include "sink/table_reader.h"
#include "tools/quotes.h"

namespace tickbridge {

class TableQuotes {
 public:
  // `path`: of the table. `price`: whose members a value has.
  TableQuotes(std::string path, const KeyClass& price) : path_(std::move(path)), encoder_(price.members) {}

  // One row a symbol, in their order. Opens the table, and opens it anew where another one took its place.
  absl::StatusOr<std::vector<QuoteRow>> Fetch(std::span<const std::string> symbols);
  // All that were ever merged, sorted.
  absl::StatusOr<std::vector<std::string>> Symbols();

  // Of the table as of the last Fetch, for people: "alive", "silent: …". "" before it was opened.
  std::string Life() const;
  bool alive() const;

 private:
  absl::Status Open();

  const std::string path_;
  QuoteEncoder encoder_;
  std::unique_ptr<TableReader> table_;
};

}  // namespace tickbridge
