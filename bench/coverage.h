// SPDX-License-Identifier: Apache-2.0
// Which ticks a write covers, and when each of them was due.
//
// Ticks of a symbol are numbered from 1 in the order they were sent. A tick waits from Send until the first Cover of
// its symbol with a number that is not smaller; it is handed out then, once, with the time at which it was due. So a
// tick that was conflated away counts until the first write which holds it or something newer.
//
// Memory: fixed at construction, whatever the server does: `waiting_max` ticks wait with a time of their own. Beyond
// that a tick is put to the one that waits before it in its symbol, and takes over its (earlier) time: its latency is
// told too long, never too short, and `coarse` counts it. No tick is ever lost or counted twice.
// Threading: one thread. Cost: some ten nanoseconds a tick, no allocation.
#pragma once

#include <cstdint>
#include <vector>

#include "core/types.h"

namespace tickbridge {

class Coverage {
 public:
  // `waiting_max`: at least `symbols`, so that the first tick of each that waits always has a place.
  Coverage(uint32_t symbols, uint32_t waiting_max);

  void Send(uint32_t symbol, MonoNs due) noexcept {
    Queue& queue = queues_[symbol];
    ++queue.sent;
    ++waiting_;
    if (queue.head != kNone && free_count_ <= idle_symbols_) {
      // Every other place is promised to a symbol of which nothing waits.
      ++places_[queue.tail].ticks;
      ++coarse_;
      return;
    }
    const uint32_t place = free_;
    free_ = places_[place].next;
    --free_count_;
    places_[place] = {due, kNone, 1};
    if (queue.head == kNone) {
      queue.head = place;
      --idle_symbols_;
    } else {
      places_[queue.tail].next = place;
    }
    queue.tail = place;
  }

  // Calls `visit(due, ticks)` for what waits of the symbol up to its `number`-th tick, oldest first.
  template <typename Visit>
  void Cover(uint32_t symbol, uint64_t number, Visit&& visit) noexcept {
    Queue& queue = queues_[symbol];
    while (queue.head != kNone && queue.covered < number) {
      Place& place = places_[queue.head];
      const uint64_t reach = number - queue.covered;
      const uint32_t ticks = reach < place.ticks ? static_cast<uint32_t>(reach) : place.ticks;
      visit(place.due, ticks);
      queue.covered += ticks;
      waiting_ -= ticks;
      place.ticks -= ticks;
      if (place.ticks != 0) return;
      const uint32_t freed = queue.head;
      queue.head = place.next;
      if (queue.head == kNone) ++idle_symbols_;
      place.next = free_;
      free_ = freed;
      ++free_count_;
    }
  }

  uint64_t sent(uint32_t symbol) const noexcept { return queues_[symbol].sent; }
  uint64_t waiting() const noexcept { return waiting_; }
  uint64_t coarse() const noexcept { return coarse_; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Place {
    MonoNs due;
    uint32_t next;   // of the same symbol; of a free place: the next free one
    uint32_t ticks;  // that wait with this time
  };
  struct Queue {
    uint64_t sent = 0;
    uint64_t covered = 0;
    uint32_t head = kNone;
    uint32_t tail = kNone;
  };

  std::vector<Queue> queues_;
  std::vector<Place> places_;
  uint32_t free_ = 0;
  uint32_t free_count_;
  uint32_t idle_symbols_;  // of which nothing waits
  uint64_t waiting_ = 0;
  uint64_t coarse_ = 0;
};

}  // namespace tickbridge
