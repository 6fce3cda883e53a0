// SPDX-License-Identifier: Apache-2.0
#include "sink/price_sink.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "sink/quote_decoder.h"
#include "sink/resp.h"

namespace tickbridge {
namespace {

// The head of a command: verb, key and lifetime. The key's place in it is the same for every symbol.
constexpr std::string_view kSetex = "*4\r\n$5\r\nSETEX\r\n";
constexpr std::string_view kPsetex = "*4\r\n$6\r\nPSETEX\r\n";
constexpr std::string_view kSet = "*5\r\n$3\r\nSET\r\n";
constexpr std::string_view kMsetex = "\r\n$6\r\nMSETEX\r\n";
// Of what stands at the key no more than a value of ours can be long: it may be anybody's, of any size.
constexpr std::string_view kGetRange = "*4\r\n$8\r\nGETRANGE\r\n";
constexpr std::string_view kRange = "$1\r\n0\r\n$4\r\n4095\r\n";

// A read that keeps losing to a busy writer gives up: the symbol is queued again and loses nothing by waiting.
constexpr int kLoadAttempts = 4;

// Fewer keys in one command gain nothing. More gain little, and keep the server from its readers at a stretch.
constexpr size_t kBatchKeysMin = 8;
constexpr size_t kBatchKeysMax = 128;

// Symbols looked at for a refresh in one duty cycle.
constexpr int64_t kRefreshLooksMax = 512;

constexpr size_t kHeadBytesTypical = 64;

// Appends `$<bytes>\r\n` before, and `\r\n` behind, a value that `encode` writes. The value's size is known only when
// it is written; three digits are what it nearly always takes.
template <typename Encode>
char* PutValue(char* out, Encode encode) noexcept {
  constexpr size_t kFrame = sizeof("$ddd\r\n") - 1;
  char* const value = out + kFrame;
  char* end = encode(value);
  const auto bytes = static_cast<size_t>(end - value);
  char frame[resp::kBulkFrameBytes] = {'$'};
  char* frame_end = resp::PutUnsigned(frame + 1, bytes);
  *frame_end++ = '\r';
  *frame_end++ = '\n';
  const auto frame_bytes = static_cast<size_t>(frame_end - frame);
  if (frame_bytes != kFrame) {
    std::memmove(out + frame_bytes, value, bytes);
    end = out + frame_bytes + bytes;
  }
  std::memcpy(out, frame, frame_bytes);
  *end++ = '\r';
  *end++ = '\n';
  return end;
}

// The lifetime where it stands behind the value.
char* PutLifetime(char* out, const Lifetime& lifetime) noexcept {
  if (lifetime.kind == Lifetime::Kind::kDeadline) {
    return resp::PutBulkNumber(resp::PutBulk(out, "PXAT"), static_cast<uint64_t>(lifetime.deadline.value));
  }
  const bool whole = lifetime.kind == Lifetime::Kind::kFullSeconds;
  out = resp::PutBulk(out, whole ? "EX" : "PX");
  return resp::PutBulkNumber(out, static_cast<uint64_t>(whole ? lifetime.ms / 1000 : lifetime.ms));
}

}  // namespace

PriceSink::PriceSink(const Core& core, const Options& options, LaneCounts* counts)
    : core_(core),
      options_(options),
      price_((*core.classes)[0]),
      counts_(counts),
      encoder_(price_.members),
      states_(core.table->capacity() / options.lanes + 1) {
  for (size_t i = 0; i < states_.size(); ++i) {
    states_[i].settled = core.table->sequence_base();
    states_[i].read_back = options.restore != nullptr ? ReadBack::kNotYet : ReadBack::kDone;
  }
  // Of a table that was taken over: the process before counted its records, and there is nothing older to be read back.
  for (uint32_t index = options.lane; index < core.symbols->size(); index += options.lanes) {
    const SymbolId id{index};
    State(id).settled = core.table->Sequence(id);
    if (core.table->Restored(id)) State(id).read_back = ReadBack::kDone;
  }
  gathered_.reserve(kBatchKeysMax);
  heads_.reserve(states_.size() * kHeadBytesTypical);
  char ttl[2 * resp::kBulkFrameBytes];
  head_ttl_bytes_ =
      static_cast<size_t>(resp::PutBulkNumber(ttl, static_cast<uint64_t>(price_.ttl_ns / kNsPerSec)) - ttl);
}

int PriceSink::Fill(Outbox* outbox, uint32_t commands_max, MonoNs now) noexcept {
  uint32_t taken = 0;
  SymbolId id;
  while (taken < commands_max && outbox->HasRoom(static_cast<uint32_t>(gathered_.size())) && NextDirty(&id, now)) {
    SendDirty(id, outbox, now);
    ++taken;
  }
  SendGathered(outbox, now);
  return static_cast<int>(taken);
}

bool PriceSink::NextDirty(SymbolId* id, MonoNs now) noexcept {
  if (!held_.empty() && held_.top().due_ns <= now.value) {
    *id = held_.top().id;
    held_.pop();
    return true;
  }
  while (true) {
    if (staged_ == staged_end_) {
      staged_ = 0;
      staged_end_ = core_.dirty->Take(options_.lane, staged_ids_);
      if (staged_end_ == 0) return false;
    }
    *id = staged_ids_[staged_++];
    if (price_.min_interval_ns == 0) return true;
    // Too early: it waits here, marked, and conflates in its slot like any other.
    const int64_t due_ns = State(*id).written_ns + price_.min_interval_ns;
    if (State(*id).written_ns == 0 || due_ns <= now.value) return true;
    held_.push({due_ns, *id});
  }
}

int64_t PriceSink::AgeNs(const Quote& quote, MonoNs now) const noexcept {
  MonoNs life = quote.received;
  if (price_.refresh && core_.sources->IsAlive(quote.source, now)) {
    life = std::max(life, core_.sources->LastLife(quote.source, now));
  }
  return std::max<int64_t>(now - life, 0);
}

void PriceSink::SendDirty(SymbolId id, Outbox* outbox, MonoNs now) noexcept {
  SymbolState& state = State(id);
  MonoNs oldest = core_.dirty->Begin(id);
  if (state.carried_oldest_ns != 0) oldest.value = std::min(oldest.value, state.carried_oldest_ns);
  if (state.read_back != ReadBack::kDone && !MayWrite(id, oldest, outbox, now)) return;
  Ready ready;
  Quote& quote = ready.quote;
  for (int attempt = 1; !core_.table->TryLoad(id, &quote); ++attempt) {
    if (attempt < kLoadAttempts) continue;
    state.carried_oldest_ns = oldest.value;
    core_.dirty->Mark(options_.producer, id, oldest);
    return;
  }
  state.carried_oldest_ns = 0;
  InFlight& entry = ready.entry;
  entry.kind = InFlight::Kind::kPrice;
  entry.id = Index(id);
  entry.sequence = quote.sequence;
  entry.newest = quote.received;
  entry.oldest = std::min(oldest, quote.received);
  entry.sent = now;
  ready.lifetime = LifetimeOf(price_.ttl_ns, AgeNs(quote, now), options_.server_clock, now);
  if (ready.lifetime.kind == Lifetime::Kind::kNone) {
    if (state.gathered) SendGathered(outbox, now);
    entry.kind = InFlight::Kind::kPriceExpired;
    state.resend = false;
    if (quote.sequence > state.settled) outbox->CommitNothing(entry);
    return;
  }
  if (state.resend) counts_->resent->Add();
  Send(ready, outbox, now);
}

void PriceSink::Send(const Ready& ready, Outbox* outbox, MonoNs now) noexcept {
  SymbolState& state = State(SymbolId{ready.entry.id});
  if (state.head_bytes == 0) FormatHead(SymbolId{ready.entry.id}, &state);
  // An older value of it goes before this one.
  if (state.gathered) SendGathered(outbox, now);
  // The late ones have lifetimes of their own.
  if (!batches_ || state.alone || !ready.lifetime.young) return SendAlone(ready, outbox, now);
  state.gathered = true;
  gathered_.push_back(ready);
  if (gathered_.size() == kBatchKeysMax) SendGathered(outbox, now);
}

void PriceSink::SendAlone(const Ready& ready, Outbox* outbox, MonoNs now) noexcept {
  const SymbolId id{ready.entry.id};
  SymbolState& state = State(id);
  const Lifetime& lifetime = ready.lifetime;
  char* const begin = outbox->Begin();
  char* out = begin;
  if (lifetime.kind == Lifetime::Kind::kFullSeconds) {
    std::memcpy(out, heads_.data() + state.head_offset, state.head_bytes);
    out += state.head_bytes;
  } else if (lifetime.kind == Lifetime::Kind::kMilliseconds) {
    out = resp::PutBulkNumber(PutKey(out, kPsetex, state), static_cast<uint64_t>(lifetime.ms));
  } else {
    out = PutKey(out, kSet, state);
  }
  const char* const frame = out;
  out = PutQuote(out, ready.quote, now);
  const char* const value_end = out - 2;
  if (lifetime.kind == Lifetime::Kind::kDeadline) out = PutLifetime(out, lifetime);
  outbox->Commit(ready.entry, out);
  NoteSent(ready, now);
  if (price_.publish && ready.quote.sequence > state.published) {
    state.published = ready.quote.sequence;
    const char* value = static_cast<const char*>(std::memchr(frame, '\n', resp::kBulkFrameBytes)) + 1;
    // A copy: the publish goes into the same buffer.
    Publish(id, std::string(value, static_cast<size_t>(value_end - value)), outbox, now);
  }
}

void PriceSink::SendGathered(Outbox* outbox, MonoNs now) noexcept {
  for (const Ready& ready : gathered_) State(SymbolId{ready.entry.id}).gathered = false;
  if (gathered_.size() < kBatchKeysMin) {
    for (const Ready& ready : gathered_) SendAlone(ready, outbox, now);
    gathered_.clear();
    return;
  }
  // Where the deadline itself is sent, those of values as young as these lie a few milliseconds apart: the earliest
  // stands for all.
  const Lifetime lifetime =
      std::ranges::min_element(gathered_, {}, [](const Ready& ready) { return ready.lifetime.deadline; })->lifetime;
  char* out = outbox->Begin();
  *out++ = '*';
  out = resp::PutUnsigned(out, 2 * gathered_.size() + 4);
  std::memcpy(out, kMsetex.data(), kMsetex.size());
  out = resp::PutBulkNumber(out + kMsetex.size(), gathered_.size());
  gathered_.front().entry.keys = static_cast<uint16_t>(gathered_.size());
  for (Ready& ready : gathered_) {
    out = PutQuote(PutKey(out, "", State(SymbolId{ready.entry.id})), ready.quote, now);
    if (&ready == &gathered_.back()) out = PutLifetime(out, lifetime);
    if (&ready != &gathered_.front()) ready.entry.keys = 0;
    outbox->Commit(ready.entry, out);
    NoteSent(ready, now);
  }
  gathered_.clear();
}

void PriceSink::NoteSent(const Ready& ready, MonoNs now) noexcept {
  SymbolState& state = State(SymbolId{ready.entry.id});
  counts_->writes->Add();
  state.resend = false;
  state.written_ns = now.value;
  state.deadline_ns = now.value + ready.lifetime.ms * kNsPerMs;
}

char* PriceSink::PutQuote(char* out, const Quote& quote, MonoNs now) noexcept {
  // Reading the clock's offset costs; only the members that show it need it.
  const UnixNs received = core_.clock->ToUnix(quote.received);
  const UnixNs sent = core_.clock->ToUnix(now);
  return PutValue(out, [&](char* at) { return encoder_.Encode(at, quote, received, sent); });
}

char* PriceSink::PutKey(char* out, std::string_view verb, const SymbolState& state) const noexcept {
  std::memcpy(out, verb.data(), verb.size());
  const size_t key_bytes = state.head_bytes - kSetex.size() - head_ttl_bytes_;
  std::memcpy(out + verb.size(), heads_.data() + state.head_offset + kSetex.size(), key_bytes);
  return out + verb.size() + key_bytes;
}

bool PriceSink::MayWrite(SymbolId id, MonoNs oldest, Outbox* outbox, MonoNs now) noexcept {
  SymbolState& state = State(id);
  if (state.read_back == ReadBack::kPosted && core_.table->Restored(id)) {
    state.read_back = ReadBack::kDone;
    return true;
  }
  state.carried_oldest_ns = oldest.value;
  if (state.read_back != ReadBack::kNotYet) return false;
  if (state.head_bytes == 0) FormatHead(id, &state);
  InFlight entry;
  entry.kind = InFlight::Kind::kReadBack;
  entry.id = Index(id);
  entry.oldest = oldest;
  entry.sent = now;
  char* const out = PutKey(outbox->Begin(), kGetRange, state);
  std::memcpy(out, kRange.data(), kRange.size());
  outbox->Commit(entry, out + kRange.size());
  state.read_back = ReadBack::kAsked;
  return false;
}

void PriceSink::OnReadBack(const InFlight& entry, std::string_view stored, MonoNs now) noexcept {
  const SymbolId id{entry.id};
  SymbolState& state = State(id);
  Quote quote;
  if (stored.empty() || !DecodeQuote(stored, &quote)) {
    state.read_back = ReadBack::kDone;
    core_.dirty->Mark(options_.producer, id, entry.oldest);
    return;
  }
  // A Timestamp that the clock is far from would make every tick stale.
  if (quote.timestamp > ToUnixMs(core_.clock->ToUnix(now) + options_.max_ahead_ns)) quote.timestamp = UnixMs{};
  state.read_back = ReadBack::kPosted;
  options_.restore->Post(id, quote);  // the owner marks the symbol dirty
}

void PriceSink::FormatHead(SymbolId id, SymbolState* state) {
  std::string key;
  const KeyPattern::FieldValue field{"symbol", core_.symbols->Name(id)};
  price_.key.Render({&field, 1}, &key);
  state->head_offset = static_cast<uint32_t>(heads_.size());
  heads_.resize(heads_.size() + kSetex.size() + key.size() + resp::kBulkFrameBytes + head_ttl_bytes_);
  char* const begin = heads_.data() + state->head_offset;
  std::memcpy(begin, kSetex.data(), kSetex.size());
  char* out = resp::PutBulk(begin + kSetex.size(), key);
  out = resp::PutBulkNumber(out, static_cast<uint64_t>(price_.ttl_ns / kNsPerSec));
  state->head_bytes = static_cast<uint16_t>(out - begin);
  heads_.resize(state->head_offset + state->head_bytes);
}

void PriceSink::Publish(SymbolId id, std::string_view value, Outbox* outbox, MonoNs now) {
  std::string channel;
  const KeyPattern::FieldValue field{"symbol", core_.symbols->Name(id)};
  price_.publish->Render({&field, 1}, &channel);
  std::string command;
  resp::AppendCommand(&command, {"PUBLISH", channel, value});
  InFlight entry;
  entry.kind = InFlight::Kind::kPublish;
  entry.sent = now;
  outbox->Put(entry, command);
  counts_->published->Add();
}

int PriceSink::Refresh(Outbox* outbox, MonoNs now) noexcept {
  if (!price_.refresh) return 0;
  const uint32_t symbols = core_.symbols->size();
  const uint32_t ours = symbols > options_.lane ? (symbols - options_.lane - 1) / options_.lanes + 1 : 0;
  // The whole lane is looked over four times a lifetime, evenly: what was written in one burst is refreshed spread out.
  const int64_t round_ns = price_.ttl_ns / 4;
  refresh_looked_ = std::max(refresh_looked_, now - round_ns);  // what was missed is not made up for in a burst
  const int64_t elapsed_ns = std::min(now - refresh_looked_, round_ns);
  const int64_t looks = std::min(elapsed_ns * ours / round_ns, kRefreshLooksMax);
  if (looks == 0) return 0;
  refresh_looked_ = looks == kRefreshLooksMax ? refresh_looked_ + looks * round_ns / ours : now;
  int sent = 0;
  for (int64_t i = 0; i < looks; ++i) {
    if (!outbox->HasRoom(static_cast<uint32_t>(gathered_.size()))) {
      refresh_looked_ = refresh_looked_ - (looks - i) * round_ns / ours;  // they are looked at next time
      break;
    }
    refresh_cursor_ = refresh_cursor_ + 1 < ours ? refresh_cursor_ + 1 : 0;
    const SymbolId id{options_.lane + refresh_cursor_ * options_.lanes};
    SymbolState& state = State(id);
    if (state.written_ns == 0 || state.deadline_ns - now.value > price_.ttl_ns / 2) continue;
    if (now.value - state.written_ns < price_.min_interval_ns) continue;
    // Relaxed: a hint. A dirty symbol is about to be written anyway.
    if (core_.table->Dirty(id).load(std::memory_order_relaxed) != 0) continue;
    Ready ready;
    const Quote& quote = ready.quote;
    if (!core_.table->TryLoad(id, &ready.quote) || !core_.sources->IsAlive(quote.source, now)) continue;
    ready.lifetime = LifetimeOf(price_.ttl_ns, AgeNs(quote, now), options_.server_clock, now);
    const Lifetime& lifetime = ready.lifetime;
    // Nothing to gain while the source shows no newer life than the last write knew.
    if (lifetime.kind == Lifetime::Kind::kNone || now.value + lifetime.ms * kNsPerMs <= state.deadline_ns) continue;
    ready.entry.kind = InFlight::Kind::kPrice;
    ready.entry.id = Index(id);
    ready.entry.sequence = quote.sequence;
    ready.entry.newest = ready.entry.oldest = quote.received;
    ready.entry.sent = now;
    Send(ready, outbox, now);
    counts_->refreshed->Add();
    ++sent;
  }
  SendGathered(outbox, now);
  return sent;
}

void PriceSink::OnSettled(const InFlight& entry, LaneCounts::End end, MonoNs now) noexcept {
  SymbolState& state = State(SymbolId{entry.id});
  if (end == LaneCounts::End::kWritten) {
    counts_->acks->Add();
    if (entry.sequence > state.settled) counts_->RecordLatency(entry, now);
    if (options_.observer != nullptr) [[unlikely]] {
      options_.observer->OnAcknowledged(SymbolId{entry.id}, entry.sequence, now);
    }
    state.alone = false;
  }
  counts_->Settle(end, entry.sequence, &state.settled);
}

void PriceSink::OnBatchRefused(const InFlight& entry) noexcept {
  State(SymbolId{entry.id}).alone = true;
  OnLost(entry);
}

void PriceSink::OnLost(const InFlight& entry) noexcept {
  const SymbolId id{entry.id};
  SymbolState& state = State(id);
  if (entry.kind == InFlight::Kind::kPrice) state.resend = true;
  if (entry.kind == InFlight::Kind::kReadBack) {
    state.read_back = ReadBack::kNotYet;
    core_.dirty->Mark(options_.producer, id, entry.oldest);
    return;
  }
  if (entry.sequence > state.settled) {
    state.carried_oldest_ns =
        state.carried_oldest_ns == 0 ? entry.oldest.value : std::min(state.carried_oldest_ns, entry.oldest.value);
  }
  core_.dirty->Mark(options_.producer, id, entry.oldest);
}

void PriceSink::Resync(MonoNs now) noexcept {
  for (uint32_t index = options_.lane; index < core_.symbols->size(); index += options_.lanes) {
    const SymbolId id{index};
    if (core_.table->Sequence(id) == core_.table->sequence_base()) continue;
    if (State(id).deadline_ns > now.value) State(id).resend = true;
    core_.dirty->Mark(options_.producer, id, now);
  }
}

uint64_t PriceSink::UnsettledKeys() const noexcept {
  uint64_t count = 0;
  for (uint32_t index = options_.lane; index < core_.symbols->size(); index += options_.lanes) {
    if (core_.table->Sequence(SymbolId{index}) > states_[index / options_.lanes].settled) ++count;
  }
  return count;
}

}  // namespace tickbridge
