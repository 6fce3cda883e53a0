// SPDX-License-Identifier: Apache-2.0
#include "sink/resp_scanner.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <system_error>

namespace tickbridge {
namespace {

constexpr size_t kBufferBytes = size_t{64} << 10;
// The longest thing that must lie in the buffer at once: a string with its length before it and a line end after it.
static_assert(RespScanner::kStringBytesMax + 32 < kBufferBytes && RespScanner::kLineBytesMax + 3 < kBufferBytes);

// Strictly: no '+', no spaces, no zeros in front.
std::optional<int64_t> Number(std::string_view text) {
  const size_t digits = text.starts_with('-') ? 1 : 0;
  if (digits == text.size() || (text[digits] == '0' && text.size() > 1)) return std::nullopt;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

RespScanner::RespScanner() : buffer_(kBufferBytes) {}

std::span<char> RespScanner::WritableSpace() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (end_ == buffer_.size()) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  return {buffer_.data() + end_, buffer_.size() - end_};
}

void RespScanner::Reset() {
  begin_ = end_ = 0;
  skip_bytes_ = 0;
  broken_ = false;
  depth_ = 0;
}

RespScanner::Result RespScanner::Broken() {
  broken_ = true;
  return Result::kProtocolError;
}

// A token without elements: with it may end the aggregate that it is in, and the one around that.
RespScanner::Result RespScanner::Emit(Token* token, Type type) {
  token->type = type;
  token->depth = static_cast<uint8_t>(depth_);
  while (depth_ > 0 && --left_[depth_ - 1] == 0) --depth_;
  token->ends_reply = depth_ == 0;
  return Result::kToken;
}

RespScanner::Result RespScanner::EmitAggregate(Token* token, Type type, int64_t elements) {
  token->number = elements;
  if (elements == 0) return Emit(token, type);
  if (depth_ == kDepthMax) return Broken();
  token->type = type;
  token->depth = static_cast<uint8_t>(depth_);
  token->ends_reply = false;
  left_[depth_++] = elements;
  return Result::kToken;
}

RespScanner::Result RespScanner::Skip(Token* token) {
  const uint64_t now = std::min<uint64_t>(skip_bytes_, end_ - begin_);
  begin_ += now;
  skip_bytes_ -= now;
  return skip_bytes_ > 0 ? Result::kNeedMore : Emit(token, Type::kTooLong);
}

RespScanner::Result RespScanner::NextString(Token* token, int64_t bytes, size_t after_header) {
  const auto size = static_cast<size_t>(bytes);
  if (size > kStringBytesMax) {
    begin_ = after_header;
    skip_bytes_ = static_cast<uint64_t>(bytes) + 2;
    return Skip(token);
  }
  if (end_ - after_header < size + 2) return Result::kNeedMore;
  const char* const text = buffer_.data() + after_header;
  if (text[size] != '\r' || text[size + 1] != '\n') return Broken();
  begin_ = after_header + size + 2;
  token->text = {text, size};
  return Emit(token, Type::kString);
}

RespScanner::Result RespScanner::Next(Token* token) {
  *token = Token();
  if (broken_) return Result::kProtocolError;
  if (skip_bytes_ > 0) return Skip(token);
  const std::string_view left(buffer_.data() + begin_, end_ - begin_);
  const size_t end_of_line = left.find('\n');
  if (end_of_line == std::string_view::npos) return left.size() > kLineBytesMax ? Broken() : Result::kNeedMore;
  if (end_of_line < 2 || end_of_line > kLineBytesMax || left[end_of_line - 1] != '\r') return Broken();
  const char kind = left[0];
  const std::string_view line = left.substr(1, end_of_line - 2);
  if (line.find('\r') != std::string_view::npos) return Broken();
  const size_t after = begin_ + end_of_line + 1;

  if (kind == '+' || kind == '-') {
    begin_ = after;
    token->text = line;
    return Emit(token, kind == '+' ? Type::kStatus : Type::kError);
  }
  if (kind == '_') {
    begin_ = after;
    return line.empty() ? Emit(token, Type::kNull) : Broken();
  }
  const std::optional<int64_t> number = Number(line);
  if (!number.has_value()) return Broken();
  if (kind == ':') {
    begin_ = after;
    token->number = *number;
    return Emit(token, Type::kInteger);
  }
  if (*number == -1 && (kind == '$' || kind == '*')) {  // how RESP2 says null
    begin_ = after;
    return Emit(token, Type::kNull);
  }
  if (*number < 0) return Broken();
  if (kind == '$') return *number < INT64_MAX - 2 ? NextString(token, *number, after) : Broken();
  if (*number > kElementsMax || (kind == '>' && depth_ > 0)) return Broken();
  begin_ = after;
  switch (kind) {
    case '*':
      return EmitAggregate(token, Type::kArray, *number);
    case '%':
      return EmitAggregate(token, Type::kMap, 2 * *number);
    case '~':
      return EmitAggregate(token, Type::kSet, *number);
    case '>':
      return EmitAggregate(token, Type::kPush, *number);
    default:
      return Broken();
  }
}

}  // namespace tickbridge
