// SPDX-License-Identifier: Apache-2.0
#include "core/ingest.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/log.h"

namespace tickbridge {
namespace {

constexpr size_t kExcerptBytes = 96;
constexpr int64_t kLogInterval = kNsPerSec;
// Slots looked at in one duty cycle for a dead source.
constexpr size_t kMaintainBatch = 16;

bool Uses(const KeyPattern& pattern, std::string_view field) {
  return std::find(pattern.fields().begin(), pattern.fields().end(), field) != pattern.fields().end();
}

bool HasNegativePrice(const Tick& tick) noexcept {
  for (size_t field = 0; field < kFieldCount; ++field) {
    if ((tick.given & kPriceFields & (1u << field)) != 0 && tick.value[field].mantissa < 0) return true;
  }
  return false;
}

}  // namespace

Ingest::Ingest(const Core& core, Options options, CountersFile* counters)
    : core_(core),
      options_(std::move(options)),
      renames_(!options_.symbol_prefix.empty() || !options_.symbol_suffix.empty()),
      counts_{} {
  const std::string prefix = absl::StrCat("feed.", options_.feed, ".");
  counters->AlignGroup();
  counts_.records = counters->AddCounter(absl::StrCat(prefix, "records"));
  counts_.accepted = counters->AddCounter(absl::StrCat(prefix, "accepted"));
  counts_.control = counters->AddCounter(absl::StrCat(prefix, "control"));
  counts_.bytes = counters->AddCounter(absl::StrCat(prefix, "bytes"));
  counts_.volume_overflow = counters->AddCounter(absl::StrCat(prefix, "volume_overflow"));
  for (size_t i = 0; i < kRejectReasonCount; ++i) {
    counts_.rejected[i] = counters->AddCounter(absl::StrCat(prefix, "rejected.", kRejectReasonNames[i]));
  }
  owned_.reserve(core_.table->capacity());
}

void Ingest::BeginBatch(SourceId source, MonoNs received) noexcept {
  core_.sources->Touch(source, received);
  context_.source = source;
  context_.received = received;
  if (options_.replay) {
    context_.clock = recording_clock_;
  } else {
    now_unix_ = ToUnixMs(core_.clock->ToUnix(received));
    context_.clock = now_unix_;
  }
}

void Ingest::SetRecordingClock(UnixMs time) noexcept {
  recording_clock_ = std::max(recording_clock_, time);
  context_.clock = recording_clock_;
}

void Ingest::SetReceived(MonoNs received) noexcept {
  context_.received = received;
  if (!options_.replay) context_.clock = ToUnixMs(core_.clock->ToUnix(received));
}

inline std::optional<RejectReason> Ingest::Check(const Tick& tick) noexcept {
  const VenueNs venue_time = std::max(tick.quote_time, tick.trade_time);
  if (options_.replay) {
    if (const UnixMs time = ToUnixMs(venue_time); time > recording_clock_) SetRecordingClock(time);
  } else if (ToUnixMs(venue_time).value > now_unix_.value + options_.max_ahead_ns / kNsPerMs) {
    return RejectReason::kFuture;
  }
  if ((tick.given | tick.cleared) == 0 && !tick.has_status) return RejectReason::kEmpty;
  if (!price_class().allow_negative && HasNegativePrice(tick)) return RejectReason::kNegativePrice;
  return std::nullopt;
}

inline void Ingest::Merge(SymbolId id, const Tick& tick) noexcept {
  bool volume_overflow = false;
  switch (core_.table->Merge(id, tick, context_, &volume_overflow)) {
    case MergeResult::kMerged:
      core_.dirty->Mark(options_.producer, id, context_.received);
      counts_.accepted->Add();
      if (volume_overflow) counts_.volume_overflow->Add();
      return;
    case MergeResult::kStale:
      return Reject(RejectReason::kStale, core_.symbols->Name(id));
    case MergeResult::kEmpty:
      return Reject(RejectReason::kEmpty, core_.symbols->Name(id));
  }
}

void Ingest::OnTick(std::string_view symbol, const Tick& tick) noexcept {
  counts_.records->Add();
  if (const auto reason = Check(tick)) return Reject(*reason, symbol);
  NameBuffer buffer;
  const SymbolId id = Resolve(OurName(symbol, &buffer));
  if (id != kNoSymbol) Merge(id, tick);
}

void Ingest::OnTick(SymbolId id, const Tick& tick) noexcept {
  counts_.records->Add();
  if (const auto reason = Check(tick)) return Reject(*reason, core_.symbols->Name(id));
  if (core_.table->Owner(id) != options_.owner && ResolveSlow(core_.symbols->Name(id), id) == kNoSymbol) return;
  Merge(id, tick);
}

SymbolId Ingest::Find(std::string_view symbol) const noexcept {
  NameBuffer buffer;
  return core_.symbols->Find(OurName(symbol, &buffer));
}

void Ingest::OnReset(std::string_view symbol) noexcept {
  counts_.records->Add();
  NameBuffer buffer;
  symbol = OurName(symbol, &buffer);
  // A symbol never seen before is made known: what stands in the store from before is not to be added to.
  const SymbolId id = Resolve(symbol);
  if (id == kNoSymbol) return;
  if (core_.table->Reset(id)) core_.dirty->Mark(options_.producer, id, context_.received);
  counts_.control->Add();
}

void Ingest::OnHeartbeat() noexcept {
  counts_.records->Add();
  counts_.control->Add();
}

void Ingest::OnDocument(const DocumentRecord& record) {
  counts_.records->Add();
  const KeyClass* key_class = FindClass(record.key_class);
  if (key_class == nullptr) return Reject(RejectReason::kUnknownClass, record.key_class);
  const std::string_view excerpt = key_class->raw || record.secret ? std::string_view() : record.value;
  for (const auto& [name, value] : record.fields) {
    const bool used = Uses(key_class->key, name) || (key_class->publish && Uses(*key_class->publish, name));
    if (used && !SymbolTable::IsValidName(value)) return Reject(RejectReason::kBadKeyField, excerpt);
  }
  auto document = std::make_shared<Document>();
  if (!key_class->key.Render(record.fields, &document->key)) return Reject(RejectReason::kMissingKeyField, excerpt);
  if (document->key.size() > limits::kKeyBytesMax) return Reject(RejectReason::kBadKeyField, excerpt);
  if (record.ttl_ns != 0 && record.ttl_ns < kNsPerMs) return Reject(RejectReason::kBadTtl, excerpt);
  if (record.value.size() > limits::kDocumentBytesMax) return Reject(RejectReason::kDocumentTooLarge, excerpt);
  if (key_class->publish && !record.deleted && !key_class->publish->Render(record.fields, &document->channel)) {
    return Reject(RejectReason::kMissingKeyField, excerpt);
  }
  if (document->channel.size() > limits::kKeyBytesMax) return Reject(RejectReason::kBadKeyField, excerpt);
  document->key_class = static_cast<ClassId>(key_class - core_.classes->data());
  document->deleted = record.deleted;
  document->ttl_ns = record.ttl_ns != 0 ? record.ttl_ns : key_class->ttl_ns;
  document->received = context_.received;
  document->source = context_.source;
  if (!record.deleted) {
    document->value = std::string(record.value);
    document->deadline = context_.received + document->ttl_ns;
  }
  switch (core_.documents->Put(std::move(document), options_.owner)) {
    case DocumentTable::PutResult::kOk:
      counts_.accepted->Add();
      return;
    case DocumentTable::PutResult::kFull:
      return Reject(RejectReason::kDocumentsFull, excerpt);
    case DocumentTable::PutResult::kWrongOwner:
      return Reject(RejectReason::kWrongOwner, excerpt);
  }
}

void Ingest::OnReject(RejectReason reason, uint64_t offset, std::string_view text) noexcept {
  counts_.records->Add();
  offset_ = offset;
  Reject(reason, text);
}

int Ingest::Maintain(MonoNs now) noexcept {
  int released = 0;
  for (size_t looked = 0; looked < kMaintainBatch && !owned_.empty(); ++looked) {
    if (owned_cursor_ >= owned_.size()) owned_cursor_ = 0;
    const SymbolId id = owned_[owned_cursor_];
    if (core_.sources->IsAlive(core_.table->Source(id), now)) {
      ++owned_cursor_;
      if (owned_cursor_ == owned_.size()) break;
      continue;
    }
    // Another feed of this runner may have taken the symbol since; the owner is the runner, so its source decides.
    core_.table->Release(id);
    owned_[owned_cursor_] = owned_.back();
    owned_.pop_back();
    ++released;
  }
  return released;
}

const KeyClass* Ingest::FindClass(std::string_view name) const noexcept {
  if (name == "feed") return nullptr;                   // the bridge's own: no input may say that a feed lives
  for (size_t i = 1; i < core_.classes->size(); ++i) {  // price is not a document
    if ((*core_.classes)[i].name == name) return &(*core_.classes)[i];
  }
  return nullptr;
}

std::string_view Ingest::OurName(std::string_view symbol, NameBuffer* buffer) const noexcept {
  if (!renames_) return symbol;
  const size_t size = options_.symbol_prefix.size() + symbol.size() + options_.symbol_suffix.size();
  if (symbol.empty() || size > buffer->size()) return {};
  char* end = std::copy(options_.symbol_prefix.begin(), options_.symbol_prefix.end(), buffer->data());
  end = std::copy(symbol.begin(), symbol.end(), end);
  std::copy(options_.symbol_suffix.begin(), options_.symbol_suffix.end(), end);
  return {buffer->data(), size};
}

SymbolId Ingest::Resolve(std::string_view symbol) noexcept {
  const SymbolId id = core_.symbols->Find(symbol);
  if (id != kNoSymbol && core_.table->Owner(id) == options_.owner) return id;
  return ResolveSlow(symbol, id);
}

SymbolId Ingest::ResolveSlow(std::string_view symbol, SymbolId id) noexcept {
  if (id == kNoSymbol) {
    if (!SymbolTable::IsValidName(symbol)) {
      Reject(RejectReason::kBadSymbol, symbol);
      return kNoSymbol;
    }
    id = core_.symbols->Insert(symbol);
    if (id == kNoSymbol) {
      Reject(RejectReason::kSymbolsFull, symbol);
      return kNoSymbol;
    }
  }
  if (!core_.table->Claim(id, options_.owner)) {
    Reject(RejectReason::kWrongOwner, symbol);
    return kNoSymbol;
  }
  owned_.push_back(id);
  return id;
}

void Ingest::Reject(RejectReason reason, std::string_view text) noexcept {
  counts_.rejected[static_cast<size_t>(reason)]->Add();
  // Old and repeated data is the venue's daily business, not an error worth a line.
  if (reason == RejectReason::kStale) return;
  MonoNs& last = last_logged_[static_cast<size_t>(reason)];
  if (last.value != 0 && (reason == RejectReason::kWrongOwner || context_.received - last < kLogInterval)) return;
  last = context_.received;
  const std::string_view shown = text.substr(0, kExcerptBytes);
  Log(LogLevel::kWarn,
      absl::StrCat(
          "feed ", options_.feed, ": record rejected (", RejectReasonName(reason), ") at offset ", offset_,
          text.empty() ? "" : absl::StrCat(": \"", absl::CEscape(shown), text.size() > shown.size() ? "…\"" : "\"")));
}

}  // namespace tickbridge
