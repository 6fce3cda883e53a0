// SPDX-License-Identifier: Apache-2.0
#include "bench/recording.h"

#include <algorithm>
#include <thread>
#include <unordered_map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "feed/file_reader.h"

namespace tickbridge {
namespace {

constexpr int kBatch = 256;

// The text of a member as it stands, without its quotes; empty if there is none. A peek: what the line means is the
// decoder's to say.
std::string_view Peek(std::string_view line, std::string_view name) {
  const size_t at = line.find(name);
  if (at == std::string_view::npos) return {};
  const size_t begin = line.find_first_not_of(" \t:", at + name.size());
  if (begin == std::string_view::npos) return {};
  if (line[begin] != '"') return line.substr(begin, line.find_first_of(",} ", begin) - begin);
  const size_t end = line.find('"', begin + 1);
  const std::string_view text = line.substr(begin + 1, end - begin - 1);
  return text.find('\\') == std::string_view::npos ? text : std::string_view();
}

absl::StatusOr<std::string> ReadAll(const std::string& path) {
  auto reader = FileReader::Open(path, {});
  if (!reader.ok()) return reader.status();
  std::string text;
  while (true) {
    std::span<const char> chunk;
    switch ((*reader)->TryTake(&chunk)) {
      case FileReader::Take::kChunk:
        text.append(chunk.data(), chunk.size());
        (*reader)->Release();
        break;
      case FileReader::Take::kEnd:
        if (!(*reader)->status().ok()) return (*reader)->status();
        return text;
      default:
        std::this_thread::yield();
    }
  }
}

}  // namespace

absl::StatusOr<Recording> Recording::Load(const std::string& path, double speed) {
  absl::StatusOr<std::string> text = ReadAll(path);
  if (!text.ok()) return text.status();
  Recording recording;
  recording.text_ = *std::move(text);
  std::unordered_map<std::string_view, uint32_t> symbols;
  int64_t first_ms = 0;
  int64_t due_ns = 0;
  for (size_t begin = 0; begin < recording.text_.size();) {
    const size_t end = std::min(recording.text_.find('\n', begin), recording.text_.size());
    const auto line = std::string_view(recording.text_).substr(begin, end - begin);
    int64_t ms = 0;
    if (absl::SimpleAtoi(Peek(line, "\"Timestamp\""), &ms) && ms > 0 && speed > 0) {
      if (first_ms == 0) first_ms = ms;
      due_ns = std::max(due_ns, static_cast<int64_t>(static_cast<double>((ms - first_ms) * kNsPerMs) / speed));
    }
    uint32_t symbol = kNone;
    if (const std::string_view name = Peek(line, "\"symbol\""); SymbolTable::IsValidName(name)) {
      symbol = symbols.emplace(name, static_cast<uint32_t>(symbols.size())).first->second;
    }
    if (!line.empty()) recording.lines_.push_back({begin, static_cast<uint32_t>(line.size()), symbol, due_ns});
    begin = end + 1;
  }
  if (symbols.empty()) return absl::InvalidArgumentError(absl::StrCat(path, ": no line has a symbol"));
  recording.symbols_.resize(symbols.size());
  for (const auto& [name, index] : symbols) recording.symbols_[index] = name;
  recording.text_.append(limits::kParsePaddingBytes, '\0');
  return recording;
}

RecordingGenerator::RecordingGenerator(const Recording* recording, Ingest* ingest, AckMeter* meter)
    : GeneratorFeed(ingest, meter, {}), recording_(recording), decoder_(ingest) {
  for (const std::string& symbol : recording->symbols()) ingest->core().symbols->Insert(symbol);
}

int RecordingGenerator::DoWork() noexcept {
  const MonoNs begin = start();
  if (begin.value == 0) return 0;
  const MonoNs now = ingest_->core().clock->Now();
  Look(now);
  if (finished()) return 0;
  OpenSource(now);
  ingest_->BeginBatch(source_, now);
  const LatestTable& table = *ingest_->core().table;
  int sent = 0;
  for (; sent < kBatch && next_ < recording_->lines().size(); ++sent, ++next_) {
    const Recording::Line& line = recording_->lines()[next_];
    if (line.due_ns > now - begin) break;
    const MonoNs due = begin + line.due_ns;
    const bool plain = line.symbol != Recording::kNone;
    const uint64_t before = plain ? table.Sequence(SymbolId{line.symbol}) : 0;
    decoder_.Decode(recording_->text(line), line.bytes, line.offset);
    // Merged, and by that alone it is known which sequence it has. No lane runs between the two.
    if (plain && table.Sequence(SymbolId{line.symbol}) == before + 1) {
      Announce(line.symbol, due);
      Sent(due, now);
    } else {
      ++unmeasured_lines_;
    }
  }
  if (next_ == recording_->lines().size()) Finish(now);
  return sent;
}

}  // namespace tickbridge
