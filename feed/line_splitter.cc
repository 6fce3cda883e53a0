// SPDX-License-Identifier: Apache-2.0
#include "feed/line_splitter.h"

#include <algorithm>
#include <cstring>

namespace tickbridge {

std::span<char> LineSplitter::WritableSpace() {
  const size_t left = end_ - begin_;
  if (begin_ != 0) {
    if (left != 0) std::memmove(buffer_.get(), buffer_.get() + begin_, left);
    buffer_offset_ += begin_;
    scanned_ -= begin_;
    begin_ = 0;
    end_ = left;
  }
  // What Next leaves is at most a line of the limit and one '\r', so there is always room for one byte more.
  const size_t capacity_max = options_.line_bytes_max + 2;
  const size_t capacity_first = std::min(options_.first_buffer_bytes, capacity_max);
  if (capacity_ == 0 || (left == 0 && capacity_ > capacity_first)) {
    Resize(capacity_first);
  } else if (end_ == capacity_) {
    Resize(std::min(capacity_ * 2, capacity_max));
  }
  return {buffer_.get() + end_, capacity_ - end_};
}

void LineSplitter::Resize(size_t capacity) {
  auto buffer = std::make_unique_for_overwrite<char[]>(capacity + limits::kParsePaddingBytes);
  // Zeros, so that no tool takes the padding for a use of memory never written.
  std::memset(buffer.get() + capacity, 0, limits::kParsePaddingBytes);
  if (end_ != 0) std::memcpy(buffer.get(), buffer_.get(), end_);
  buffer_ = std::move(buffer);
  capacity_ = capacity;
}

bool LineSplitter::Next(Line* line) noexcept {
  while (scanned_ != end_) {
    const void* const found = std::memchr(buffer_.get() + scanned_, '\n', end_ - scanned_);
    if (found == nullptr) {
      scanned_ = end_;
      break;
    }
    const size_t newline = static_cast<size_t>(static_cast<const char*>(found) - buffer_.get());
    if (skipping_) {
      skipping_ = false;
      begin_ = scanned_ = newline + 1;
      continue;
    }
    Take(newline, newline + 1, line);
    return true;
  }
  if (skipping_) {
    begin_ = end_;
    return false;
  }
  // One byte more than the limit may be the '\r' of an ending that is yet to come.
  if (end_ - begin_ > options_.line_bytes_max + 1) {
    *line = {nullptr, 0, buffer_offset_ + begin_, true};
    begin_ = scanned_ = end_;
    skipping_ = true;
    return true;
  }
  return false;
}

bool LineSplitter::Finish(Line* line) noexcept {
  skipping_ = false;
  if (begin_ == end_) return false;
  Take(end_, end_, line);
  return true;
}

void LineSplitter::Take(size_t newline, size_t next, Line* line) noexcept {
  const char* const data = buffer_.get() + begin_;
  size_t bytes = newline - begin_;
  if (bytes != 0 && data[bytes - 1] == '\r') --bytes;
  const bool too_long = bytes > options_.line_bytes_max;
  *line = {too_long ? nullptr : data, too_long ? 0 : bytes, buffer_offset_ + begin_, too_long};
  begin_ = scanned_ = next;
}

}  // namespace tickbridge
