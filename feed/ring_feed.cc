// SPDX-License-Identifier: Apache-2.0
#include "feed/ring_feed.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/limits.h"
#include "core/log.h"
#include "feed/ndjson_decoder.h"

namespace tickbridge {
namespace {

// Not looked at for so long: what lies in the ring then may be as old.
constexpr int64_t kBacklogNs = 100 * kNsPerMs;
// Of documents in a duty cycle: after so many bytes the runner's other agents have their turn.
constexpr uint64_t kBytesPerCycle = uint64_t{1} << 20;
constexpr int64_t kShowIntervalNs = kNsPerSec / 2;
// Records ahead whose slots are fetched.
constexpr uint64_t kPrefetchLines = 8;

RejectReason ReasonOf(RingReader::Problem problem) {
  switch (problem) {
    case RingReader::Problem::kNumberTooLong:
      return RejectReason::kNumberTooLong;
    case RingReader::Problem::kBadTime:
      return RejectReason::kBadTimestamp;
    default:
      return RejectReason::kMalformed;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<RingFeed>> RingFeed::Open(Options options, Ingest* ingest, CountersFile* counters) {
  RingWatch::Options watch;
  watch.feed = options.name;
  watch.folder = options.folder;
  if (options.folder.empty() == options.path.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("feed.", options.name, ": needs either path or folder"));
  }
  if (!options.path.empty()) {
    watch.path = RingPath(options.path);
    if (watch.path.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("feed.", options.name, ": path \"", options.path, "\" must be the name of a ring, or a path"));
    }
  }
  return std::unique_ptr<RingFeed>(new RingFeed(std::move(options), std::move(watch), ingest, counters));
}

RingFeed::RingFeed(Options options, RingWatch::Options watch, Ingest* ingest, CountersFile* counters)
    : Feed(options.name, options.liveness_timeout_ns,
           counters->AddGauge(absl::StrCat("feed.", options.name, ".sources"))),
      options_(std::move(options)),
      ingest_(ingest),
      decoder_(std::make_unique<NdjsonDecoder>(ingest)),
      resyncs_(counters->AddCounter(absl::StrCat("feed.", options_.name, ".resyncs"))),
      ring_count_(counters->AddGauge(absl::StrCat("feed.", options_.name, ".rings"))),
      publisher_refused_(counters->AddGauge(absl::StrCat("feed.", options_.name, ".publisher_refused"))),
      publisher_pending_(counters->AddGauge(absl::StrCat("feed.", options_.name, ".publisher_pending"))),
      watch_(std::move(watch)) {
  if (options_.own_thread) watch_.Start();
}

RingFeed::~RingFeed() { RingFeed::OnClose(); }

void RingFeed::OnClose() noexcept {
  for (Ring* const ring : rings_) CloseSource(ring);
  rings_.clear();
}

int RingFeed::DoWork() noexcept {
  const MonoNs now = ingest_->core().clock->Now();
  watch_.TakeArrivals(&rings_);
  int work = 0;
  for (Ring* const ring : rings_) work += Drain(ring, now);
  for (size_t i = 0; i < rings_.size();) {
    if (!rings_[i]->finished) {
      ++i;
      continue;
    }
    rings_[i]->done.store(true, std::memory_order_release);  // the watch deletes it
    rings_.erase(rings_.begin() + static_cast<ptrdiff_t>(i));
  }
  if (now - shown_ >= kShowIntervalNs) {
    shown_ = now;
    ShowCounts();
  }
  ingest_->Maintain(now);
  return work;
}

[[gnu::always_inline]] inline void RingFeed::SetReceived(const Ring& ring, uint64_t position, uint32_t stamp, bool late,
                                                         MonoNs now) noexcept {
  MonoNs received = now;
  if (late) [[unlikely]] {
    received = RingStampTime(stamp, now);
  } else if (position < ring.backlog_end) [[unlikely]] {
    received = std::max(RingStampTime(stamp, now), ring.backlog_begin);
  }
  if (received == received_) [[likely]]
    return;
  received_ = received;
  ingest_->SetReceived(received);
}

template <RingRecordType kType>
[[gnu::always_inline]] inline void RingFeed::TakeTick(Ring* ring, const RingReader::Record& record,
                                                      MonoNs now) noexcept {
  const RingReader::Problem problem = RingReader::ReadTick<kType>(record, &tick_);
  if (ring->file->lost()) [[unlikely]]
    return;  // what was read may be half of zeros
  if (problem != RingReader::Problem::kNone) [[unlikely]]
    return Reject(ReasonOf(problem), record);
  SetReceived(*ring, record.position, tick_.stamp, tick_.late, now);
  if (tick_.number < ring->ids.size()) [[likely]] {
    if (const SymbolId id = ring->ids[tick_.number]; id != kNoSymbol) [[likely]]
      return ingest_->OnTick(id, tick_.tick);
  }
  TakeFirstTick(ring, tick_);
}

[[gnu::always_inline]] inline bool RingFeed::TakeNext(Ring* ring, MonoNs now) noexcept {
  RingReader& reader = ring->reader;
  uint32_t ahead;
  if (reader.PeekNumber(kPrefetchLines, &ahead) && ahead < ring->ids.size() && ring->ids[ahead] != kNoSymbol) {
    ingest_->Prefetch(ring->ids[ahead]);
  }
  RingReader::Record record;
  const RingReader::Look look = reader.Next(&record);
  if (look == RingReader::Look::kEmpty) return false;
  if (look == RingReader::Look::kBroken) {
    if (!ring->file->lost()) {
      Reject(RejectReason::kMalformed, record);
      resyncs_->Add();
    }
    reader.Skip();
    return true;
  }
  ingest_->SetOffset(record.position);
  switch (record.type) {
    case RingRecordType::kQuote:
      TakeTick<RingRecordType::kQuote>(ring, record, now);
      break;
    case RingRecordType::kTrade:
      TakeTick<RingRecordType::kTrade>(ring, record, now);
      break;
    case RingRecordType::kTick:
      TakeTick<RingRecordType::kTick>(ring, record, now);
      break;
    case RingRecordType::kReset: {
      uint32_t number;
      uint32_t stamp;
      RingReader::ReadReset(record, &number, &stamp);
      if (!ring->file->lost()) TakeReset(ring, number);
      break;
    }
    case RingRecordType::kLine: {
      const size_t wanted = RingReader::LineBytesMax(record) + limits::kParsePaddingBytes;
      if (text_.size() < wanted) text_.resize(wanted);
      size_t bytes;
      uint32_t stamp;
      bool late;
      const bool good = RingReader::ReadLine(record, text_.data(), &bytes, &stamp, &late);
      if (ring->file->lost()) break;
      if (!good) {
        Reject(RejectReason::kMalformed, record);
      } else if (bytes > limits::kLineBytesMax) {
        Reject(RejectReason::kLineTooLong, record);
      } else {
        SetReceived(*ring, record.position, stamp, late, now);
        decoder_->Decode(text_.data(), bytes, record.position);
      }
      break;
    }
  }
  reader.Release(record);
  return true;
}

int RingFeed::Drain(Ring* ring, MonoNs now) noexcept {
  RingReader& reader = ring->reader;
  // Also what the file says of an earlier bridge: a time that cannot be is none.
  if (ring->last_look.value < 0 || ring->last_look > now) ring->last_look = MonoNs{};
  if (now - ring->last_look > kBacklogNs) {
    reader.Refresh();
    ring->backlog_end = reader.tail();
    ring->backlog_begin = ring->last_look;
  }
  ring->last_look = now;
  ring->file->header().consumer_looked_mono_ns.store(now.value, std::memory_order_relaxed);  // for the next bridge
  const bool some = reader.Refresh();
  if (reader.TakeResynced()) {
    ingest_->OnReject(RejectReason::kMalformed, reader.head(), "the positions of the ring were overwritten");
    resyncs_->Add();
  }
  if (!some) {
    Rest(ring, now);
    return 0;
  }
  if (ring->source == kNoSource) OpenSource(ring, now);
  SignOfLife(now);
  ingest_->BeginBatch(ring->source, now);
  received_ = now;
  const uint64_t begin = reader.head();
  int taken = 0;
  while (taken < options_.records_per_cycle && reader.head() - begin < kBytesPerCycle && TakeNext(ring, now)) ++taken;
  ingest_->counts().bytes->Add(reader.head() - begin);
  return taken;
}

void RingFeed::TakeFirstTick(Ring* ring, const RingReader::TickRecord& record) noexcept {
  const std::string name = NameOf(ring, record.number);
  if (name.empty()) return;
  ingest_->OnTick(name, record.tick);
  ring->ids[record.number] = ingest_->Find(name);
}

void RingFeed::TakeReset(Ring* ring, uint32_t number) noexcept {
  if (const std::string name = NameOf(ring, number); !name.empty()) ingest_->OnReset(name);
}

std::string RingFeed::NameOf(Ring* ring, uint32_t number) noexcept {
  std::string name = ring->file->Symbol(number);
  if (ring->file->lost()) return "";
  if (IsValidRingSymbol(name)) return name;
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "symbol number %u", number);
  ingest_->OnReject(RejectReason::kBadSymbol, ring->reader.head(), text.data());
  return "";
}

void RingFeed::Reject(RejectReason reason, const RingReader::Record& record) noexcept {
  // It has no text of its own, so it is described.
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "record of type %u, %u lines", static_cast<unsigned>(record.type),
                static_cast<unsigned>(record.lines));
  ingest_->OnReject(reason, record.position, text.data());
}

