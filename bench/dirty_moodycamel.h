// SPDX-License-Identifier: Apache-2.0
// A candidate for the hand-off from feed to sink (core/dirty_queue.h), behind the same interface: moodycamel's
// ConcurrentQueue of ids, with a token for each producer. bench/dirty_handoff.cc compares.
//
// Threading: Mark by one thread per producer number at a time; Take by one thread per lane at a time.
#pragma once

#include <concurrentqueue.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/latest_table.h"
#include "core/types.h"

namespace tickbridge {

class DirtyMoodycamel {
 public:
  DirtyMoodycamel(LatestTable* table, uint32_t producers, uint32_t lanes) : table_(table), lane_count_(lanes) {
    for (uint32_t i = 0; i < lanes; ++i) {
      lanes_.push_back(std::make_unique<Lane>(table->capacity() / lanes + 1, producers));
    }
  }

  uint32_t LaneOf(SymbolId id) const noexcept { return lane_count_ == 1 ? 0 : Index(id) % lane_count_; }

  void Mark(uint32_t producer, SymbolId id, MonoNs since) noexcept {
    if (table_->Dirty(id).exchange(1, std::memory_order_acq_rel) == 0) {
      // Relaxed: the push releases it.
      table_->DirtySinceNs(id).store(since.value, std::memory_order_relaxed);
      Push(producer, id);
    }
  }

  size_t Take(uint32_t lane_index, std::span<SymbolId> ids) noexcept {
    Lane& lane = *lanes_[lane_index];
    return lane.queue.try_dequeue_bulk(lane.consumer, ids.begin(), ids.size());
  }

  MonoNs Begin(SymbolId id) noexcept {
    const MonoNs since{table_->DirtySinceNs(id).load(std::memory_order_relaxed)};
    table_->Dirty(id).exchange(0, std::memory_order_acq_rel);
    return since;
  }

 private:
  struct Traits : moodycamel::ConcurrentQueueDefaultTraits {
    static constexpr size_t BLOCK_SIZE = 256;  // NOLINT(readability-identifier-naming): the library looks for this name
  };
  using Queue = moodycamel::ConcurrentQueue<SymbolId, Traits>;

  struct Lane {
    Lane(size_t capacity, uint32_t producers) : queue(capacity, producers, 0), consumer(queue) {
      tokens.reserve(producers);
      for (uint32_t i = 0; i < producers; ++i) tokens.emplace_back(queue);
      // Filling and emptying each once makes the queue take from the allocator here all that it can ever need.
      std::vector<SymbolId> ids(capacity + 2 * Traits::BLOCK_SIZE);
      for (moodycamel::ProducerToken& token : tokens) {
        for (const SymbolId id : ids) queue.enqueue(token, id);
        while (queue.try_dequeue_bulk_from_producer(token, ids.data(), ids.size()) != 0) {
        }
      }
    }
    // Tokens refer to the queue, so they are declared, and die, in this order.
    Queue queue;
    moodycamel::ConsumerToken consumer;
    std::vector<moodycamel::ProducerToken> tokens;
  };

  // Out of line: its code is large.
  [[gnu::noinline]] void Push(uint32_t producer, SymbolId id) noexcept {
    Lane& lane = *lanes_[LaneOf(id)];
    lane.queue.enqueue(lane.tokens[producer], id);
  }

  LatestTable* table_;
  uint32_t lane_count_;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace tickbridge
