// SPDX-License-Identifier: Apache-2.0
// What turns bytes into records. A decoder does no I/O; what reads bytes (a file, a socket) knows nothing of their
// meaning, and hands each line or datagram to one of these.
//
// Threading: one thread, the feed's runner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/ingest.h"

namespace tickbridge {

// Formats of one record a line.
class LineDecoder {
 public:
  virtual ~LineDecoder() = default;

  // One line without its newline. At least limits::kParsePaddingBytes behind it can be read; what they hold does not
  // matter. `offset`: the place of its first byte in the source, for the log.
  virtual void Decode(const char* line, size_t bytes, uint64_t offset) = 0;
};

// Formats of whole datagrams.
class DatagramDecoder {
 public:
  virtual ~DatagramDecoder() = default;

  // One datagram, padded as a line is. `offset`: datagrams received before it.
  virtual void DecodeDatagram(const char* data, size_t bytes, uint64_t offset) = 0;
};

// Datagrams that hold one or more lines. The last line of each needs no newline, and no line continues in the next
// datagram. A line longer than limits::kLineBytesMax cannot occur: a datagram is shorter.
class LinesInDatagram final : public DatagramDecoder {
 public:
  explicit LinesInDatagram(std::unique_ptr<LineDecoder> lines) : lines_(std::move(lines)) {}
  void DecodeDatagram(const char* data, size_t bytes, uint64_t offset) override;

 private:
  std::unique_ptr<LineDecoder> lines_;
};

}  // namespace tickbridge
