// SPDX-License-Identifier: Apache-2.0
#include "feed/file_feed.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/limits.h"
#include "feed/ndjson_decoder.h"

namespace tickbridge {
namespace {

// The Timestamp of a line in Unix milliseconds, 0 where none is found. Only a peek for the pace: what the line means is
// the decoder's to say.
int64_t PeekTimestamp(std::string_view line) {
  static constexpr std::array<std::string_view, 2> kNames = {"\"Timestamp\"", "\"timestamp\""};
  for (const std::string_view name : kNames) {
    size_t at = line.rfind(name);
    if (at == std::string_view::npos) continue;
    at = line.find_first_not_of(" \t:\"", at + name.size());
    int64_t unix_ms = 0;
    for (; at < line.size() && line[at] >= '0' && line[at] <= '9'; ++at) {
      unix_ms = unix_ms * 10 + (line[at] - '0');
      if (unix_ms > limits::kUnixMsMax) return 0;
    }
    return unix_ms;
  }
  return 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileFeed>> FileFeed::Open(Options options, Ingest* ingest, CountersFile* counters,
                                                         std::unique_ptr<LineDecoder> decoder) {
  if (!(options.speed >= 0) || !std::isfinite(options.speed)) {
    return absl::InvalidArgumentError(absl::StrCat("feed.", options.name, ": speed = ", options.speed,
                                                   ", must be 0 (no limit) or a positive factor"));
  }
  auto reader = FileReader::Open(options.path, options.reader);
  if (!reader.ok()) return reader.status();
  if (decoder == nullptr) decoder = std::make_unique<NdjsonDecoder>(ingest);
  return std::unique_ptr<FileFeed>(
      new FileFeed(std::move(options), ingest, counters, std::move(decoder), *std::move(reader)));
}

FileFeed::FileFeed(Options options, Ingest* ingest, CountersFile* counters, std::unique_ptr<LineDecoder> decoder,
                   std::unique_ptr<FileReader> reader)
    : Feed(options.name, 0, counters->AddGauge(absl::StrCat("feed.", options.name, ".open"))),
      options_(std::move(options)),
      ingest_(ingest),
      decoder_(std::move(decoder)),
      reader_(std::move(reader)) {}

int FileFeed::DoWork() noexcept {
  if (done_.load(std::memory_order_relaxed)) return 0;  // our own word
  const MonoNs now = ingest_->core().clock->Now();
  if (source_ == kNoSource) {
    source_ = ingest_->core().sources->Open(0, now);
    SourceOpened(now);
  }
  ingest_->BeginBatch(source_, now);
  int work = 0;
  while (work < options_.lines_per_cycle && NextLine() && IsDue(now)) {
    has_line_ = false;
    if (line_.too_long) {
      ingest_->OnReject(RejectReason::kLineTooLong, line_.offset, {});
    } else {
      decoder_->Decode(line_.data, line_.bytes, line_.offset);
    }
    ++work;
  }
  ingest_->Maintain(now);
  if (at_end_ && !has_line_ && work < options_.lines_per_cycle) Finish(reader_->status());
  return work;
}

void FileFeed::OnClose() noexcept {
  if (!done_.load(std::memory_order_relaxed)) Finish(absl::CancelledError("closed before the end of the file"));
  CloseSource();
  reader_.reset();
}

bool FileFeed::Refill() noexcept {
  if (!has_chunk_) {
    const FileReader::Take took = reader_->TryTake(&chunk_);
    at_end_ = took == FileReader::Take::kEnd;
    has_chunk_ = took == FileReader::Take::kChunk;
    if (!has_chunk_) return false;
  }
  const std::span<char> space = splitter_.WritableSpace();
  const size_t bytes = std::min(space.size(), chunk_.size());
  std::copy_n(chunk_.data(), bytes, space.data());
  splitter_.Commit(bytes);
  ingest_->counts().bytes->Add(bytes);
  chunk_ = chunk_.subspan(bytes);
  if (chunk_.empty()) {
    reader_->Release();
    has_chunk_ = false;
  }
  return true;
}

bool FileFeed::NextLine() noexcept {
  while (!has_line_) {
    has_line_ = splitter_.Next(&line_);
    if (has_line_) break;
    if (Refill()) continue;
    if (at_end_) has_line_ = splitter_.Finish(&line_);
    break;
  }
  return has_line_;
}

bool FileFeed::IsDue(MonoNs now) noexcept {
  if (options_.speed == 0 || line_.too_long) return true;
  const int64_t unix_ms = PeekTimestamp({line_.data, line_.bytes});
  if (unix_ms == 0) return true;
  if (first_ms_ == 0) {
    first_ms_ = unix_ms;
    started_ = now;
  }
  // Doubles are exact enough: a day in nanoseconds has 47 bits.
  const double recorded_ns = static_cast<double>(unix_ms - first_ms_) * static_cast<double>(kNsPerMs);
  return static_cast<double>(now - started_) * options_.speed >= recorded_ns;
}

void FileFeed::Finish(const absl::Status& status) noexcept {
  status_ = status;
  if (!options_.keep_source) CloseSource();
  done_.store(true, std::memory_order_release);  // pairs with the acquire of done()
}

void FileFeed::CloseSource() noexcept {
  if (source_ == kNoSource) return;
  ingest_->core().sources->Close(source_);
  source_ = kNoSource;
  SourceClosed();
}

}  // namespace tickbridge
