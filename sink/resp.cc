// SPDX-License-Identifier: Apache-2.0
#include "sink/resp.h"

#include <charconv>
#include <cstring>

namespace tickbridge::resp {

char* PutUnsigned(char* out, uint64_t value) noexcept { return std::to_chars(out, out + 20, value).ptr; }

char* PutBulk(char* out, std::string_view text) noexcept {
  *out++ = '$';
  out = PutUnsigned(out, text.size());
  *out++ = '\r';
  *out++ = '\n';
  std::memcpy(out, text.data(), text.size());
  out += text.size();
  *out++ = '\r';
  *out++ = '\n';
  return out;
}

char* PutBulkNumber(char* out, uint64_t value) noexcept {
  char digits[20];
  const char* end = PutUnsigned(digits, value);
  return PutBulk(out, {digits, static_cast<size_t>(end - digits)});
}

void AppendCommand(std::string* out, std::span<const std::string_view> words) {
  size_t bytes = kBulkFrameBytes;
  for (const std::string_view word : words) bytes += word.size() + kBulkFrameBytes;
  const size_t start = out->size();
  out->resize(start + bytes);
  char* at = out->data() + start;
  *at++ = '*';
  at = PutUnsigned(at, words.size());
  *at++ = '\r';
  *at++ = '\n';
  for (const std::string_view word : words) at = PutBulk(at, word);
  out->resize(static_cast<size_t>(at - out->data()));
}

}  // namespace tickbridge::resp
