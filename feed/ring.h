// SPDX-License-Identifier: Apache-2.0
// The ring between a feed handler and the bridge: one file in shared memory, written by one publisher
// (feed/publisher.h), emptied by one bridge (feed/ring_feed.h). feed/ring_file.h makes and opens the file.
//
// Layout (version 1, this machine's byte order): a header of 4096 bytes, RingHeader; the symbols, RingSymbol each, a
// name's place being its number; the data, a power of two of bytes. A file is never truncated and never changes its
// layout: a publisher that needs another one makes a new file, renames it over, and marks the old one superseded.
// `magic` and `state` are at their places in every version.
//
// Records are whole cache lines: 64 bytes a quote or a trade, 128 a tick with more. The data is mapped twice in a row,
// so that a record which passes the end is still contiguous. Positions count bytes and only grow. Each record bears its
// own position, so that what is not a record is recognised.
//
// Threading: a RingWriter by one thread, a RingReader by one thread, in whatever processes.
// Progress: all is wait-free. A full ring takes nothing; nothing is ever overwritten before it was read.
// Memory order: a record's words are stored relaxed and published whole by the release (2) of `tail`, which the reader
//   acquires (1). The reader gives the place back by the release (4) of `head`, after it is done with the record; the
//   writer acquires that (3) before it writes there again. A process that is killed anywhere between leaves either the
//   whole record or nothing. Names are published by the same pair (2)(1): a number is sent after it was declared.
// Trust: either side may be scribbled over by anybody with write access. Positions are checked against the own private
//   copy, and words are read once, into private memory, before they are looked at.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "core/decimal.h"
#include "core/limits.h"
#include "core/tick.h"
#include "core/types.h"

namespace tickbridge {

using RingWord = std::atomic<uint64_t>;

// What does not change while the file is in place.
struct RingLayout {
  static constexpr uint64_t kMagic = 0x31676e6972'6274;  // "tbring1"
  static constexpr uint32_t kVersion = 1;

  uint64_t magic = kMagic;
  uint32_t version = kVersion;
  uint32_t symbol_capacity = 0;
  uint64_t data_bytes = 0;
  uint64_t symbols_offset = 0;
  uint64_t data_offset = 0;
  uint64_t file_bytes = 0;
  std::array<char, 40> boot_id{};
  auto operator<=>(const RingLayout&) const = default;
};

struct RingHeader {
  enum class State : uint32_t { kLive = 1, kClosed, kSuperseded };
  static constexpr size_t kBytes = 4096;

