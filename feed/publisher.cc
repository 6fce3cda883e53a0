// SPDX-License-Identifier: Apache-2.0
#include "feed/publisher.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <utility>

namespace tickbridge {
namespace {

// What a tick sends of what waits before it. Documents can be large: it waits for one at most.
constexpr size_t kFlushSymbols = 16;
constexpr size_t kFlushTexts = 1;
constexpr int64_t kLookIntervalNs = kNsPerSec / 10;
// A venue time further ahead is one that the bridge does not take (its default of `max_ahead`).
constexpr uint64_t kAheadNsMax = 60 * uint64_t{kNsPerSec};

int64_t ReadNs(clockid_t clock) noexcept {
  timespec time{};
  ::clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * kNsPerSec + time.tv_nsec;
}

// A JSON string (RFC 8259, section 7), appended.
void AppendString(std::string_view text, std::string* out) {
  out->push_back('"');
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
      out->append(escape.data());
    } else {
      if (c == '"' || c == '\\') out->push_back('\\');
      out->push_back(c);
    }
  }
  out->push_back('"');
}

// Whether a text ends what it begins, and nothing more: a value that closed its object could say whose it is.
bool IsOneValue(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  bool some = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
      continue;
    }
    some |= c != ' ' && c != '\t' && c != '\r' && c != '\n';
    in_string = c == '"';
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth < 0 || (depth == 0 && (c == ',' || c == ':'))) return false;
  }
  return some && depth == 0 && !in_string;
}

void Drop(Tick* tick, FieldMask fields) {
  tick->given = static_cast<FieldMask>(tick->given & ~fields);
  tick->cleared = static_cast<FieldMask>(tick->cleared & ~fields);
}

}  // namespace

std::unique_ptr<Publisher> Publisher::Open(const Options& options, RingError* error) {
  std::unique_ptr<RingFile> file = RingFile::OpenForPublisher(options.file, options.guard_sigbus, error);
  if (file == nullptr) return nullptr;
  return std::unique_ptr<Publisher>(new Publisher(options, std::move(file)));
}

Publisher::Publisher(const Options& options, std::unique_ptr<RingFile> file)
    : options_(options), file_(std::move(file)), writer_(&file_->header(), file_->data(), file_->layout().data_bytes) {
  steps_.reserve(Refused::kStepsMax);
  const uint32_t known =
      std::min(file_->header().symbols.load(std::memory_order_relaxed), file_->layout().symbol_capacity);
  for (Number number = 0; number < known; ++number) numbers_.emplace(file_->Symbol(number), number);
  times_.resize(known);
  refused_.resize(known);
  Heartbeat();
}

Publisher::~Publisher() {
  if (Heartbeat() == Result::kLost) return;
  file_->header().state.store(static_cast<uint32_t>(RingHeader::State::kClosed), std::memory_order_release);
}

Publisher::Number Publisher::Declare(std::string_view symbol) {
  if (const auto found = numbers_.find(std::string(symbol)); found != numbers_.end()) return found->second;
  const auto number = static_cast<Number>(times_.size());
  if (!IsValidRingSymbol(symbol) || number >= file_->layout().symbol_capacity || lost_) return kNoNumber;
  // What may throw comes first: a number is given to one name only.
  if (times_.size() == times_.capacity()) times_.reserve(std::max<size_t>(2 * times_.size(), 16));
  refused_.emplace_back();
  numbers_.emplace(symbol, number);
  times_.emplace_back();
  file_->SetSymbol(number, symbol);
  return number;
}

MonoNs Publisher::ReadClock() noexcept {
  const MonoNs now{ReadNs(CLOCK_MONOTONIC)};
  stamp_ = RingStamp(now);
  return now;
}

Publisher::Result Publisher::PublishBehind(Number number, const Tick& tick) noexcept {
  const RingRecordType type = RingTypeOf(tick);
  if (!Flush(kFlushSymbols, kFlushTexts) || !refused_[number].refused.empty() || !writer_.HasRoom(RingLinesOf(type))) {
    return Refuse(number, tick);
  }
  Write(type, number, tick);
  return Result::kPublished;
}

