// SPDX-License-Identifier: Apache-2.0
// The way in: what a decoder calls with each record, once it has decoded it wholly. One Ingest a feed.
//
// Threading: used by the feed's runner alone. Several feeds of a runner share its owner and producer number.
// Cost: after a symbol's first tick, OnTick makes no system call, takes no lock, allocates nothing and logs nothing.
// Counting: each record is exactly one of accepted, rejected (with a reason) and control.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/counters.h"
#include "core/dirty_queue.h"
#include "core/document_table.h"
#include "core/key_class.h"
#include "core/latest_table.h"
#include "core/reject.h"
#include "core/source_table.h"
#include "core/symbol_table.h"
#include "core/tick.h"

namespace tickbridge {

// The shared state that feeds write and sinks read. Outlives all of them.
struct Core {
  const Clock* clock = nullptr;
  SymbolTable* symbols = nullptr;
  LatestTable* table = nullptr;
  DirtyQueue* dirty = nullptr;
  DocumentTable* documents = nullptr;
  SourceTable* sources = nullptr;
  const std::vector<KeyClass>* classes = nullptr;  // index 0: price
};

// A document as decoded. Views live until OnDocument returns.
struct DocumentRecord {
  std::string_view key_class;
  std::span<const KeyPattern::FieldValue> fields;  // every string member of the record, unescaped
  std::string_view value;                          // JSON text; of a raw class the string's unescaped content
  bool deleted = false;
  int64_t ttl_ns = 0;   // 0: the class's
  bool secret = false;  // nothing of it may be logged, as of a raw class
};

class Ingest {
 public:
  struct Options {
    std::string feed;       // name in the configuration
    OwnerId owner{1};       // of the feed's runner
    uint32_t producer = 0;  // of the feed's runner
    bool replay = false;    // a recording: its times are the clock, and nothing is `future`
    int64_t max_ahead_ns = 60 * kNsPerSec;
    std::string symbol_prefix{};  // what turns the venue's name into ours
    std::string symbol_suffix{};
  };

  // Adds the feed's counters to `counters`.
  Ingest(const Core& core, Options options, CountersFile* counters);

  // Says what the following records came through and when their bytes were read. Also a sign of life of the source.
  void BeginBatch(SourceId source, MonoNs received) noexcept;

  void OnTick(std::string_view symbol, const Tick& tick) noexcept;
  void OnReset(std::string_view symbol) noexcept;
  // The same for a feed that names a symbol by a number of its own: what Find returned, once the name has been known by
  // an OnTick or OnReset. Saves the look-up.
  void OnTick(SymbolId id, const Tick& tick) noexcept;
  SymbolId Find(std::string_view symbol) const noexcept;
  // Brings the slot of an id into the cache.
  void Prefetch(SymbolId id) const noexcept { core_.table->PrefetchToMerge(id); }
  // For the records from here on, where that is known better: when they were received. Not later than the batch.
  void SetReceived(MonoNs received) noexcept;
  void OnHeartbeat() noexcept;
  void OnDocument(const DocumentRecord& record);
  // A record that could not be decoded. `offset`: its first byte's place in the source. `text`: its bytes, for an
  // escaped excerpt in the log; empty where a raw class may be in it.
  void OnReject(RejectReason reason, uint64_t offset, std::string_view text) noexcept;

  // A replayed recording's capture time, which stands for the venue time of ticks that have none.
  void SetRecordingClock(UnixMs time) noexcept;

  // Where the record now being decoded begins, for the log.
  void SetOffset(uint64_t offset) noexcept { offset_ = offset; }

  // Gives up slots whose source is dead, a few at a time. Call once a duty cycle; returns how many were given up.
  int Maintain(MonoNs now) noexcept;

  // The class a document names, or nullptr. A decoder asks before it decides how to read `value`, and a log line before
  // it shows one.
  const KeyClass* FindClass(std::string_view name) const noexcept;
  const KeyClass& price_class() const noexcept { return (*core_.classes)[0]; }
  const Core& core() const noexcept { return core_; }
  const std::string& feed() const noexcept { return options_.feed; }

  struct Counts {
    Counter* records;
    Counter* accepted;
    Counter* control;
    Counter* bytes;
    Counter* volume_overflow;
    std::array<Counter*, kRejectReasonCount> rejected;
  };
  const Counts& counts() const noexcept { return counts_; }

 private:
  using NameBuffer = std::array<char, limits::kSymbolBytesMax>;

  // Why no symbol could take the tick; nothing if one could.
  std::optional<RejectReason> Check(const Tick& tick) noexcept;
  void Merge(SymbolId id, const Tick& tick) noexcept;

  // The venue's name as ours; empty if that would be too long. `buffer` holds it where it differs.
  std::string_view OurName(std::string_view symbol, NameBuffer* buffer) const noexcept;
  // The id of a symbol that this runner may write; kNoSymbol, with the rejection counted, if there is none.
  SymbolId Resolve(std::string_view symbol) noexcept;
  SymbolId ResolveSlow(std::string_view symbol, SymbolId id) noexcept;
  // Counts, and logs the first of each kind and then at most one a second; `wrong_owner` once.
  void Reject(RejectReason reason, std::string_view text) noexcept;

  const Core core_;
  const Options options_;
  const bool renames_;
  Counts counts_;
  TickContext context_;
  UnixMs now_unix_;  // of the batch; a live feed's clock
  UnixMs recording_clock_;
  uint64_t offset_ = 0;
  std::vector<SymbolId> owned_;
  size_t owned_cursor_ = 0;
  std::array<MonoNs, kRejectReasonCount> last_logged_{};
};

}  // namespace tickbridge
