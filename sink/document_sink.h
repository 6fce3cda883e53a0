// SPDX-License-Identifier: Apache-2.0
// The document side of a lane: sends the newest version of each dirty document, or its UNLINK, and settles the answers.
//
// Threading: the lane's thread. Memory: 56 bytes a document.
#pragma once

#include <cstdint>
#include <memory>
#include <queue>
#include <vector>

#include "core/document_table.h"
#include "core/ingest.h"
#include "sink/outbox.h"
#include "sink/server_clock.h"
#include "sink/settlement.h"

namespace tickbridge {

class DocumentSink {
 public:
  // `server_clock`: for absolute expiry, see sink/ttl.h; null: relative.
  DocumentSink(const Core& core, uint32_t lane, const ServerClock* server_clock, LaneCounts* counts);

  // Encodes up to `commands_max` dirty documents into the outbox while it has room. Returns how many it took.
  int Fill(Outbox* outbox, uint32_t commands_max, MonoNs now);
  // Frees a few entries that are settled and past their deadline.
  void Sweep(MonoNs now);

  void OnSettled(const InFlight& entry, LaneCounts::End end, MonoNs now) noexcept;
  // `first_at_disconnect`: the connection ended while this was the first command in flight. A document to which that
  // happens twice in a row has failed: it may be what makes the server hang up.
  void OnLost(const InFlight& entry, bool first_at_disconnect);
  void Resync(MonoNs now);

  bool Idle() const { return staged_ == staged_documents_.size() && held_.empty(); }
  // Documents of the lane with versions that have not ended yet, also those never taken. Only while no runner works.
  uint64_t UnsettledKeys() const;

 private:
  struct DocumentState {
    uint64_t settled = 0;
    uint64_t sent = 0;  // newest version sent
    int64_t carried_oldest_ns = 0;
    int64_t written_ns = 0;
    int64_t deadline_ns = 0;  // of the newest version sent
    uint8_t disconnects = 0;  // in a row at which it was the first in flight
    uint32_t in_flight = 0;   // places of the window that name it
    bool held = false;        // waits in held_
    bool waiting = false;     // taken from the queue, and not yet sent
    bool resend = false;
    bool known = false;  // has an entry here
  };
  struct Held {
    int64_t due_ns;
    DocumentId id;
    MonoNs since;
    bool operator>(const Held& other) const { return due_ns > other.due_ns; }
  };

  bool NextDirty(DocumentTable::Taken* taken, MonoNs now);
  DocumentState& State(DocumentId id) {
    if (Index(id) >= states_.size()) states_.resize(Index(id) + 1);
    return states_[Index(id)];
  }
  void Send(const DocumentTable::Taken& taken, Outbox* outbox, MonoNs now);
  void Publish(const Document& document, Outbox* outbox, MonoNs now);

  const Core core_;
  const uint32_t lane_;
  const ServerClock* const server_clock_;
  LaneCounts* const counts_;
  std::vector<DocumentState> states_;
  std::vector<DocumentTable::Taken> staged_documents_;
  size_t staged_ = 0;
  std::priority_queue<Held, std::vector<Held>, std::greater<>> held_;
  uint32_t sweep_cursor_ = 0;
};

}  // namespace tickbridge