  RingLayout layout;
  // Written by the publisher, seldom.
  alignas(128) std::atomic<uint32_t> state;
  std::atomic<uint32_t> symbols;  // declared so far
  std::atomic<int64_t> publisher_pid;
  std::atomic<uint64_t> published;  // these four: see Publisher::Counts; as of the last heartbeat
  std::atomic<uint64_t> refused;
  std::atomic<uint64_t> conflated;
  std::atomic<uint64_t> pending;
  // Written by the publisher, often.
  alignas(128) std::atomic<uint64_t> tail;
  std::atomic<int64_t> beat_mono_ns;  // the publisher's last heartbeat, CLOCK_MONOTONIC
  // Written by the bridge.
  alignas(128) std::atomic<uint64_t> head;
  std::atomic<int64_t> consumer_looked_mono_ns;  // when the bridge last looked, CLOCK_MONOTONIC
  std::atomic<int64_t> consumer_pid;
};
static_assert(sizeof(RingHeader) <= RingHeader::kBytes && offsetof(RingHeader, state) == 128);

// A declared name. Does not change once `symbols` counts it.
struct RingSymbol {
  std::array<RingWord, limits::kSymbolBytesMax / 8> text;  // zero-padded
  RingWord check;                                          // length (8), then RingNameHash
};
static_assert(sizeof(RingSymbol) == 72);

// 56 bits of FNV-1a over a name: one that was scribbled over must not pass for another symbol.
constexpr uint64_t RingNameHash(std::string_view name) noexcept {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash >> 8;
}

inline constexpr uint64_t kRingLineBytes = 64;
inline constexpr uint64_t kRingLineWords = kRingLineBytes / 8;

enum class RingRecordType : uint8_t {
  kQuote = 1,  // one line: fields of the quote group
  kTrade,      // one line: Last, LastSize, Volume
  kTick,       // two lines: any fields
  kReset,      // one line
  kLine,       // an input record in NDJSON (DESIGN.md, Input records): a document
};

// Word 0 of every record, from the low bit: type (8), zero (8), lines (16), position / 64 (32).
constexpr uint64_t RingRecordHead(RingRecordType type, uint64_t lines, uint64_t position) noexcept {
  return static_cast<uint64_t>(type) | lines << 16 | (position / kRingLineBytes) << 32;
}

// Word 1 of a tick: number (32), given (9), cleared (9), status + 1 or 0 (4), late (1).
// Word 2 of a quote or trade: four exponents (8 each), stamp (32); word 3 its time; words 4 to 7 the mantissas.
// Words of a whole tick: 2 eight exponents; 3 the ninth, 24 zero bits, stamp; 4 and 5 the times; 6 to 14 the mantissas.
// Word 1 of a line: bytes (32), late (1), zero; word 2: zero (32), stamp (32); its text begins with word 3.
// The stamp is a time of CLOCK_MONOTONIC, see RingStamp: not later than the record was published. `late` says that it
// is the time itself: the ring was full then, and the record waited with the publisher.
inline constexpr unsigned kRingGivenShift = 32;
inline constexpr unsigned kRingClearedShift = 41;
inline constexpr unsigned kRingStatusShift = 50;
inline constexpr unsigned kRingLateShift = 54;
inline constexpr uint64_t kRingLineTextWord = 3;

// Units of 2^20 ns, about a millisecond; wraps in 52 days.
constexpr uint32_t RingStamp(MonoNs time) noexcept { return static_cast<uint32_t>(time.value >> 20); }
// The time of a stamp that is up to 52 days old. One that seems to be of the next 17 s is of now: two clocks are read.
constexpr MonoNs RingStampTime(uint32_t stamp, MonoNs now) noexcept {
  constexpr uint32_t kAhead = 1u << 14;
  const uint32_t age = RingStamp(now) - stamp;
  return age == 0 || age > -kAhead ? now : now - (int64_t{age} << 20);
}

inline constexpr FieldMask kRingTradeFields = Bit(Field::kLast) | Bit(Field::kLastSize) | Bit(Field::kVolume);

// What a tick is sent as, and how many lines that takes.
constexpr RingRecordType RingTypeOf(const Tick& tick) noexcept {
  const unsigned touched = tick.given | tick.cleared;
  if ((touched & ~unsigned{kQuoteFields}) == 0) return RingRecordType::kQuote;
  return (touched & ~unsigned{kRingTradeFields}) == 0 ? RingRecordType::kTrade : RingRecordType::kTick;
}
constexpr uint64_t RingLinesOf(RingRecordType type) noexcept { return type == RingRecordType::kTick ? 2 : 1; }
constexpr uint64_t RingLinesOfText(size_t bytes) noexcept {
  return (kRingLineTextWord * 8 + bytes + kRingLineBytes - 1) / kRingLineBytes;
}

// Whether a value is one that core/decimal.h allows. Without branches: this is done for each field.
constexpr bool RingInRange(int64_t mantissa, int8_t exponent) noexcept {
  const bool mantissa_fits = static_cast<uint64_t>(mantissa) + uint64_t{kMaxMantissa} <= 2 * uint64_t{kMaxMantissa};
  return mantissa_fits & (static_cast<unsigned>(exponent - kMinExponent) <= unsigned{kMaxExponent - kMinExponent});
}
// The same of the given fields among kCount of them from kFirst on.
template <size_t kFirst, size_t kCount>
constexpr bool RingValuesInRange(const Tick& tick) noexcept {
  return [&]<size_t... kI>(std::index_sequence<kI...>) {
    const auto good = [&](size_t field) {
      const Decimal& value = tick.value[field];
      return RingInRange(value.mantissa, value.exponent) | ((tick.given >> field & 1) == 0);
    };
    return (good(kFirst + kI) & ...);
  }(std::make_index_sequence<kCount>());
}
constexpr bool RingValuesInRange(RingRecordType type, const Tick& tick) noexcept {
  switch (type) {
    case RingRecordType::kQuote:
      return RingValuesInRange<0, 4>(tick);
    case RingRecordType::kTrade:
      return RingValuesInRange<4, 3>(tick);
    default:
      return RingValuesInRange<0, kFieldCount>(tick);
  }
}

// The producer's side. Its tail is private; the shared one only ever is a copy.
class RingWriter {
 public:
  // `data`: mapped twice in a row. Goes on at the header's positions, which the caller has checked.
  // `bytes`: of the data, as it was checked. The header may be scribbled over at any time.
  RingWriter(RingHeader* header, RingWord* data, uint64_t bytes) noexcept
      : header_(header),
        data_(data),
        bytes_(bytes),
        tail_(header->tail.load(std::memory_order_relaxed)),
        head_(header->head.load(std::memory_order_acquire)) {
    tail_ -= tail_ % kRingLineBytes;
  }

