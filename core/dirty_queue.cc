// SPDX-License-Identifier: Apache-2.0
#include "core/dirty_queue.h"

#include <concurrentqueue.h>

#include <vector>

namespace tickbridge {
namespace {

struct QueueTraits : moodycamel::ConcurrentQueueDefaultTraits {
  static constexpr size_t BLOCK_SIZE = 256;  // NOLINT(readability-identifier-naming): the library looks for this name
};
using Queue = moodycamel::ConcurrentQueue<SymbolId, QueueTraits>;

}  // namespace

struct DirtyQueue::Impl {
  struct Lane {
    Lane(size_t capacity, uint32_t producers) : queue(capacity, producers, 0), consumer(queue) {
      tokens.reserve(producers);
      for (uint32_t i = 0; i < producers; ++i) tokens.emplace_back(queue);
    }
    // Tokens refer to the queue, so they are declared, and die, in this order.
    Queue queue;
    moodycamel::ConsumerToken consumer;
    std::vector<moodycamel::ProducerToken> tokens;
  };
  std::vector<std::unique_ptr<Lane>> lanes;
};

DirtyQueue::DirtyQueue(LatestTable* table, uint32_t producers, uint32_t lanes)
    : table_(table), lanes_(lanes), impl_(std::make_unique<Impl>()) {
  const size_t ids_per_lane = table->capacity() / lanes + 1;
  for (uint32_t i = 0; i < lanes; ++i) {
    impl_->lanes.push_back(std::make_unique<Impl::Lane>(ids_per_lane, producers));
    Impl::Lane& lane = *impl_->lanes.back();
    // The queue keeps a producer's blocks and its index of them for reuse. Filling and emptying each once makes it take
    // from the allocator here all that it can ever need: an id is queued at most once, so none holds more than these
    // (and two partly used blocks).
    const size_t fill = ids_per_lane + 2 * QueueTraits::BLOCK_SIZE;
    std::vector<SymbolId> ids(fill);
    for (moodycamel::ProducerToken& token : lane.tokens) {
      for (const SymbolId id : ids) lane.queue.enqueue(token, id);
      while (lane.queue.try_dequeue_bulk_from_producer(token, ids.data(), ids.size()) != 0) {
      }
    }
  }
}

DirtyQueue::~DirtyQueue() = default;

void DirtyQueue::Push(uint32_t producer, SymbolId id) noexcept {
  Impl::Lane& lane = *impl_->lanes[LaneOf(id)];
  // Cannot fail: see the constructor.
  lane.queue.enqueue(lane.tokens[producer], id);
}

size_t DirtyQueue::Take(uint32_t lane_index, std::span<SymbolId> ids) noexcept {
  Impl::Lane& lane = *impl_->lanes[lane_index];
  return lane.queue.try_dequeue_bulk(lane.consumer, ids.begin(), ids.size());
}

size_t DirtyQueue::SizeApprox(uint32_t lane) const noexcept { return impl_->lanes[lane]->queue.size_approx(); }

}  // namespace tickbridge
