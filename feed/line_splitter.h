// SPDX-License-Identifier: Apache-2.0
// The byte buffer of one stream, and the lines in it.
//
// A line ends with '\n'; a '\r' right before it belongs to the ending. The last line needs no ending. A line of more
// than `line_bytes_max` bytes (without its ending) is reported once, without its text, and skipped.
//
// Use: fill WritableSpace, Commit what was filled, call Next until it says no; at the end of the stream call Finish.
// Threading: one thread.
// Memory: nothing before the first WritableSpace; then grows by doubling, up to the limit of a line and its padding,
// and
//   is given back to its first size once a stream that needed more has caught up.
// Cost: every byte is looked at once (memchr) and seldom moved: only what is left of an unfinished line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "core/limits.h"

namespace tickbridge {

class LineSplitter {
 public:
  struct Options {
    size_t line_bytes_max = limits::kLineBytesMax;
    size_t first_buffer_bytes = size_t{64} << 10;
  };
  struct Line {
    const char* data = nullptr;  // lives until WritableSpace; limits::kParsePaddingBytes behind it can be read
    size_t bytes = 0;
    uint64_t offset = 0;    // of its first byte in the stream
    bool too_long = false;  // then without data
  };

  LineSplitter() : LineSplitter(Options{}) {}
  explicit LineSplitter(const Options& options) : options_(options) {}

  // Never empty. Call it when Next has said no.
  std::span<char> WritableSpace();
  // The first `bytes` of the space were filled.
  void Commit(size_t bytes) noexcept { end_ += bytes; }

  // The next complete line. False: more bytes are needed.
  bool Next(Line* line) noexcept;
  // The end of the stream: the line that has no ending, if there is one. Call it when Next has said no.
  bool Finish(Line* line) noexcept;

  // Bytes of an unfinished line.
  size_t pending() const noexcept { return end_ - begin_; }

 private:
  // Takes [begin_, newline) as a line; `next` is where the one after it begins.
  void Take(size_t newline, size_t next, Line* line) noexcept;
  void Resize(size_t capacity);

  Options options_;
  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0;  // without the padding
  size_t begin_ = 0;     // of the unfinished line
  size_t scanned_ = 0;   // no newline in [begin_, scanned_)
  size_t end_ = 0;
  uint64_t buffer_offset_ = 0;  // place of buffer_[0] in the stream
  bool skipping_ = false;       // inside a line that was too long
};

}  // namespace tickbridge
