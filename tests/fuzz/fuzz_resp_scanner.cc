// SPDX-License-Identifier: Apache-2.0
// Goal: whatever a server sends, and however the network cuts it, RespScanner sees the replies that hiredis sees.
//
// Method: the bytes go to a RespScanner in pieces, and to another in one piece; both must come to the same tokens. They
// also go to hiredis' reader. What the scanner took for replies must be the first of those that hiredis read; and all
// that hiredis read, up to the first reply of a type or a depth that the scanner refuses, written out again as the
// protocol has it, must be what the scanner reads from that.
//
// Input: a line that says how long the pieces are, as for fuzz_reply_reader.cc, then what the server sends.
#include <hiredis/hiredis.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "sink/resp_scanner.h"
#include "tests/fuzz/fuzz.h"

namespace tickbridge::fuzz {
namespace {

using Type = RespScanner::Type;

struct Seen {
  std::vector<std::string> replies;  // complete ones, each written as the protocol has it
  std::string begun;                 // and one that is not
  bool broken = false;
  bool operator==(const Seen&) const = default;
};

std::string Aggregate(char kind, int64_t elements) { return absl::StrCat(std::string(1, kind), elements, "\r\n"); }

std::string TextOf(const RespScanner::Token& token) {
  switch (token.type) {
    case Type::kStatus:
      return absl::StrCat("+", token.text, "\r\n");
    case Type::kError:
      return absl::StrCat("-", token.text, "\r\n");
    case Type::kInteger:
      return absl::StrCat(":", token.number, "\r\n");
    case Type::kString:
      return absl::StrCat("$", token.text.size(), "\r\n", token.text, "\r\n");
    case Type::kTooLong:
      return "(too long)";
    case Type::kNull:
      return "_\r\n";
    case Type::kArray:
      return Aggregate('*', token.number);
    case Type::kMap:
      return Aggregate('%', token.number / 2);
    case Type::kSet:
      return Aggregate('~', token.number);
    case Type::kPush:
      return Aggregate('>', token.number);
  }
  Fail("a token has a type");
}

// Empty: the scanner refuses it.
std::string TextOf(const redisReply& reply, size_t depth) {
  const std::string_view text = reply.str == nullptr ? std::string_view() : std::string_view(reply.str, reply.len);
  char kind = 0;
  switch (reply.type) {
    case REDIS_REPLY_STATUS:
      return absl::StrCat("+", text, "\r\n");
    case REDIS_REPLY_ERROR:
      return absl::StrCat("-", text, "\r\n");
    case REDIS_REPLY_INTEGER:
      return absl::StrCat(":", reply.integer, "\r\n");
    case REDIS_REPLY_STRING:
      if (text.size() > RespScanner::kStringBytesMax) return "(too long)";
      return absl::StrCat("$", text.size(), "\r\n", text, "\r\n");
    case REDIS_REPLY_NIL:
      return "_\r\n";
    case REDIS_REPLY_ARRAY:
      kind = '*';
      break;
    case REDIS_REPLY_MAP:
      kind = '%';
      break;
    case REDIS_REPLY_SET:
      kind = '~';
      break;
    case REDIS_REPLY_PUSH:
      kind = '>';
      break;
    default:
      return "";
  }
  if ((depth == RespScanner::kDepthMax && reply.elements > 0) || (kind == '>' && depth > 0)) return "";
  std::string all = Aggregate(kind, static_cast<int64_t>(kind == '%' ? reply.elements / 2 : reply.elements));
  for (size_t i = 0; i < reply.elements; ++i) {
    const std::string element = TextOf(*reply.element[i], depth + 1);
    if (element.empty()) return "";
    all += element;
  }
  return all;
}

// `lengths` empty: as long as there is room.
Seen Scan(std::string_view bytes, std::string_view lengths) {
  RespScanner scanner;
  Seen seen;
  for (size_t at = 0; !bytes.empty(); ++at) {
    const std::span<char> space = scanner.WritableSpace();
    Require(!space.empty(), "there is always room for more");
    size_t piece = std::min(space.size(), bytes.size());
    if (!lengths.empty()) {
      const auto c = static_cast<unsigned char>(lengths[at % lengths.size()]);
      piece = std::min<size_t>(piece, c > '1' ? c - '0' : 1);
    }
    std::memcpy(space.data(), bytes.data(), piece);
    scanner.Commit(piece);
    bytes.remove_prefix(piece);
    RespScanner::Token token;
    RespScanner::Result result;
    while ((result = scanner.Next(&token)) == RespScanner::Result::kToken) {
      Require((token.depth == 0) == seen.begun.empty(), "depth 0 begins a reply");
      seen.begun += TextOf(token);
      if (!token.ends_reply) continue;
      seen.replies.push_back(std::exchange(seen.begun, ""));
    }
    Require(scanner.Next(&token) == result, "without more bytes, Next says the same again");
    seen.broken = result == RespScanner::Result::kProtocolError;
    if (seen.broken) break;
  }
  return seen;
}

std::vector<std::string> ReadByHiredis(std::string_view bytes) {
  const std::unique_ptr<redisReader, void (*)(redisReader*)> reader(redisReaderCreate(), &redisReaderFree);
  reader->maxelements = RespScanner::kElementsMax;
  redisReaderFeed(reader.get(), bytes.data(), bytes.size());
  std::vector<std::string> replies;
  for (;;) {
    void* reply = nullptr;
    if (redisReaderGetReply(reader.get(), &reply) != REDIS_OK || reply == nullptr) return replies;
    replies.push_back(TextOf(*static_cast<const redisReply*>(reply), 0));
    freeReplyObject(reply);
  }
}

void Run(std::string_view input) {
  const size_t end_of_line = std::min(input.find('\n'), input.size());
  const std::string_view lengths = input.substr(0, end_of_line);
  const std::string_view bytes = input.substr(std::min(end_of_line + 1, input.size()));

  const Seen whole = Scan(bytes, "");
  Require(Scan(bytes, lengths) == whole, "the pieces do not matter");

  const std::vector<std::string> hiredis = ReadByHiredis(bytes);
  Require(whole.replies.size() <= hiredis.size(), "it reads no reply that hiredis does not");
  std::string again;
  for (size_t i = 0; i < whole.replies.size(); ++i) {
    if (whole.replies[i] != hiredis[i]) {
      Fail("it reads as hiredis does",
           absl::StrCat("ours:\n", Shown(whole.replies[i]), "\nhiredis:\n", Shown(hiredis[i])));
    }
  }
  std::vector<std::string> wanted;
  for (const std::string& reply : hiredis) {
    if (reply.empty() || reply.find("(too long)") != std::string::npos) break;
    wanted.push_back(reply);
    again += reply;
  }
  const Seen second = Scan(again, lengths);
  Require(second.replies == wanted && !second.broken && second.begun.empty(), "it reads all that the protocol has");
}

}  // namespace
}  // namespace tickbridge::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  tickbridge::fuzz::Run(tickbridge::fuzz::AsText(data, bytes));
  return 0;
}
