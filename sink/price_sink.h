// SPDX-License-Identifier: Apache-2.0
// The price side of a lane: takes dirty symbols, encodes their newest quotes as commands, and settles what is answered.
//
// Before a symbol's first write its key is read back, so that a first partial quote of a restarted bridge does not
// overwrite a fuller value, and time does not go back. What is found goes to the slot's owner (core/restore.h); until
// it is merged there, the symbol is not written.
//
// Where the server has MSETEX, values of the same lifetime go out many in one command, which costs the server half as
// much. It is all or nothing: on an error each of its keys is sent again alone.
//
// Threading: the lane's thread. Memory: 48 bytes a symbol, and its command head once it was first written.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <queue>
#include <string_view>
#include <vector>

#include "core/ingest.h"
#include "core/pages.h"
#include "core/restore.h"
#include "sink/outbox.h"
#include "sink/quote_encoder.h"
#include "sink/settlement.h"
#include "sink/ttl.h"

namespace tickbridge {

class PriceSink {
 public:
  struct Options {
    uint32_t lane = 0;
    uint32_t lanes = 1;
    uint32_t producer = 0;                      // for what is marked dirty again
    Restore* restore = nullptr;                 // null: keys are not read back
    const ServerClock* server_clock = nullptr;  // for absolute expiry, see sink/ttl.h; null: relative
    AckObserver* observer = nullptr;            // outlives the sink; null: nobody
    int64_t max_ahead_ns = 60 * kNsPerSec;      // a stored Timestamp further ahead than this is no reason to wait
  };
  PriceSink(const Core& core, const Options& options, LaneCounts* counts);

  // Encodes up to `commands_max` dirty symbols into the outbox while it has room. Returns how many symbols it took.
  int Fill(Outbox* outbox, uint32_t commands_max, MonoNs now) noexcept;
  // Encodes quiet symbols whose value would soon run out while their source lives. Returns how many.
  int Refresh(Outbox* outbox, MonoNs now) noexcept;

  // The answer to an entry of kind kPrice, or the turn of one of kind kPriceExpired.
  void OnSettled(const InFlight& entry, LaneCounts::End end, MonoNs now) noexcept;
  // The answer to an entry of kind kReadBack. `stored`: the key's value; empty: it has none, or may not be read.
  void OnReadBack(const InFlight& entry, std::string_view stored, MonoNs now) noexcept;
  // Whether the server of the connection takes MSETEX.
  void SetBatching(bool msetex) noexcept { batches_ = msetex && !price_.publish; }
  // The MSETEX that the entry was a key of was refused as a whole: the symbol is dirty again, and goes alone until that
  // has worked.
  void OnBatchRefused(const InFlight& entry) noexcept;
  // The entry's command was not carried out, or nobody knows: its symbol is dirty again.
  void OnLost(const InFlight& entry) noexcept;
  // The server may have forgotten everything: every symbol with a living value is dirty again.
  void Resync(MonoNs now) noexcept;

  // True when nothing is taken and waiting in here.
  bool Idle() const noexcept { return staged_ == staged_end_ && held_.empty(); }
  // Symbols of the lane with records that have not ended yet, also those never taken. Only while no runner works.
  uint64_t UnsettledKeys() const noexcept;

 private:
  enum class ReadBack : uint8_t { kDone, kNotYet, kAsked, kPosted };
  struct SymbolState {
    uint64_t settled;           // newest sequence that ended
    uint64_t published;         // newest sequence that was published
    int64_t carried_oldest_ns;  // oldest record of a taking that came to nothing; 0: none
    int64_t written_ns;         // when a value was last sent; 0: never
    int64_t deadline_ns;        // when the value sent last runs out
    uint32_t head_offset;       // of the command head in heads_
    uint16_t head_bytes;        // 0: not formatted yet
    bool resend : 1;            // the next write repeats one that was sent before
    bool alone : 1;             // not to be sent with others
    bool gathered : 1;          // waits in gathered_
    ReadBack read_back;
  };
  // A value on its way into the outbox.
  struct Ready {
    InFlight entry;
    Lifetime lifetime;
    Quote quote;
  };
  struct Held {
    int64_t due_ns;
    SymbolId id;
    bool operator>(const Held& other) const { return due_ns > other.due_ns; }
  };

  SymbolState& State(SymbolId id) noexcept { return states_[Index(id) / options_.lanes]; }
  // The value's age for its lifetime: since it was received or, with refresh, since its source last showed life.
  int64_t AgeNs(const Quote& quote, MonoNs now) const noexcept;
  // The next dirty symbol that may be sent now.
  bool NextDirty(SymbolId* id, MonoNs now) noexcept;
  // Clears the mark of a dirty symbol and sends its newest value.
  void SendDirty(SymbolId id, Outbox* outbox, MonoNs now) noexcept;
  // True if the symbol may be written. Otherwise `oldest` is kept, and the symbol will be dirty again when it may.
  bool MayWrite(SymbolId id, MonoNs oldest, Outbox* outbox, MonoNs now) noexcept;
  // Sends it, alone or gathered with others.
  void Send(const Ready& ready, Outbox* outbox, MonoNs now) noexcept;
  void SendAlone(const Ready& ready, Outbox* outbox, MonoNs now) noexcept;
  // Sends what was gathered: in one MSETEX if it is worth it.
  void SendGathered(Outbox* outbox, MonoNs now) noexcept;
  void NoteSent(const Ready& ready, MonoNs now) noexcept;
  // A verb with what the head holds behind it up to the key.
  char* PutKey(char* out, std::string_view verb, const SymbolState& state) const noexcept;
  // The value, as a bulk string.
  char* PutQuote(char* out, const Quote& quote, MonoNs now) noexcept;
  void FormatHead(SymbolId id, SymbolState* state);
  void Publish(SymbolId id, std::string_view value, Outbox* outbox, MonoNs now);

  const Core core_;
  const Options options_;
  const KeyClass& price_;
  LaneCounts* const counts_;
  QuoteEncoder encoder_;
  PageArray<SymbolState> states_;
  std::vector<char> heads_;
  size_t head_ttl_bytes_;  // of the lifetime at the end of every head

  // Ids taken from the dirty queue and not yet begun: their marks are still set, so no tick queues them again.
  std::array<SymbolId, 64> staged_ids_;
  size_t staged_ = 0;
  size_t staged_end_ = 0;
  std::priority_queue<Held, std::vector<Held>, std::greater<>> held_;
  // What goes out together.
  std::vector<Ready> gathered_;
  bool batches_ = false;
  uint32_t refresh_cursor_ = 0;
  MonoNs refresh_looked_;
};

}  // namespace tickbridge
