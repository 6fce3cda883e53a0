// SPDX-License-Identifier: Apache-2.0
// What a feed handler in the same machine sends its ticks with: the writing end of a ring in shared memory. The C ABI
// of it is feed/tickbridge_publisher.h, for every other language.
//
// Threading: one thread at a time. A process forked from the publisher's must not use it.
// Cost: Publish is a few stores to one cache line: no system call, lock or allocation. While something waits, it first
//   sends up to 16 symbols and one document of that. Declare and PublishDocument may allocate. Heartbeat reads the
//   clock, and ten times a second it looks at the file.
// A full ring never blocks and is never overwritten. What is refused is kept, conflated: a symbol's newest state and
//   what the sums of its trades need (feed/refused.h), a document's newest value. That is sent first as soon as there
//   is room, by the next Publish or Heartbeat. It is lost with the process, as is all that a dead feed handler knew.
// Liveness: call Heartbeat every `liveness_timeout` / 4 or more often (2 s is the bridge's default): a publisher that
//   is silent for longer counts as dead, and its quotes are no longer refreshed. One that ends or is killed, too.
// Truncation: should another process truncate the ring's file, the next access raises SIGBUS. With guard_sigbus that is
//   caught and Heartbeat reports kLost; a JVM and others have their own handlers, so it is off by default, and then the
//   process ends, unless Heartbeat sees it first.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/tick.h"
#include "core/types.h"
#include "feed/refused.h"
#include "feed/ring.h"
#include "feed/ring_file.h"

namespace tickbridge {

class Publisher {
 public:
  struct Options {
    RingFileOptions file;
    // See above. A handler is installed for the whole process.
    bool guard_sigbus = false;
    // Refused documents that are kept, and the bytes of them all.
    size_t pending_documents_max = 1024;
    size_t pending_bytes_max = size_t{16} << 20;
  };

  enum class Result : int {
    kPublished = 0,
    kKept = 1,      // the ring is full: conflated with what waits, and sent later
    kFull = -1,     // a document: the ring is full, and so is what may wait; it was not taken
    kInvalid = -2,  // a number never declared, a value or a document that cannot be; it was not taken
    kLost = -3,     // Heartbeat saw the file truncated, removed or replaced by another publisher: open anew
  };

  using Number = uint32_t;
  static constexpr Number kNoNumber = 0xFFFF'FFFF;

  // Each record that was taken is one of published and refused. refused = late + conflated + pending.
  struct Counts {
    uint64_t published = 0;  // went into the ring at once
    uint64_t refused = 0;    // found it full
    uint64_t late = 0;       // symbols and documents that waited and went in then
    uint64_t conflated = 0;  // superseded while they waited
    uint64_t pending = 0;    // symbols and documents that wait now
  };

  struct Document {
    std::string_view key_class;                                             // "positions"
    std::span<const std::pair<std::string_view, std::string_view>> fields;  // {"account", "PA1"}, …
    std::string_view value;  // JSON text; of a raw class a JSON string. Here it is only seen to be one value
    bool deleted = false;    // then `value` is not looked at
    int64_t ttl_ns = 0;      // 0: the class's
  };

  // Makes the ring, or goes on with what an earlier publisher left. Null on an error, which names the file.
  static std::unique_ptr<Publisher> Open(const Options& options, RingError* error);
  // Sends what waits, as far as there is room, and says that the source has ended.
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  // The number of a symbol, 1…64 bytes of UTF-8 without control characters and braces. The same name has the same
  // number, also after a restart. kNoNumber: not such a name, max_symbols are declared, or the ring is lost.
  Number Declare(std::string_view symbol);

  Result Publish(Number number, const Tick& tick) noexcept {
    const RingRecordType type = RingTypeOf(tick);
    if (number >= times_.size() || !RingValuesInRange(type, tick)) [[unlikely]]
      return lost_ ? Result::kLost : Result::kInvalid;
    if (waiting_ != 0) [[unlikely]]
      return PublishBehind(number, tick);
    if (!writer_.HasRoom(RingLinesOf(type))) [[unlikely]]
      return Refuse(number, tick);
    Write(type, number, tick);
    return Result::kPublished;
  }

  // Clears Volume, High, Low and both venue times of the symbol.
  Result Reset(Number number) noexcept;

  Result PublishDocument(const Document& document);

  // A sign of life. Sends what waits. kLost: see there.
  Result Heartbeat() noexcept;

  Counts counts() const noexcept {
    Counts counts = counts_;
    counts.pending = waiting_;
    return counts;
  }
  // Whether an earlier publisher's ring was gone on with.
  bool adopted() const noexcept { return file_->adopted(); }
  const std::string& path() const noexcept { return file_->path(); }

 private:
  // The newest venue times handed over, as the bridge has them in its slot: what is older would be stale there.
  struct Times {
    uint64_t quote = 0;
    uint64_t trade = 0;
  };
  struct Waiting {
    Refused refused;
    uint32_t stamp = 0;
    Number next = kNoNumber;  // that waits, by when it began to
  };
  struct WaitingText {
    std::string key;  // its class and fields
    std::string text;
    uint32_t stamp = 0;
  };

  Publisher(const Options& options, std::unique_ptr<RingFile> file);

  [[gnu::always_inline]] void Write(RingRecordType type, Number number, const Tick& tick) noexcept {
    Times& times = times_[number];
    const unsigned touched = tick.given | tick.cleared;
    if (tick.quote_time.value > times.quote && (touched & kQuoteFields) != 0) times.quote = tick.quote_time.value;
    if (tick.trade_time.value > times.trade && (touched & kTradeFields) != 0) times.trade = tick.trade_time.value;
    writer_.Write(type, number, tick, stamp_, false);
    writer_.Publish();
    // The clock now and then, so that a stamp is of the last few hundred records also without a heartbeat.
    if ((++counts_.published & 0xff) == 0) [[unlikely]]
      ReadClock();
  }
  Result PublishBehind(Number number, const Tick& tick) noexcept;
  Result Refuse(Number number, const Tick& tick) noexcept;
  void Wait(Number number) noexcept;
  // Sends what waits, at most so much, symbols and documents in turn, or those that come for ever would starve the
  // others. False if the room did not last: then all else waits, too, or the small would starve the large.
  bool Flush(size_t symbols_max, size_t texts_max) noexcept;
  bool FlushSymbol() noexcept;
  bool FlushText() noexcept;
  MonoNs ReadClock() noexcept;
  void ShowCounts() noexcept;

  const Options options_;
  const std::unique_ptr<RingFile> file_;
  RingWriter writer_;
  uint32_t stamp_ = 0;
  std::vector<Times> times_;  // by number; none once the ring is lost
  size_t waiting_ = 0;        // symbols and documents
  Counts counts_;
  std::unordered_map<std::string, Number> numbers_;
  std::deque<Waiting> refused_;  // by number
  Number first_waiting_ = kNoNumber;
  Number last_waiting_ = kNoNumber;
  std::vector<RefusedStep> steps_;
  // Documents that wait, in the order of their newest value: two may be of the same key in Redis, since fields can
  // be of a channel only, and the newer must not be overtaken.
  std::list<WaitingText> texts_;
  std::unordered_map<std::string_view, std::list<WaitingText>::iterator> texts_by_key_;
  size_t text_bytes_ = 0;
  MonoNs looked_;
  bool lost_ = false;
};

}  // namespace tickbridge
