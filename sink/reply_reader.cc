// SPDX-License-Identifier: Apache-2.0
#include "sink/reply_reader.h"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "absl/strings/numbers.h"

namespace tickbridge {
namespace {
constexpr size_t kBufferBytes = size_t{256} << 10;
constexpr std::string_view kOkReply = "+OK\r\n";

// A word and a byte: memcmp is a call, and dear for five bytes.
bool IsOk(const char* at) {
  constexpr auto kWord = std::bit_cast<uint32_t>(std::array{'+', 'O', 'K', '\r'});
  uint32_t word;
  std::memcpy(&word, at, sizeof(word));
  return word == kWord && at[sizeof(word)] == '\n';
}

// Compared as vectors.
constexpr size_t kOksAtOnce = 8;
bool AreOks(const char* at) {
  constexpr auto kWords = [] {
    std::array<char, kOksAtOnce * kOkReply.size()> text{};
    for (size_t i = 0; i < text.size(); ++i) text[i] = kOkReply[i % kOkReply.size()];
    return std::bit_cast<std::array<uint64_t, sizeof(text) / sizeof(uint64_t)>>(text);
  }();
  std::array<uint64_t, kWords.size()> words;
  std::memcpy(words.data(), at, sizeof(words));
  uint64_t other = 0;
  for (size_t i = 0; i < words.size(); ++i) other |= words[i] ^ kWords[i];
  return other == 0;
}

bool IsPair(const redisReply& reply, std::array<int64_t, 2>* pair) {
  if (reply.type != REDIS_REPLY_ARRAY || reply.elements != 2) return false;
  for (size_t i = 0; i < 2; ++i) {
    const redisReply& element = *reply.element[i];
    if (element.type != REDIS_REPLY_STRING ||
        !absl::SimpleAtoi(std::string_view{element.str, element.len}, &(*pair)[i]))
      return false;
  }
  return true;
}

}  // namespace

// hiredis' reader with the bytes it was given and the reply it made last.
struct ReplyReader::Slow {
  Slow() : reader(redisReaderCreate()) { reader->maxelements = kArrayElementsMax; }
  ~Slow() {
    Drop();
    redisReaderFree(reader);
  }
  Slow(const Slow&) = delete;
  Slow& operator=(const Slow&) = delete;
  void Drop() {
    if (reply != nullptr) freeReplyObject(reply);
    reply = nullptr;
  }
  // True when it holds neither bytes nor half a reply, so that the fast path may go on.
  bool Idle() const { return reader->pos == reader->len && reader->ridx == -1; }

  redisReader* reader;
  redisReply* reply = nullptr;
  size_t unfinished_bytes = 0;  // given since the last reply ended
  bool active = false;
};

ReplyReader::ReplyReader() : buffer_(kBufferBytes), slow_(std::make_unique<Slow>()) {}
ReplyReader::~ReplyReader() = default;

std::span<char> ReplyReader::WritableSpace() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (end_ == buffer_.size()) {
    // Next has taken all whole replies; what is left is the head of one, a few bytes.
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  return {buffer_.data() + end_, buffer_.size() - end_};
}

size_t ReplyReader::CountOks(size_t max) const noexcept {
  if (slow_->active) return 0;
  const char* const begin = buffer_.data() + begin_;
  const size_t whole = std::min(max, (end_ - begin_) / kOkReply.size());
  size_t count = 0;
  while (count + kOksAtOnce <= whole && AreOks(begin + count * kOkReply.size())) count += kOksAtOnce;
  while (count < whole && IsOk(begin + count * kOkReply.size())) ++count;
  return count;
}

void ReplyReader::SkipOks(size_t count) noexcept { begin_ += count * kOkReply.size(); }

ReplyReader::Result ReplyReader::Next(ServerReply* reply) {
  if (slow_->active) return NextSlow(reply);
  const char* at = buffer_.data() + begin_;
  const size_t left = end_ - begin_;
  if (left >= kOkReply.size() && IsOk(at)) [[likely]] {
    begin_ += kOkReply.size();
    reply->kind = ServerReply::Kind::kOk;
    return Result::kReply;
  }
  if (left == 0) return Result::kNeedMore;
  if (left < kOkReply.size() && std::memcmp(at, kOkReply.data(), left) == 0) return Result::kNeedMore;
  slow_->active = true;
  return NextSlow(reply);
}

ReplyReader::Result ReplyReader::NextSlow(ServerReply* reply) {
  slow_->Drop();
  if (end_ > begin_) {
    // An error shows below, when a reply is asked for.
    redisReaderFeed(slow_->reader, buffer_.data() + begin_, end_ - begin_);
    slow_->unfinished_bytes += end_ - begin_;
    begin_ = end_ = 0;
  }
  void* parsed = nullptr;
  if (redisReaderGetReply(slow_->reader, &parsed) != REDIS_OK) return Result::kProtocolError;
  if (parsed == nullptr) {
    if (slow_->Idle()) {
      slow_->active = false;
      slow_->unfinished_bytes = 0;
    }
    return slow_->unfinished_bytes > kReplyBytesMax ? Result::kProtocolError : Result::kNeedMore;
  }
  slow_->reply = static_cast<redisReply*>(parsed);
  slow_->unfinished_bytes = slow_->reader->len - slow_->reader->pos;
  if (slow_->Idle()) slow_->active = false;
  const redisReply& r = *slow_->reply;
  reply->text = r.str == nullptr ? std::string_view() : std::string_view(r.str, r.len);
  reply->integer = r.integer;
  switch (r.type) {
    case REDIS_REPLY_STATUS:
      reply->kind = reply->text == "OK" ? ServerReply::Kind::kOk : ServerReply::Kind::kStatus;
      break;
    case REDIS_REPLY_ERROR:
      reply->kind = ServerReply::Kind::kError;
      break;
    case REDIS_REPLY_INTEGER:
      reply->kind = ServerReply::Kind::kInteger;
      break;
    case REDIS_REPLY_STRING:
      reply->kind = ServerReply::Kind::kString;
      break;
    case REDIS_REPLY_NIL:
      reply->kind = ServerReply::Kind::kNil;
      break;
    default:
      reply->kind = IsPair(r, &reply->pair) ? ServerReply::Kind::kPair : ServerReply::Kind::kOther;
      break;
  }
  return Result::kReply;
}

void ReplyReader::Reset() {
  begin_ = end_ = 0;
  slow_ = std::make_unique<Slow>();
}

}  // namespace tickbridge