  // Whether so many lines fit behind what was advanced over so far. Looks at the reader's line only if it seems not.
  bool HasRoom(uint64_t lines) noexcept {
    const uint64_t wanted = tail_ + lines * kRingLineBytes;
    if (wanted - head_ <= bytes_) [[likely]]
      return true;
    const uint64_t head = header_->head.load(std::memory_order_acquire);  // (3) pairs with (4)
    // The reader never goes back, nor past the tail: what says so was scribbled, and the reader's next store mends it.
    if (head - head_ > tail_ - head_) return false;
    head_ = head;
    return wanted - head_ <= bytes_;
  }
  RingWord* At() noexcept { return data_ + (tail_ & (bytes_ - 1)) / 8; }
  uint64_t position() const noexcept { return tail_; }
  void Advance(uint64_t lines) noexcept { tail_ += lines * kRingLineBytes; }
  // Makes all that was advanced over visible, at once.
  void Publish() noexcept { header_->tail.store(tail_, std::memory_order_release); }  // (2)

  // Writes one tick and advances over it; there is room for its lines.
  [[gnu::always_inline]] void Write(RingRecordType type, uint32_t number, const Tick& tick, uint32_t stamp,
                                    bool late) noexcept {
    RingWord* const words = At();
    Store(words, 1,
          number | uint64_t{tick.given} << kRingGivenShift | uint64_t{tick.cleared} << kRingClearedShift |
              (tick.has_status ? static_cast<uint64_t>(tick.status) + 1 : 0) << kRingStatusShift |
              uint64_t{late} << kRingLateShift);
    if (type == RingRecordType::kQuote) {
      WriteGroup<0>(words, tick, stamp);
    } else if (type == RingRecordType::kTrade) {
      WriteGroup<4>(words, tick, stamp);
    } else {
      WriteWhole(words, tick, stamp);
    }
    const uint64_t lines = RingLinesOf(type);
    Store(words, 0, RingRecordHead(type, lines, tail_));
    Advance(lines);
  }

  void WriteReset(uint32_t number, uint32_t stamp) noexcept {
    RingWord* const words = At();
    Store(words, 0, RingRecordHead(RingRecordType::kReset, 1, tail_));
    Store(words, 1, number);
    Store(words, 2, uint64_t{stamp} << 32);
    Advance(1);
  }

  void WriteLine(const char* text, size_t bytes, uint32_t stamp, bool late) noexcept {
    RingWord* const words = At();
    const uint64_t lines = RingLinesOfText(bytes);
    Store(words, 0, RingRecordHead(RingRecordType::kLine, lines, tail_));
    Store(words, 1, bytes | uint64_t{late} << 32);
    Store(words, 2, uint64_t{stamp} << 32);
    for (size_t at = 0; at < bytes; at += 8) {
      uint64_t word = 0;
      std::memcpy(&word, text + at, bytes - at < 8 ? bytes - at : 8);
      Store(words, kRingLineTextWord + at / 8, word);
    }
    Advance(lines);
  }

