// SPDX-License-Identifier: Apache-2.0
// Goal: whatever a server sends, and however the network cuts it, ReplyReader sees the replies that hiredis sees.
//
// Method: the bytes go to a ReplyReader in pieces, to another in one piece, and to hiredis' own reader. All three must
// come to the same replies and the same end.
//
// Input: a line that says how long the pieces are, then what the server sends. Each character of the line is a length
// ('1'…'9', and on through the character set), and the line is used again and again. After a '!' at its begin, the
// reader has been through its whole buffer before.
#include <hiredis/hiredis.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "sink/reply_reader.h"
#include "tests/fuzz/fuzz.h"

namespace tickbridge::fuzz {
namespace {

constexpr std::string_view kOkReply = "+OK\r\n";

// What a connection brought: a text for each reply, and how it stood at the end.
struct Seen {
  std::vector<std::string> replies;
  bool broken = false;  // what came is not the protocol; else all of it was replies, or the head of one more

  bool operator==(const Seen&) const = default;
  std::string ToString() const { return absl::StrCat(absl::StrJoin(replies, "\n"), broken ? "\nbroken" : "\nwaiting"); }
};

// No more than the header promises of each kind.
std::string TextOf(const ServerReply& reply) {
  switch (reply.kind) {
    case ServerReply::Kind::kOk:
      return "ok";
    case ServerReply::Kind::kInteger:
      return absl::StrCat("integer ", reply.integer);
    case ServerReply::Kind::kStatus:
      return absl::StrCat("status ", Shown(reply.text));
    case ServerReply::Kind::kError:
      return absl::StrCat("error ", Shown(reply.text));
    case ServerReply::Kind::kString:
      return absl::StrCat("string ", Shown(reply.text));
    case ServerReply::Kind::kNil:
      return "nil";
    case ServerReply::Kind::kPair:
    case ServerReply::Kind::kOther:
      return "other";
  }
  Fail("a reply has a kind");
}

std::string TextOf(const redisReply& reply) {
  const std::string_view text = reply.str == nullptr ? std::string_view() : std::string_view(reply.str, reply.len);
  switch (reply.type) {
    case REDIS_REPLY_STATUS:
      return text == "OK" ? "ok" : absl::StrCat("status ", Shown(text));
    case REDIS_REPLY_ERROR:
      return absl::StrCat("error ", Shown(text));
    case REDIS_REPLY_INTEGER:
      return absl::StrCat("integer ", reply.integer);
    case REDIS_REPLY_STRING:
      return absl::StrCat("string ", Shown(text));
    case REDIS_REPLY_NIL:
      return "nil";
    default:
      return "other";
  }
}

// How long each piece is.
class Pieces {
 public:
  // Empty: as long as there is room.
  explicit Pieces(std::string_view lengths) : lengths_(lengths) {}
  size_t Next() {
    if (lengths_.empty()) return SIZE_MAX;
    const auto c = static_cast<unsigned char>(lengths_[at_++ % lengths_.size()]);
    return c > '1' ? static_cast<size_t>(c - '0') : 1;
  }

 private:
  std::string_view lengths_;
  size_t at_ = 0;
};

// Takes all replies that are complete. False: what came is not the protocol.
bool Drain(ReplyReader* reader, Seen* seen) {
  ServerReply reply;
  ReplyReader::Result result;
  while ((result = reader->Next(&reply)) == ReplyReader::Result::kReply) seen->replies.push_back(TextOf(reply));
  Require(reader->Next(&reply) == result, "without more bytes, Next says the same again");
  seen->broken = result == ReplyReader::Result::kProtocolError;
  return !seen->broken;
}

void Feed(ReplyReader* reader, std::string_view bytes, Pieces pieces, Seen* seen) {
  while (!bytes.empty()) {
    const std::span<char> space = reader->WritableSpace();
    Require(!space.empty(), "there is always room for more");
    const size_t piece = std::min({pieces.Next(), space.size(), bytes.size()});
    std::memcpy(space.data(), bytes.data(), piece);
    reader->Commit(piece);
    bytes.remove_prefix(piece);
    if (!Drain(reader, seen)) return;
  }
}

// Sends as much as the buffer holds, and lets the reader take it: the end of the buffer is inside of a +OK.
void FillOnce(ReplyReader* reader) {
  const std::span<char> space = reader->WritableSpace();
  for (size_t i = 0; i < space.size(); i += kOkReply.size()) {
    std::memcpy(space.data() + i, kOkReply.data(), std::min(kOkReply.size(), space.size() - i));
  }
  reader->Commit(space.size());
  const size_t begun = space.size() % kOkReply.size();
  Require(begun != 0, "the buffer's size makes this a test");
  size_t replies = 0;
  ServerReply reply;
  while (reader->Next(&reply) == ReplyReader::Result::kReply && reply.kind == ServerReply::Kind::kOk) ++replies;
  Require(replies == space.size() / kOkReply.size(), "each +OK is one reply");
  Seen rest;
  Feed(reader, kOkReply.substr(begun), Pieces(""), &rest);
  Require(rest == Seen{{"ok"}, false}, "a +OK across the end of the buffer is one, too");
}

Seen FeedHiredis(std::string_view bytes) {
  const std::unique_ptr<redisReader, void (*)(redisReader*)> reader(redisReaderCreate(), &redisReaderFree);
  reader->maxelements = ReplyReader::kArrayElementsMax;
  redisReaderFeed(reader.get(), bytes.data(), bytes.size());
  Seen seen;
  for (;;) {
    void* reply = nullptr;
    seen.broken = redisReaderGetReply(reader.get(), &reply) != REDIS_OK;
    if (reply == nullptr) return seen;
    seen.replies.push_back(TextOf(*static_cast<const redisReply*>(reply)));
    freeReplyObject(reply);
  }
}

void Run(std::string_view input) {
  const size_t end_of_line = std::min(input.find('\n'), input.size());
  std::string_view lengths = input.substr(0, end_of_line);
  const std::string_view bytes = input.substr(std::min(end_of_line + 1, input.size()));

  ReplyReader reader;
  Seen seen;
  if (lengths.starts_with('!')) {
    lengths.remove_prefix(1);
    FillOnce(&reader);
  }
  Feed(&reader, bytes, Pieces(lengths), &seen);

  ReplyReader whole_reader;
  Seen whole;
  Feed(&whole_reader, bytes, Pieces(""), &whole);
  if (seen != whole) {
    Fail("the pieces do not matter", absl::StrCat("in pieces:\n", seen.ToString(), "\nwhole:\n", whole.ToString()));
  }
  const Seen hiredis = FeedHiredis(bytes);
  if (whole != hiredis) {
    Fail("it reads as hiredis does", absl::StrCat("ours:\n", whole.ToString(), "\nhiredis:\n", hiredis.ToString()));
  }

  reader.Reset();
  Seen after;
  Feed(&reader, "+OK\r\n:7\r\n+OK\r\n", Pieces("3"), &after);
  Require(after == Seen{{"ok", "integer 7", "ok"}, false}, "after Reset it is as new");
}

}  // namespace
}  // namespace tickbridge::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  tickbridge::fuzz::Run(tickbridge::fuzz::AsText(data, bytes));
  return 0;
}
