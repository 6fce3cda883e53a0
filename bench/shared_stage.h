// SPDX-License-Identifier: Apache-2.0
// A shared latest table with a quote of every symbol, and a reader of it.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "bench/sink_stage.h"
#include "core/shared_table.h"
#include "sink/table_reader.h"

namespace tickbridge {

class SharedStage {
 public:
  explicit SharedStage(uint32_t count)
      : path_(Path()),
        shared_(*SharedTable::Open({path_, count, 1'000})),
        symbols_(count, shared_->symbols()),
        table_(shared_->table_options()) {
    const Tick tick = FullTick(1);
    for (uint32_t i = 0; i < count; ++i) {
      names_.push_back("S" + std::to_string(100'000 + i));
      table_.Merge(symbols_.Insert(names_.back()), tick, {MonoNs{1}, UnixMs{1}, kNoSource});
    }
    shared_->GoLive(MonoNs{1});
    reader_ = TableReader::Open(path_);
  }
  ~SharedStage() { ::unlink(path_.c_str()); }
  SharedStage(const SharedStage&) = delete;
  SharedStage& operator=(const SharedStage&) = delete;

  const std::vector<std::string>& names() const { return names_; }
  const TableReader& reader() const { return *reader_; }

 private:
  static std::string Path() { return "/dev/shm/tickbridge.bench." + std::to_string(::getpid()); }

  std::string path_;
  std::unique_ptr<SharedTable> shared_;
  SymbolTable symbols_;
  LatestTable table_;
  std::vector<std::string> names_;
  std::unique_ptr<TableReader> reader_;
};

}  // namespace tickbridge