 private:
  // Relaxed: (2) publishes it. Atomic all the same, since a reader of a scribbled ring may look anywhere.
  static void Store(RingWord* words, size_t at, uint64_t value) noexcept {
    words[at].store(value, std::memory_order_relaxed);
  }
  // Four fields from kFirst on: the quote group, or the trade group's first (of which the last is never given).
  template <size_t kFirst>
  [[gnu::always_inline]] static void WriteGroup(RingWord* words, const Tick& tick, uint32_t stamp) noexcept {
    [&]<size_t... kI>(std::index_sequence<kI...>) {
      const auto exponent = [&](size_t i) {
        return uint64_t{static_cast<uint8_t>(tick.value[kFirst + i].exponent)} << (8 * i);
      };
      Store(words, 2, (exponent(kI) | ...) | uint64_t{stamp} << 32);
      (Store(words, 4 + kI, static_cast<uint64_t>(tick.value[kFirst + kI].mantissa)), ...);
    }(std::make_index_sequence<4>());
    Store(words, 3, kFirst == 0 ? tick.quote_time.value : tick.trade_time.value);
  }
  static void WriteWhole(RingWord* words, const Tick& tick, uint32_t stamp) noexcept {
    uint64_t exponents = 0;
    for (size_t i = 0; i < 8; ++i) exponents |= uint64_t{static_cast<uint8_t>(tick.value[i].exponent)} << (8 * i);
    Store(words, 2, exponents);
    Store(words, 3, static_cast<uint8_t>(tick.value[8].exponent) | uint64_t{stamp} << 32);
    Store(words, 4, tick.quote_time.value);
    Store(words, 5, tick.trade_time.value);
    for (size_t i = 0; i < kFieldCount; ++i) Store(words, 6 + i, static_cast<uint64_t>(tick.value[i].mantissa));
    Store(words, 15, 0);
  }

  RingHeader* const header_;
  RingWord* const data_;
  const uint64_t bytes_;
  uint64_t tail_;  // the shared one lags behind it between Advance and Publish
  uint64_t head_;  // the reader was here once; it may be further
};

// The consumer's side. Its head is private; the shared one only ever is a copy.
class RingReader {
 public:
  enum class Look : uint8_t {
    kEmpty,
    kRecord,
    kBroken,  // what is there is no record: Skip goes on behind all that was published
  };
  struct Record {
    RingRecordType type{};
    uint64_t lines = 0;
    uint64_t position = 0;
    const RingWord* words = nullptr;
  };
  // A tick as it was read, checked.
  struct TickRecord {
    uint32_t number = 0;
    uint32_t stamp = 0;
    bool late = false;
    Tick tick;
  };
  enum class Problem : uint8_t { kNone, kMalformed, kNumberTooLong, kBadTime };

  // Goes on where the reader before left off, or, if the header's positions cannot be, behind all there is.
  // `bytes`: of the data, as it was checked. The header may be scribbled over at any time.
  RingReader(RingHeader* header, const RingWord* data, uint64_t bytes) noexcept
      : header_(header), data_(data), bytes_(bytes) {
    tail_ = header->tail.load(std::memory_order_acquire);  // (1)
    tail_ -= tail_ % kRingLineBytes;
    head_ = header->head.load(std::memory_order_relaxed);
    if (tail_ - head_ > bytes_ || head_ % kRingLineBytes != 0) {
      head_ = tail_;
      resynced_ = true;
    }
    header->head.store(head_, std::memory_order_release);  // (4)
  }

  // The next record. Its words stay until Release.
  [[gnu::always_inline]] Look Next(Record* record) noexcept {
    if (head_ == tail_ && !Refresh()) return Look::kEmpty;
    record->words = At(head_);
    record->position = head_;
    const uint64_t head = record->words[0].load(std::memory_order_relaxed);
    record->type = static_cast<RingRecordType>(head & 0xff);
    record->lines = head >> 16 & 0xffff;
    const bool fits = record->lines != 0 && record->lines * kRingLineBytes <= tail_ - head_;
    const bool known = record->type == RingRecordType::kLine
                           ? record->lines != 0
                           : record->type >= RingRecordType::kQuote && record->type < RingRecordType::kLine &&
                                 record->lines == RingLinesOf(record->type);
    const bool whole = (head >> 8 & 0xff) == 0 && head >> 32 == (head_ / kRingLineBytes & 0xffffffff);
    return fits && known && whole ? Look::kRecord : Look::kBroken;
  }

