// SPDX-License-Identifier: Apache-2.0
#include "sink/document_sink.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/log.h"
#include "sink/resp.h"
#include "sink/ttl.h"

namespace tickbridge {
namespace {

constexpr size_t kTakeBatch = 32;
// Entries looked at in one duty cycle for one that may be freed.
constexpr uint32_t kSweepBatch = 16;
// A document that was first in flight at so many disconnects in a row has failed.
constexpr uint8_t kDisconnectsMax = 2;

char* PutText(char* out, std::string_view text) {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

char* PutSet(char* out, const Document& document, const Lifetime& lifetime) {
  if (lifetime.kind == Lifetime::Kind::kDeadline) {
    out = resp::PutBulk(PutText(out, "*5\r\n$3\r\nSET\r\n"), document.key);
    out = resp::PutBulk(resp::PutBulk(out, document.value), "PXAT");
    return resp::PutBulkNumber(out, static_cast<uint64_t>(lifetime.deadline.value));
  }
  const bool whole = lifetime.kind == Lifetime::Kind::kFullSeconds;
  out = PutText(out, whole ? "*4\r\n$5\r\nSETEX\r\n" : "*4\r\n$6\r\nPSETEX\r\n");
  out = resp::PutBulk(out, document.key);
  out = resp::PutBulkNumber(out, static_cast<uint64_t>(whole ? document.ttl_ns / kNsPerSec : lifetime.ms));
  return resp::PutBulk(out, document.value);
}

}  // namespace

DocumentSink::DocumentSink(const Core& core, uint32_t lane, const ServerClock* server_clock, LaneCounts* counts)
    : core_(core), lane_(lane), server_clock_(server_clock), counts_(counts) {
  staged_documents_.reserve(kTakeBatch);
}

int DocumentSink::Fill(Outbox* outbox, uint32_t commands_max, MonoNs now) {
  uint32_t taken_count = 0;
  DocumentTable::Taken taken;
  while (taken_count < commands_max && outbox->HasRoom() && NextDirty(&taken, now)) {
    Send(taken, outbox, now);
    ++taken_count;
  }
  return static_cast<int>(taken_count);
}

bool DocumentSink::NextDirty(DocumentTable::Taken* taken, MonoNs now) {
  while (!held_.empty() && held_.top().due_ns <= now.value) {
    // Back through the queue, so that the newest version goes out.
    State(held_.top().id).held = false;
    core_.documents->Requeue(held_.top().id, held_.top().since);
    held_.pop();
  }
  while (true) {
    if (staged_ == staged_documents_.size()) {
      staged_documents_.clear();
      staged_ = 0;
      if (core_.documents->Empty(lane_) || core_.documents->Take(lane_, kTakeBatch, &staged_documents_) == 0) {
        return false;
      }
      for (const DocumentTable::Taken& staged : staged_documents_) State(staged.id).waiting = true;
    }
    *taken = std::move(staged_documents_[staged_++]);
    const KeyClass& key_class = (*core_.classes)[static_cast<size_t>(taken->document->key_class)];
    DocumentState& state = State(taken->id);
    const int64_t due_ns = state.written_ns + key_class.min_interval_ns;
    if (key_class.min_interval_ns == 0 || state.written_ns == 0 || due_ns <= now.value) return true;
    state.waiting = false;
    if (!std::exchange(state.held, true)) held_.push({due_ns, taken->id, taken->since});
  }
}

void DocumentSink::Send(const DocumentTable::Taken& taken, Outbox* outbox, MonoNs now) {
  const Document& document = *taken.document;
  DocumentState& state = State(taken.id);
  state.known = true;
  state.waiting = false;
  InFlight entry;
  entry.kind = InFlight::Kind::kDocument;
  entry.id = Index(taken.id);
  entry.sequence = document.sequence;
  entry.newest = document.received;
  entry.oldest = taken.since;
  if (state.carried_oldest_ns != 0) entry.oldest.value = std::min(entry.oldest.value, state.carried_oldest_ns);
  entry.sent = now;
  state.carried_oldest_ns = 0;
  state.sent = document.sequence;
  state.deadline_ns = document.deadline.value;

  char* const begin = outbox->Begin();
  char* out = begin;
  if (document.deleted) {
    std::string command;
    resp::AppendCommand(&command, {"UNLINK", document.key});
    std::memcpy(out, command.data(), command.size());
    out += command.size();
  } else {
    const Lifetime lifetime = LifetimeOf(document.ttl_ns, now - document.received, server_clock_, now);
    if (lifetime.kind == Lifetime::Kind::kNone) {
      entry.kind = InFlight::Kind::kDocumentExpired;
      state.resend = false;
      if (document.sequence > state.settled) {
        ++state.in_flight;
        outbox->CommitNothing(entry);
      }
      return;
    }
    out = PutSet(out, document, lifetime);
  }
  ++state.in_flight;
  outbox->Commit(entry, out);
  counts_->writes->Add();
  if (std::exchange(state.resend, false)) counts_->resent->Add();
  state.written_ns = now.value;
  if (!document.channel.empty()) Publish(document, outbox, now);
}

void DocumentSink::Publish(const Document& document, Outbox* outbox, MonoNs now) {
  char* const begin = outbox->Begin();
  char* out = begin;
  std::memcpy(out, "*3\r\n", 4);
  out = resp::PutBulk(out + 4, "PUBLISH");
  out = resp::PutBulk(out, document.channel);
  out = resp::PutBulk(out, document.value);
  InFlight entry;
  entry.kind = InFlight::Kind::kPublish;
  entry.sent = now;
  outbox->Commit(entry, out);
  counts_->published->Add();
}

void DocumentSink::OnSettled(const InFlight& entry, LaneCounts::End end, MonoNs now) noexcept {
  DocumentState& state = State(DocumentId{entry.id});
  --state.in_flight;
  state.disconnects = 0;
  if (end == LaneCounts::End::kWritten) {
    counts_->acks->Add();
    if (entry.sequence > state.settled) counts_->RecordLatency(entry, now);
  }
  counts_->Settle(end, entry.sequence, &state.settled);
}

void DocumentSink::OnLost(const InFlight& entry, bool first_at_disconnect) {
  const DocumentId id{entry.id};
  DocumentState& state = State(id);
  --state.in_flight;
  // In a row: not if something else was first in between.
  if (!first_at_disconnect) state.disconnects = 0;
  if (first_at_disconnect && ++state.disconnects >= kDisconnectsMax) {
    Log(LogLevel::kError,
        "sink: a document was given up: the connection ended twice in a row while it was being written");
    state.disconnects = 0;
    counts_->Settle(LaneCounts::End::kFailed, entry.sequence, &state.settled);
    return;
  }
  if (entry.kind == InFlight::Kind::kDocument) state.resend = true;
  if (entry.sequence > state.settled) {
    state.carried_oldest_ns =
        state.carried_oldest_ns == 0 ? entry.oldest.value : std::min(state.carried_oldest_ns, entry.oldest.value);
  }
  core_.documents->Requeue(id, entry.oldest);
}

void DocumentSink::Resync(MonoNs now) {
  std::vector<DocumentId> live;
  core_.documents->ForEach(lane_, [&](DocumentId id, const Document& document) {
    if (document.deadline > now) live.push_back(id);
  });
  for (const DocumentId id : live) {
    if (State(id).deadline_ns > now.value) State(id).resend = true;
    core_.documents->Requeue(id, now);
  }
}

void DocumentSink::Sweep(MonoNs now) {
  for (uint32_t looked = 0; looked < kSweepBatch && looked < states_.size(); ++looked) {
    sweep_cursor_ = sweep_cursor_ + 1 < states_.size() ? sweep_cursor_ + 1 : 0;
    DocumentState& state = states_[sweep_cursor_];
    if (!state.known || state.waiting || state.held || state.in_flight != 0) continue;
    if (state.settled < state.sent || now.value < state.deadline_ns) continue;
    // A version put meanwhile keeps the entry; it is in the queue and comes by here again.
    if (core_.documents->Free(DocumentId{sweep_cursor_}, state.sent)) state = DocumentState{};
  }
}

uint64_t DocumentSink::UnsettledKeys() const {
  uint64_t count = 0;
  core_.documents->ForEach(lane_, [&](DocumentId id, const Document& document) {
    const uint64_t settled = Index(id) < states_.size() ? states_[Index(id)].settled : 0;
    if (document.sequence > settled) ++count;
  });
  return count;
}

}  // namespace tickbridge
