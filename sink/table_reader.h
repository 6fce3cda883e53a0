// SPDX-License-Identifier: Apache-2.0
// The strategies' side of the shared latest table (core/shared_table.h): find a symbol once, then load its quote in
// nanoseconds, from the slot that the bridge writes.
//
// Needs no Abseil. For other languages: tickbridge_reader.h.
//
// Threading: any number of threads; all calls but Open are const.
// Memory: the file's mapping, read-only: a reader can never write. What stands there is checked before it is believed:
//   ids, lengths, ranges. A file that everybody may write is not opened.
// Progress: TryLoad is wait-free; kBusy means that a write overlapped. LoadQuote is bounded.
//   A bridge that died within a write leaves its slot busy until the next one takes the table over; `life` tells.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/latest_table.h"
#include "core/shared_layout.h"
#include "core/tick.h"
#include "core/types.h"

namespace tickbridge {

class TableReader {
 public:
  using Load = SlotLoad;
  enum class Life : uint8_t {
    kAlive,
    kSilent,      // its bridge has shown no sign of life for two seconds: dead, stopped, or stalled
    kClosed,      // its bridge ended; the next one takes the table over
    kSuperseded,  // another table took its place: open anew
  };

  enum class OpenResult : uint8_t {
    kOk,
    kNotFound,
    kNotPermitted,
    kNoTable,       // no shared table of this version, or one of an earlier boot
    kAnyoneWrites,  // everybody may write it, so anybody could say a price
    kFailed,        // the system could not
  };

  // `name`: as table.shm has it, below /dev/shm; or a path. Null on an error, which `result` then names and `error`
  // says in words; both may be null.
  static std::unique_ptr<TableReader> Open(const std::string& name, OpenResult* result = nullptr,
                                           std::string* error = nullptr);
  ~TableReader();
  TableReader(const TableReader&) = delete;
  TableReader& operator=(const TableReader&) = delete;

  // The id of a symbol, kNoSymbol if it has none yet. Ids do not change while the table is in place.
  SymbolId Find(std::string_view symbol) const noexcept;
  uint32_t symbols() const noexcept;
  // Empty if there is no such id.
  std::string_view Name(SymbolId id) const noexcept;

  Load TryLoad(SymbolId id, Quote* quote) const noexcept;
  // The same, and not to be starved by a writer without pause (core/latest_table.h, Snapshots): kBusy only where the
  // writer stayed within one write, put aside by the scheduler, or dead.
  Load LoadQuote(SymbolId id, Quote* quote) const noexcept;

  // Since the newest tick of a quote was received.
  static int64_t AgeNs(const Quote& quote, MonoNs now) noexcept { return now - quote.received; }
  // Since its source showed its last sign of life; nothing where that source is dead.
  std::optional<int64_t> SourceAgeNs(const Quote& quote, MonoNs now) const noexcept;

  // A load or two while the bridge lives. Else it also costs a system call: a bridge that was killed could not mark the
  // table as superseded, nor does who removes its file, so it is looked whether another file has the path by now.
  Life life(MonoNs now) const noexcept;
  // Changes with each bridge that writes the table.
  uint64_t generation() const noexcept;

  // Sleeps until a slot has changed since `*epoch` (0 at first), `timeout_ns` at most. True if one has; `*epoch` then
  // stands for now. The bridge looks for changes some ten times a millisecond. Below zero the timeout is zero;
  // INT64_MAX is for ever.
  bool WaitForChange(uint32_t* epoch, int64_t timeout_ns) const noexcept;

 private:
  TableReader() = default;
  // Whether the path names another file. Ours keeps its number as long as it is mapped.
  bool IsReplaced() const noexcept;
  const SharedTableHeader& header() const noexcept { return *reinterpret_cast<const SharedTableHeader*>(base_); }

  const char* base_ = nullptr;
  SharedTableLayout layout_;            // as checked at Open
  std::unique_ptr<LatestTable> slots_;  // a view
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace tickbridge
