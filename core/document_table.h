// SPDX-License-Identifier: Apache-2.0
// The documents: opaque values for keys of every class but price, conflated per key, with their own dirty queues.
//
// A document's entry is kept until its newest version was settled by the sink and its value has expired, a deleted one
// until the deadline of the value that it deleted, so that nothing resurrects it.
//
// Threading: Put by feed runners; Take, Requeue, Free and ForEach by the sink of that lane. One mutex, held for a few
//   pointer moves and never across I/O or a copy of a value.
// Memory: bounded by the number of documents; an older version is freed when the last of table and sink lets go of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/key_class.h"
#include "core/latest_table.h"
#include "core/source_table.h"
#include "core/types.h"

namespace tickbridge {

// Dense, but reused after Free. Belongs to one lane.
enum class DocumentId : uint32_t {};
constexpr uint32_t Index(DocumentId id) { return static_cast<uint32_t>(id); }

// One version of a document. Immutable once put.
struct Document {
  ClassId key_class{};
  bool deleted = false;
  std::string key;      // as in Redis
  std::string value;    // empty when deleted
  std::string channel;  // to publish to after the set; empty: none
  int64_t ttl_ns = 0;
  MonoNs received;
  MonoNs deadline;  // when the value expires; of a delete: when the value it deleted would have
  SourceId source{};
  uint64_t sequence = 0;  // versions of this key since its entry was made, from 1
};

class DocumentTable {
 public:
  enum class PutResult : uint8_t { kOk, kFull, kWrongOwner };
  struct Taken {
    DocumentId id;
    MonoNs since;  // when the oldest version that this taking covers was received
    std::shared_ptr<const Document> document;
  };

  // `sources` outlives the table.
  DocumentTable(uint32_t capacity, uint32_t lanes, const SourceTable* sources);

  // Makes `document` the newest version of its key and queues it. `sequence` is set here; of a delete `deadline`, too.
  PutResult Put(std::shared_ptr<Document> document, OwnerId owner);

  // Takes up to `max` dirty documents of a lane, oldest first.
  size_t Take(uint32_t lane, size_t max, std::vector<Taken>* out);
  // Queues a taken document again, unless a newer version already did.
  void Requeue(DocumentId id, MonoNs since);
  // Forgets a document if `sequence` is still its newest version. True if it is gone.
  bool Free(DocumentId id, uint64_t sequence);
  // Calls `visit` with every document of a lane, under the lock.
  void ForEach(uint32_t lane, const std::function<void(DocumentId, const Document&)>& visit) const;

  uint32_t capacity() const { return capacity_; }
  size_t size() const;
  // True when nothing waits in the lane's queue. Takes no lock. Relaxed is enough: it is a hint when to look, and a
  // sink that misses an entry sees it in its next duty cycle.
  bool Empty(uint32_t lane) const noexcept { return waiting_[lane].load(std::memory_order_relaxed) == 0; }

 private:
  struct Entry {
    std::shared_ptr<const Document> newest;
    OwnerId owner{};
    uint32_t lane = 0;
    bool dirty = false;
    MonoNs since;
    MonoNs deadline_max;  // of all versions: what a delete must outlive
  };

  // Under the lock.
  void PushDirty(uint32_t id);

  const uint32_t capacity_;
  const uint32_t lanes_;
  const SourceTable* const sources_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string_view, uint32_t> ids_;  // keys view into the entry's document
  std::vector<Entry> entries_;
  std::vector<uint32_t> free_;
  std::vector<std::deque<uint32_t>> dirty_;         // per lane
  std::unique_ptr<std::atomic<size_t>[]> waiting_;  // per lane: size of its dirty queue, for Empty
};

}  // namespace tickbridge
