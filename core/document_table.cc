// SPDX-License-Identifier: Apache-2.0
#include "core/document_table.h"

#include <algorithm>

namespace tickbridge {

DocumentTable::DocumentTable(uint32_t capacity, uint32_t lanes, const SourceTable* sources)
    : capacity_(capacity),
      lanes_(lanes),
      sources_(sources),
      dirty_(lanes),
      waiting_(std::make_unique<std::atomic<size_t>[]>(lanes)) {}

void DocumentTable::PushDirty(uint32_t id) {
  Entry& entry = entries_[id];
  entry.dirty = true;
  dirty_[entry.lane].push_back(id);
  waiting_[entry.lane].store(dirty_[entry.lane].size(), std::memory_order_relaxed);  // see Empty
}

DocumentTable::PutResult DocumentTable::Put(std::shared_ptr<Document> document, OwnerId owner) {
  // The version before is released after the lock: freeing a large value may take a while.
  std::shared_ptr<const Document> before;
  const std::lock_guard lock(mutex_);
  uint32_t id;
  if (const auto found = ids_.find(document->key); found != ids_.end()) {
    id = found->second;
    Entry& entry = entries_[id];
    before = std::move(entry.newest);
    if (entry.owner != owner && sources_->IsAlive(before->source, document->received)) {
      entry.newest = std::move(before);
      return PutResult::kWrongOwner;
    }
    document->sequence = before->sequence + 1;
    if (document->deleted) document->deadline = std::max(document->received, entry.deadline_max);
    // The map's key views into the version that is about to go.
    auto node = ids_.extract(found);
    node.key() = document->key;
    ids_.insert(std::move(node));
  } else {
    if (!free_.empty()) {
      id = free_.back();
      free_.pop_back();
    } else if (entries_.size() < capacity_) {
      id = static_cast<uint32_t>(entries_.size());
      entries_.emplace_back();
    } else {
      return PutResult::kFull;
    }
    document->sequence = 1;
    if (document->deleted) document->deadline = document->received;
    ids_.emplace(document->key, id);
    entries_[id].lane = static_cast<uint32_t>(std::hash<std::string_view>{}(document->key) % lanes_);
  }
  Entry& entry = entries_[id];
  entry.owner = owner;
  entry.deadline_max = std::max(entry.deadline_max, document->deadline);
  if (!entry.dirty) {
    entry.since = document->received;
    PushDirty(id);
  }
  entry.newest = std::move(document);
  return PutResult::kOk;
}

size_t DocumentTable::Take(uint32_t lane, size_t max, std::vector<Taken>* out) {
  const std::lock_guard lock(mutex_);
  std::deque<uint32_t>& queue = dirty_[lane];
  const size_t count = std::min(max, queue.size());
  for (size_t i = 0; i < count; ++i) {
    Entry& entry = entries_[queue.front()];
    entry.dirty = false;
    out->push_back({DocumentId{queue.front()}, entry.since, entry.newest});
    queue.pop_front();
  }
  waiting_[lane].store(queue.size(), std::memory_order_relaxed);  // see Empty
  return count;
}

void DocumentTable::Requeue(DocumentId id, MonoNs since) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[Index(id)];
  if (entry.newest == nullptr) return;  // freed meanwhile: there is nothing to send
  if (entry.dirty) {
    entry.since = std::min(entry.since, since);
    return;
  }
  entry.since = since;
  PushDirty(Index(id));
}

bool DocumentTable::Free(DocumentId id, uint64_t sequence) {
  std::shared_ptr<const Document> last;
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[Index(id)];
  if (entry.dirty || entry.newest == nullptr || entry.newest->sequence != sequence) return false;
  ids_.erase(entry.newest->key);
  last = std::move(entry.newest);
  entry = Entry{};
  free_.push_back(Index(id));
  return true;
}

void DocumentTable::ForEach(uint32_t lane, const std::function<void(DocumentId, const Document&)>& visit) const {
  const std::lock_guard lock(mutex_);
  for (uint32_t id = 0; id < entries_.size(); ++id) {
    if (entries_[id].newest != nullptr && entries_[id].lane == lane) visit(DocumentId{id}, *entries_[id].newest);
  }
}

size_t DocumentTable::size() const {
  const std::lock_guard lock(mutex_);
  return ids_.size();
}

}  // namespace tickbridge
