// SPDX-License-Identifier: Apache-2.0
// The latency of every tick of a run, from the time it was due to the acknowledgement of the first write that covers
// it.
//
// Threading: Begin before the runner starts to send; Send and OnAcknowledged on the runner of generator and lanes; the
// rest once that has ended.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "bench/coverage.h"
#include "core/histogram.h"
#include "sink/settlement.h"

namespace tickbridge {

// Ticks due in [from, until) are measured; those before warm up.
struct MeasuredTime {
  MonoNs from;
  MonoNs until;
  bool Has(MonoNs due) const noexcept { return due >= from && due < until; }
};

class AckMeter final : public AckObserver {
 public:
  AckMeter(uint32_t symbols, uint32_t waiting_max) : symbols_(symbols), coverage_(symbols, waiting_max) {}

  // `sequence_base`: of the latest table. Symbols have the ids 0…symbols − 1.
  void Begin(uint64_t sequence_base, MeasuredTime measured) {
    sequence_base_ = sequence_base;
    measured_ = measured;
  }
  // Before the tick is merged.
  void Send(uint32_t symbol, MonoNs due) noexcept {
    ++sent_;
    coverage_.Send(symbol, due);
  }

  void OnAcknowledged(SymbolId id, uint64_t sequence, MonoNs now) noexcept override {
    if (Index(id) >= symbols_ || sequence <= sequence_base_) return;
    bool first = true;
    coverage_.Cover(Index(id), sequence - sequence_base_, [&](MonoNs due, uint32_t ticks) {
      if (!measured_.Has(due)) {
        unmeasured_ += ticks;
        return;
      }
      latency_->RecordN(now - due, ticks);
      measured_ticks_ += ticks;
      if (first) {
        // The oldest tick that this write covers: so old was what a reader saw until now.
        staleness_->Record(now - due);
        first = false;
      }
    });
  }

  std::unique_ptr<Histogram> TakeLatency() { return std::move(latency_); }
  // One sample a write that covered something new.
  std::unique_ptr<Histogram> TakeStaleness() { return std::move(staleness_); }
  // Each tick sent is in exactly one of the three.
  uint64_t measured_ticks() const { return measured_ticks_; }
  uint64_t unmeasured() const { return unmeasured_; }
  uint64_t waiting() const { return coverage_.waiting(); }
  uint64_t sent() const { return sent_; }
  uint64_t coarse() const { return coverage_.coarse(); }

 private:
  const uint32_t symbols_;
  Coverage coverage_;
  MeasuredTime measured_;
  uint64_t sequence_base_ = 0;
  uint64_t sent_ = 0;
  uint64_t measured_ticks_ = 0;
  uint64_t unmeasured_ = 0;
  std::unique_ptr<Histogram> latency_ = std::make_unique<Histogram>();
  std::unique_ptr<Histogram> staleness_ = std::make_unique<Histogram>();
};

}  // namespace tickbridge