Publisher::Result Publisher::Refuse(Number number, const Tick& tick) noexcept {
  Times& times = times_[number];
  const uint64_t latest = static_cast<uint64_t>(ReadNs(CLOCK_REALTIME)) + kAheadNsMax;
  // A time that the bridge did not take is none to measure others by.
  if (times.quote > latest) times.quote = 0;
  if (times.trade > latest) times.trade = 0;
  Tick kept = tick;
  const auto stale = [&](FieldMask group, uint64_t time, uint64_t newest) {
    return ((kept.given | kept.cleared) & group) != 0 && time != 0 && (time < newest || time > latest);
  };
  if (stale(kQuoteFields, tick.quote_time.value, times.quote)) Drop(&kept, kQuoteFields);
  if (stale(kTradeFields, tick.trade_time.value, times.trade)) Drop(&kept, kTradeFields);
  ++counts_.refused;
  if ((kept.given | kept.cleared) == 0 && !kept.has_status) {
    ++counts_.conflated;  // by what is newer than it
    return Result::kKept;
  }
  if (((kept.given | kept.cleared) & kQuoteFields) != 0) times.quote = std::max(times.quote, tick.quote_time.value);
  if (((kept.given | kept.cleared) & kTradeFields) != 0) times.trade = std::max(times.trade, tick.trade_time.value);
  Wait(number);
  refused_[number].refused.Take(kept);
  return Result::kKept;
}

void Publisher::Wait(Number number) noexcept {
  if (refused_[number].refused.empty()) {
    (first_waiting_ == kNoNumber ? first_waiting_ : refused_[last_waiting_].next) = number;
    last_waiting_ = number;
    ++waiting_;
  } else {
    ++counts_.conflated;
  }
  ReadClock();
  refused_[number].stamp = stamp_;
}

Publisher::Result Publisher::Reset(Number number) noexcept {
  if (number >= times_.size()) return lost_ ? Result::kLost : Result::kInvalid;
  const bool room = waiting_ == 0 || Flush(kFlushSymbols, kFlushTexts);
  times_[number] = {};
  if (room && refused_[number].refused.empty() && writer_.HasRoom(1)) {
    writer_.WriteReset(number, stamp_);
    writer_.Publish();
    ++counts_.published;
    return Result::kPublished;
  }
  ++counts_.refused;
  Wait(number);
  refused_[number].refused.TakeReset();
  return Result::kKept;
}

bool Publisher::FlushSymbol() noexcept {
  if (!writer_.HasRoom(Refused::kLinesMax)) return false;
  const Number number = first_waiting_;
  Waiting& waiting = refused_[number];
  steps_.clear();
  waiting.refused.MoveTo(&steps_);
  for (const RefusedStep& step : steps_) {
    if (step.reset) {
      writer_.WriteReset(number, waiting.stamp);
    } else {
      writer_.Write(RingTypeOf(step.tick), number, step.tick, waiting.stamp, true);
    }
  }
  writer_.Publish();  // all at once: a reader sees none of it or what came of it
  first_waiting_ = std::exchange(waiting.next, kNoNumber);
  --waiting_;
  ++counts_.late;
  return true;
}

bool Publisher::FlushText() noexcept {
  const WaitingText& waiting = texts_.front();
  if (!writer_.HasRoom(RingLinesOfText(waiting.text.size()))) return false;
  writer_.WriteLine(waiting.text.data(), waiting.text.size(), waiting.stamp, true);
  writer_.Publish();
  text_bytes_ -= waiting.text.size();
  texts_by_key_.erase(waiting.key);
  texts_.pop_front();
  --waiting_;
  ++counts_.late;
  return true;
}

bool Publisher::Flush(size_t symbols_max, size_t texts_max) noexcept {
  for (;;) {
    const bool symbol = symbols_max != 0 && first_waiting_ != kNoNumber;
    const bool text = texts_max != 0 && !texts_.empty();
    if (!symbol && !text) return true;
    if (symbol && !FlushSymbol()) return false;
    if (text && !FlushText()) return false;
    symbols_max -= symbol;
    texts_max -= text;
  }
}

