// SPDX-License-Identifier: Apache-2.0
// Plays a recording of lines through a decoder: as fast as it goes, or at the pace at which it was recorded.
//
// Pace: the first line with a Timestamp starts the recording's clock; each later line is held until its own Timestamp,
// divided by `speed`, has come. A line without one, or with an older one, goes with the line before. Nothing sleeps: a
// duty cycle before the time does nothing and returns 0.
// The file is one source, alive from the start to the end of the file.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "feed/decoder.h"
#include "feed/feed.h"
#include "feed/file_reader.h"
#include "feed/line_splitter.h"

namespace tickbridge {

class FileFeed final : public Feed {
 public:
  struct Options {
    std::string name = "file";
    std::string path;  // "-" is standard input
    double speed = 0;  // 0: as fast as it goes; 1: real time; 10: ten times that
    int lines_per_cycle = 256;
    bool keep_source = false;  // the source outlives the file's end, until OnClose: for a replay that refreshes
    FileReader::Options reader{};
  };

  // `ingest` outlives the feed. `decoder` null: NDJSON. Errors: a path that cannot be opened, a speed that cannot be.
  static absl::StatusOr<std::unique_ptr<FileFeed>> Open(Options options, Ingest* ingest, CountersFile* counters,
                                                        std::unique_ptr<LineDecoder> decoder = nullptr);

  int DoWork() noexcept override;
  void OnClose() noexcept override;

  // Any thread. True when nothing more will come: at the end of the file, after an error, or after OnClose.
  bool done() const noexcept { return done_.load(std::memory_order_acquire); }
  // Once done: whether the file was read to its end.
  const absl::Status& status() const noexcept { return status_; }

 private:
  FileFeed(Options options, Ingest* ingest, CountersFile* counters, std::unique_ptr<LineDecoder> decoder,
           std::unique_ptr<FileReader> reader);

  // Moves bytes from the reader to the splitter. False: there are none, now or for ever.
  bool Refill() noexcept;
  // Makes line_ the next line. False: there is none, now or for ever.
  bool NextLine() noexcept;
  bool IsDue(MonoNs now) noexcept;
  void Finish(const absl::Status& status) noexcept;
  void CloseSource() noexcept;

  const Options options_;
  Ingest* const ingest_;
  const std::unique_ptr<LineDecoder> decoder_;
  std::unique_ptr<FileReader> reader_;
  LineSplitter splitter_;
  std::span<const char> chunk_;  // taken from the reader, not yet in the splitter
  bool has_chunk_ = false;
  bool at_end_ = false;      // the reader has no more
  LineSplitter::Line line_;  // read, not yet due
  bool has_line_ = false;
  SourceId source_ = kNoSource;
  int64_t first_ms_ = 0;  // the recording's clock at its start; 0: not started
  MonoNs started_;
  absl::Status status_;  // written before done_
  std::atomic<bool> done_{false};
};

}  // namespace tickbridge