void RingFeed::Rest(Ring* ring, MonoNs now) noexcept {
  const int64_t beat_ns = ring->file->header().beat_mono_ns.load(std::memory_order_relaxed);
  if (beat_ns != ring->beat_seen_ns) {
    ring->beat_seen_ns = beat_ns;
    const MonoNs life{std::clamp<int64_t>(beat_ns, 0, now.value)};
    if (ring->source != kNoSource && life > ring->last_life) {
      ring->last_life = life;
      ingest_->core().sources->Touch(ring->source, life);
      SignOfLife(life);
    }
    ring->reader.MendHead();
  }
  // In this order: the publisher was seen gone, and there is nothing that it left.
  const bool is_there = ring->publisher_is_there.load(std::memory_order_acquire);
  const bool replaced = ring->replaced.load(std::memory_order_acquire);
  if (is_there && !replaced) {
    if (ring->source == kNoSource) OpenSource(ring, MonoNs{std::clamp<int64_t>(beat_ns, 0, now.value)});
    if (!ring->file->lost()) return;
  }
  if (ring->reader.Refresh() && !ring->file->lost()) return;
  CloseSource(ring);
  if (replaced || ring->file->lost()) ring->finished = true;
}

void RingFeed::OpenSource(Ring* ring, MonoNs life) noexcept {
  ring->source = ingest_->core().sources->Open(options_.liveness_timeout_ns, life);
  if (ring->source != kNoSource) SourceOpened(life);
}

void RingFeed::CloseSource(Ring* ring) noexcept {
  if (ring->source == kNoSource) return;
  ingest_->core().sources->Close(ring->source);
  ring->source = kNoSource;
  SourceClosed();
}

void RingFeed::ShowCounts() noexcept {
  ring_count_->Set(static_cast<int64_t>(rings_.size()));
  uint64_t refused = 0;
  uint64_t pending = 0;
  for (const Ring* const ring : rings_) {
    refused += ring->file->header().refused.load(std::memory_order_relaxed);
    pending += ring->file->header().pending.load(std::memory_order_relaxed);
  }
  publisher_refused_->Set(static_cast<int64_t>(refused));
  publisher_pending_->Set(static_cast<int64_t>(pending));
}

}  // namespace tickbridge