  // Gives its place back to the writer.
  void Release(const Record& record) noexcept {
    head_ += record.lines * kRingLineBytes;
    header_->head.store(head_, std::memory_order_release);  // (4) pairs with (3)
  }
  // Gives up all that was published, since no record begins at the head. Returns how many bytes.
  uint64_t Skip() noexcept {
    const uint64_t skipped = tail_ - head_;
    head_ = tail_;
    header_->head.store(head_, std::memory_order_release);  // (4)
    return skipped;
  }

  uint64_t head() const noexcept { return head_; }
  uint64_t tail() const noexcept { return tail_; }  // as last seen
  // Sees what was published since. False if there is nothing.
  bool Refresh() noexcept {
    const uint64_t tail = header_->tail.load(std::memory_order_acquire);  // (1) pairs with (2)
    if (tail == tail_) [[likely]]
      return head_ != tail_;
    if (tail % kRingLineBytes != 0) return head_ != tail_;  // no writer's; its next store mends it
    if (tail - tail_ > bytes_ - (tail_ - head_)) {
      // The writer never goes back, nor past what was read by more than a ring: this tail was scribbled, or the one
      // before it. Whichever it was, the writer's own comes with its next store, and what is between is given up.
      head_ = tail_ = tail;
      header_->head.store(head_, std::memory_order_release);  // (4)
      resynced_ = true;
      return false;
    }
    tail_ = tail;
    return head_ != tail_;
  }
  // True once after positions were seen that cannot be.
  bool TakeResynced() noexcept { return std::exchange(resynced_, false); }
  // Of an idle reader: mends the shared head where somebody scribbled over it, since the writer believes it.
  void MendHead() noexcept {
    if (header_->head.load(std::memory_order_relaxed) != head_) header_->head.store(head_, std::memory_order_release);
  }

  // The number in the record that lies `lines` behind the head, if a tick is there; else anything. For a prefetch.
  bool PeekNumber(uint64_t lines, uint32_t* number) const noexcept {
    const uint64_t position = head_ + lines * kRingLineBytes;
    if (position >= tail_) return false;
    *number = static_cast<uint32_t>(At(position)[1].load(std::memory_order_relaxed));
    return true;
  }

  // Reads a record of that type: kQuote, kTrade or kTick.
  template <RingRecordType kType>
  [[gnu::always_inline]] static Problem ReadTick(const Record& record, TickRecord* out) noexcept {
    constexpr bool kIsQuote = kType == RingRecordType::kQuote;
    constexpr unsigned kGroup = kIsQuote                          ? kQuoteFields
                                : kType == RingRecordType::kTrade ? kRingTradeFields
                                                                  : (1u << kFieldCount) - 1;
    const uint64_t word = Load(record, 1);
    Tick& tick = out->tick;
    tick.given = static_cast<FieldMask>(word >> kRingGivenShift & 0x1ff);
    tick.cleared = static_cast<FieldMask>(word >> kRingClearedShift & 0x1ff);
    const uint64_t status = word >> kRingStatusShift & 0xf;
    tick.has_status = status != 0;
    tick.status = static_cast<Status>(status - tick.has_status);
    out->number = static_cast<uint32_t>(word);
    out->late = (word >> kRingLateShift & 1) != 0;
    const uint64_t wrong = (tick.given & tick.cleared) | ((tick.given | tick.cleared) & ~kGroup) |
                           (word >> (kRingLateShift + 1)) | uint64_t{status > uint64_t(Status::kClosed) + 1};
    bool in_range;
    if constexpr (kType == RingRecordType::kTick) {
      in_range = ReadWhole(record, out);
    } else {
      constexpr size_t kFirst = kIsQuote ? 0 : 4;
      in_range = ReadGroup<kFirst>(record, out);
    }
    if (wrong != 0) [[unlikely]]
      return Problem::kMalformed;
    if (!in_range) [[unlikely]]
      return Problem::kNumberTooLong;
    if (std::max(tick.quote_time.value, tick.trade_time.value) > kTimeMax) [[unlikely]]
      return Problem::kBadTime;
    return Problem::kNone;
  }
  static Problem ReadTick(const Record& record, TickRecord* out) noexcept {
    if (record.type == RingRecordType::kQuote) return ReadTick<RingRecordType::kQuote>(record, out);
    if (record.type == RingRecordType::kTrade) return ReadTick<RingRecordType::kTrade>(record, out);
    return ReadTick<RingRecordType::kTick>(record, out);
  }