Publisher::Result Publisher::PublishDocument(const Document& document) {
  std::string text = "{\"class\":";
  AppendString(document.key_class, &text);
  for (const auto& [name, value] : document.fields) {
    // Members of a record that are no fields would say something else.
    if (name == "class" || name == "value" || name == "delete" || name == "ttl" || name == "symbol") {
      return Result::kInvalid;
    }
    text.push_back(',');
    AppendString(name, &text);
    text.push_back(':');
    AppendString(value, &text);
  }
  std::string key = text;
  if (document.ttl_ns < 0) return Result::kInvalid;
  if (document.ttl_ns > 0) {
    std::array<char, 64> ttl{};
    std::snprintf(ttl.data(), ttl.size(), ",\"ttl\":%lld.%09lld", static_cast<long long>(document.ttl_ns / kNsPerSec),
                  static_cast<long long>(document.ttl_ns % kNsPerSec));
    text.append(ttl.data());
  }
  if (document.deleted) {
    text.append(",\"delete\":true}");
  } else {
    if (!IsOneValue(document.value)) return Result::kInvalid;
    text.append(",\"value\":").append(document.value).push_back('}');
  }
  if (text.size() > limits::kLineBytesMax || text.size() > file_->layout().data_bytes / 4) return Result::kInvalid;
  if (lost_) return Result::kLost;
  const bool room = waiting_ == 0 || Flush(kFlushSymbols, texts_.size());
  if (room && texts_.empty() && writer_.HasRoom(RingLinesOfText(text.size()))) {
    writer_.WriteLine(text.data(), text.size(), stamp_, false);
    writer_.Publish();
    ++counts_.published;
    return Result::kPublished;
  }
  const auto found = texts_by_key_.find(key);
  const bool is_new = found == texts_by_key_.end();
  const size_t replaced = is_new ? 0 : found->second->text.size();
  if (text_bytes_ - replaced + text.size() > options_.pending_bytes_max ||
      (is_new && texts_.size() >= options_.pending_documents_max)) {
    return Result::kFull;
  }
  ReadClock();
  text_bytes_ += text.size() - replaced;
  if (is_new) {
    texts_.push_back({std::move(key), std::move(text), stamp_});
    texts_by_key_.emplace(texts_.back().key, std::prev(texts_.end()));
    ++waiting_;
  } else {
    texts_.splice(texts_.end(), texts_, found->second);
    texts_.back().text = std::move(text);
    texts_.back().stamp = stamp_;
    ++counts_.conflated;
  }
  ++counts_.refused;
  return Result::kKept;
}

Publisher::Result Publisher::Heartbeat() noexcept {
  const MonoNs now = ReadClock();
  RingHeader& header = file_->header();
  if (!lost_ && now - looked_ >= kLookIntervalNs) {
    looked_ = now;
    const auto superseded = static_cast<uint32_t>(RingHeader::State::kSuperseded);
    lost_ = file_->IsTruncated() || file_->lost() || !file_->IsInPlace() ||
            header.state.load(std::memory_order_acquire) == superseded;
    if (lost_) times_.clear();
  }
  if (lost_) return Result::kLost;
  if (waiting_ != 0) Flush(waiting_, waiting_);
  header.beat_mono_ns.store(now.value, std::memory_order_relaxed);
  writer_.Publish();  // also mends a tail that somebody scribbled over
  ShowCounts();
  return Result::kPublished;
}

void Publisher::ShowCounts() noexcept {
  RingHeader& header = file_->header();
  header.published.store(counts_.published, std::memory_order_relaxed);  // figures only
  header.refused.store(counts_.refused, std::memory_order_relaxed);
  header.conflated.store(counts_.conflated, std::memory_order_relaxed);
  header.pending.store(waiting_, std::memory_order_relaxed);
}

}  // namespace tickbridge
