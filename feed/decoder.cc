// SPDX-License-Identifier: Apache-2.0
#include "feed/decoder.h"

#include <cstring>

namespace tickbridge {

static_assert(limits::kDatagramBytesMax <= limits::kLineBytesMax);

void LinesInDatagram::DecodeDatagram(const char* data, size_t bytes, uint64_t offset) {
  const char* const end = data + bytes;
  while (data != end) {
    const void* const found = std::memchr(data, '\n', static_cast<size_t>(end - data));
    const char* const newline = found == nullptr ? end : static_cast<const char*>(found);
    const char* const line_end = newline != data && newline[-1] == '\r' ? newline - 1 : newline;
    lines_->Decode(data, static_cast<size_t>(line_end - data), offset);
    data = newline == end ? end : newline + 1;
  }
}

}  // namespace tickbridge