  // The stamp and the number, of type kReset.
  static void ReadReset(const Record& record, uint32_t* number, uint32_t* stamp) noexcept {
    *number = static_cast<uint32_t>(Load(record, 1));
    *stamp = static_cast<uint32_t>(Load(record, 2) >> 32);
  }

  // The text of type kLine, into `text`, which has room for LineBytesMax(record). False if it is not one.
  static size_t LineBytesMax(const Record& record) noexcept {
    return record.lines * kRingLineBytes - kRingLineTextWord * 8;
  }
  static bool ReadLine(const Record& record, char* text, size_t* bytes, uint32_t* stamp, bool* late) noexcept {
    const uint64_t word = Load(record, 1);
    *bytes = static_cast<uint32_t>(word);
    *late = (word >> 32 & 1) != 0;
    *stamp = static_cast<uint32_t>(Load(record, 2) >> 32);
    if (word >> 33 != 0 || RingLinesOfText(*bytes) != record.lines) return false;
    for (size_t at = 0; at < *bytes; at += 8) {
      const uint64_t piece = Load(record, kRingLineTextWord + at / 8);
      std::memcpy(text + at, &piece, *bytes - at < 8 ? *bytes - at : 8);
    }
    return true;
  }

 private:
  static constexpr uint64_t kTimeMax = static_cast<uint64_t>(limits::kUnixMsMax) * 1'000'000 + 999'999;

  const RingWord* At(uint64_t position) const noexcept { return data_ + (position & (bytes_ - 1)) / 8; }
  // Once each: what was looked at is what is used.
  static uint64_t Load(const Record& record, size_t at) noexcept {
    return record.words[at].load(std::memory_order_relaxed);
  }
  // True if the value may be, or the field is not given.
  [[gnu::always_inline]] static bool TakeValue(Tick* tick, size_t field, uint64_t mantissa,
                                               uint64_t exponents) noexcept {
    const Decimal value{static_cast<int64_t>(mantissa), static_cast<int8_t>(exponents)};
    tick->value[field] = value;
    return RingInRange(value.mantissa, value.exponent) | ((tick->given >> field & 1) == 0);
  }
  template <size_t kFirst>
  [[gnu::always_inline]] static bool ReadGroup(const Record& record, TickRecord* out) noexcept {
    const uint64_t exponents = Load(record, 2);
    out->stamp = static_cast<uint32_t>(exponents >> 32);
    const VenueNs time{Load(record, 3)};
    out->tick.quote_time = kFirst == 0 ? time : VenueNs{};
    out->tick.trade_time = kFirst == 0 ? VenueNs{} : time;
    return [&]<size_t... kI>(std::index_sequence<kI...>) {
      return (TakeValue(&out->tick, kFirst + kI, Load(record, 4 + kI), exponents >> (8 * kI)) & ...);
    }(std::make_index_sequence<4>());
  }
  static bool ReadWhole(const Record& record, TickRecord* out) noexcept {
    const uint64_t exponents = Load(record, 2);
    const uint64_t ninth = Load(record, 3);
    out->stamp = static_cast<uint32_t>(ninth >> 32);
    out->tick.quote_time.value = Load(record, 4);
    out->tick.trade_time.value = Load(record, 5);
    bool good = true;
    for (size_t i = 0; i < kFieldCount; ++i) {
      good &= TakeValue(&out->tick, i, Load(record, 6 + i), i == 8 ? ninth : exponents >> (8 * i));
    }
    return good;
  }

  RingHeader* const header_;
  const RingWord* const data_;
  const uint64_t bytes_;
  uint64_t head_;
  uint64_t tail_;  // the writer was here once; it may be further
  bool resynced_ = false;
};

}  // namespace tickbridge
