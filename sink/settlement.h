// SPDX-License-Identifier: Apache-2.0
// The counters of a lane, and how an accepted record ends: written, conflated, expired or failed, exactly once.
//
// Records of a key are numbered without gaps by its sequence. When the sequence `s` of a key is settled, its newest
// record ends as told, and all between the last settled one and it were superseded: conflated.
#pragma once

#include <cstdint>
#include <string>

#include "core/counters.h"
#include "core/histogram.h"
#include "sink/outbox.h"

namespace tickbridge {

// Who wants to know which sequences were acknowledged, and when: a latency harness. Called on the lane's thread.
class AckObserver {
 public:
  virtual ~AckObserver() = default;
  // The symbol's record of that sequence, and every earlier one, is in the server or superseded there. May repeat.
  virtual void OnAcknowledged(SymbolId id, uint64_t sequence, MonoNs now) noexcept = 0;
};

struct LaneCounts {
  LaneCounts(CountersFile* counters, const std::string& prefix);

  // How records ended.
  Counter* written;
  Counter* conflated;
  Counter* expired;
  Counter* failed;
  // What was done.
  Counter* writes;     // sets and deletes sent
  Counter* acks;       // keys acknowledged
  Counter* resent;     // writes of a value that an earlier connection, or server, had been sent
  Counter* refreshed;  // writes that only renewed the lifetime of a quiet symbol
  Counter* published;
  Counter* beacons;  // feed:{name}:alive
  Counter* errors;   // error replies
  Counter* connects;
  Counter* reconnects;
  Counter* bytes_out;
  Counter* bytes_in;
  Histogram* tick_to_ack_ns;
  Histogram* staleness_ns;

  enum class End : uint8_t { kWritten, kExpired, kFailed };

  // Settles `sequence` of a key whose last settled one is `*settled`. Nothing happens if it is no newer.
  void Settle(End end, uint64_t sequence, uint64_t* settled) {
    if (sequence <= *settled) return;
    (end == End::kWritten ? written : end == End::kExpired ? expired : failed)->Add();
    conflated->Add(sequence - *settled - 1);
    *settled = sequence;
  }
  void RecordLatency(const InFlight& entry, MonoNs now) {
    tick_to_ack_ns->Record(now - entry.newest);
    staleness_ns->Record(now - entry.oldest);
  }
};

}  // namespace tickbridge
