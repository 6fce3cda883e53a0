// SPDX-License-Identifier: Apache-2.0
// The price side of a lane: takes dirty symbols, encodes their newest quotes as commands, and settles what is answered.
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
#include "core/memory.h"
#include "sink/outbox.h"
#include "sink/quote_encoder.h"
#include "sink/settlement.h"
#include "sink/ttl.h"

namespace tickbridge {

class PriceSink {
 public:
  PriceSink(const Core& core, uint32_t lane, uint32_t lanes, uint32_t producer, LaneCounts* counts);

  // Encodes up to `commands_max` dirty symbols into the outbox while it has room. Returns how many symbols it took.
  int Fill(Outbox* outbox, uint32_t commands_max, MonoNs now) noexcept;
  // Encodes quiet symbols whose value would soon run out while their source lives. Returns how many.
  int Refresh(Outbox* outbox, MonoNs now) noexcept;

  // The answer to an entry of kind kPrice, or the turn of one of kind kPriceExpired.
  void OnSettled(const InFlight& entry, LaneCounts::End end, MonoNs now) noexcept;
  // The entry's command was not carried out, or nobody knows: its symbol is dirty again.
  void OnLost(const InFlight& entry) noexcept;
  // The server may have forgotten everything: every symbol with a living value is dirty again.
  void Resync(MonoNs now) noexcept;

  // True when nothing is taken and waiting in here.
  bool Idle() const noexcept { return staged_ == staged_end_ && held_.empty(); }

 private:
  struct SymbolState {
    uint64_t settled;           // newest sequence that ended
    int64_t carried_oldest_ns;  // oldest record of a taking that came to nothing; 0: none
    int64_t written_ns;         // when a value was last sent; 0: never
    int64_t deadline_ns;        // when the value sent last runs out
    uint32_t head_offset;       // of the command head in heads_
    uint16_t head_bytes;        // 0: not formatted yet
    bool resend;                // the next write repeats one that was sent before
  };
  struct Held {
    int64_t due_ns;
    SymbolId id;
    bool operator>(const Held& other) const { return due_ns > other.due_ns; }
  };

  SymbolState& State(SymbolId id) noexcept { return states_[Index(id) / lanes_]; }
  // The value's age for its lifetime: since it was received or, with refresh, since its source last showed life.
  int64_t AgeNs(const Quote& quote, MonoNs now) const noexcept;
  // The next dirty symbol that may be sent now.
  bool NextDirty(SymbolId* id, MonoNs now) noexcept;
  // Clears the mark of a dirty symbol and sends its newest value.
  void SendDirty(SymbolId id, Outbox* outbox, MonoNs now) noexcept;
  void Send(SymbolId id, const Quote& quote, Lifetime lifetime, InFlight entry, Outbox* outbox, MonoNs now) noexcept;
  void FormatHead(SymbolId id, SymbolState* state);
  void Publish(SymbolId id, std::string_view value, Outbox* outbox, MonoNs now);

  const Core core_;
  const KeyClass& price_;
  const uint32_t lane_;
  const uint32_t lanes_;
  const uint32_t producer_;
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
  uint32_t refresh_cursor_ = 0;
  MonoNs refresh_looked_;
};

}  // namespace tickbridge
