// SPDX-License-Identifier: Apache-2.0
#include "sink/quote_encoder.h"

#include <charconv>
#include <cstring>
#include <string_view>

namespace tickbridge {
namespace {

constexpr size_t kIntegerCharsMax = 20;

char* PrintText(char* out, std::string_view text) noexcept {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

char* PrintInteger(char* out, uint64_t value) noexcept { return std::to_chars(out, out + kIntegerCharsMax, value).ptr; }

// A time where 0 means that there is none.
char* PrintTime(char* out, int64_t value) noexcept {
  return value == 0 ? PrintText(out, "null") : PrintInteger(out, static_cast<uint64_t>(value));
}

std::string_view StatusText(Status status) noexcept {
  switch (status) {
    case Status::kOk:
      return "\"ok\"";
    case Status::kHalted:
      return "\"halted\"";
    case Status::kGap:
      return "\"gap\"";
    case Status::kClosed:
      return "\"closed\"";
  }
  return "null";
}

}  // namespace

QuoteEncoder::QuoteEncoder(std::span<const QuoteMember> members) {
  for (const QuoteMember member : members) {
    Member entry{};
    const std::string name =
        std::string(members_.empty() ? "{\"" : ",\"") + std::string(QuoteMemberName(member)) + "\":";
    static_assert(kNameBytes >= sizeof(",\"ReceivedNs\":") - 1, "the longest name fits");
    std::memcpy(entry.name, name.data(), name.size());
    entry.name_bytes = static_cast<uint8_t>(name.size());
    entry.member = member;
    entry.field = FieldOf(member).value_or(Field::kBid);
    members_.push_back(entry);
  }
  static_assert(kMaxDecimalChars >= kIntegerCharsMax);
  // The spare block is for the scratch that the printers may write behind their end.
  bytes_max_ = 2 + members_.size() * (kNameBytes + kMaxDecimalChars) + kNameBytes;
}

char* QuoteEncoder::PrintTimestamp(char* out, int64_t unix_ms) noexcept {
  const int64_t second = unix_ms / 1000;
  if (second == 0) return PrintTime(out, unix_ms);
  if (second != second_) {
    second_ = second;
    second_bytes_ = static_cast<size_t>(PrintInteger(second_text_, static_cast<uint64_t>(second)) - second_text_);
  }
  std::memcpy(out, second_text_, sizeof(second_text_));
  out += second_bytes_;
  const auto ms = static_cast<uint32_t>(unix_ms - second * 1000);
  *out++ = static_cast<char>('0' + ms / 100);
  *out++ = static_cast<char>('0' + ms / 10 % 10);
  *out++ = static_cast<char>('0' + ms % 10);
  return out;
}

char* QuoteEncoder::Encode(char* out, const Quote& quote, UnixNs received, UnixNs sent) noexcept {
  if (members_.empty()) return PrintText(out, "{}");
  for (const Member& member : members_) {
    std::memcpy(out, member.name, kNameBytes);
    out += member.name_bytes;
    switch (member.member) {
      case QuoteMember::kLast:
      case QuoteMember::kBid:
      case QuoteMember::kAsk:
      case QuoteMember::kHigh:
      case QuoteMember::kLow:
        out = quote.Has(member.field) ? PrintPrice(out, quote.Get(member.field)) : PrintText(out, "null");
        break;
      case QuoteMember::kVolume:
      case QuoteMember::kBidSize:
      case QuoteMember::kAskSize:
      case QuoteMember::kLastSize:
        out = quote.Has(member.field) ? PrintSize(out, quote.Get(member.field)) : PrintText(out, "null");
        break;
      case QuoteMember::kTimestamp:
        out = PrintTimestamp(out, quote.timestamp.value);
        break;
      case QuoteMember::kSequence:
        out = PrintInteger(out, quote.sequence);
        break;
      case QuoteMember::kReceivedNs:
        out = PrintTime(out, received.value);
        break;
      case QuoteMember::kSentNs:
        out = PrintTime(out, sent.value);
        break;
      case QuoteMember::kStatus:
        out = PrintText(out, StatusText(quote.status));
        break;
    }
  }
  *out++ = '}';
  return out;
}

}  // namespace tickbridge
