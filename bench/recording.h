// SPDX-License-Identifier: Apache-2.0
// A recording of NDJSON lines in memory, and a generator that sends them at the recording's own times.
//
// A line is due when its Timestamp comes, from that of the first line on and divided by `speed`; one without, or with
// an older one, goes with the line before. The lines are decoded when they are sent, as a live feed does. Measured is
// what was merged into a price: lines that are rejected, documents and resets are sent, and not measured.
//
// Threading: as bench/generator.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/generator.h"
#include "feed/ndjson_decoder.h"

namespace tickbridge {

class Recording {
 public:
  struct Line {
    size_t offset;
    uint32_t bytes;
    uint32_t symbol;  // index in symbols(); kNone: no plain symbol
    int64_t due_ns;   // after the start
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  // Errors: those of feed/file_reader.h; kInvalidArgument: no line in it has a symbol.
  static absl::StatusOr<Recording> Load(const std::string& path, double speed);

  const std::vector<Line>& lines() const { return lines_; }
  const std::vector<std::string>& symbols() const { return symbols_; }
  // The text of a line; bytes behind it may be read, as a decoder asks for.
  const char* text(const Line& line) const { return text_.data() + line.offset; }

 private:
  std::string text_;
  std::vector<Line> lines_;
  std::vector<std::string> symbols_;
};

class RecordingGenerator final : public GeneratorFeed {
 public:
  // `recording` outlives it.
  RecordingGenerator(const Recording* recording, Ingest* ingest, AckMeter* meter);

  int DoWork() noexcept override;
  uint64_t unmeasured_lines() const noexcept { return unmeasured_lines_; }

 private:
  const Recording* const recording_;
  NdjsonDecoder decoder_;
  size_t next_ = 0;
  uint64_t unmeasured_lines_ = 0;
};

}  // namespace tickbridge
