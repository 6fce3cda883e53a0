// SPDX-License-Identifier: Apache-2.0
// What tests/fuzz/fuzz_reply_reader.cc cannot reach: replies larger than its inputs.
#include "sink/reply_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace tickbridge {
namespace {

// Sends it all, or until a reply or an error comes.
ReplyReader::Result Feed(ReplyReader* reader, std::string_view bytes, size_t piece_bytes) {
  ServerReply reply;
  ReplyReader::Result result = ReplyReader::Result::kNeedMore;
  while (!bytes.empty() && result == ReplyReader::Result::kNeedMore) {
    const std::span<char> space = reader->WritableSpace();
    const size_t piece = std::min({piece_bytes, space.size(), bytes.size()});
    std::memcpy(space.data(), bytes.data(), piece);
    reader->Commit(piece);
    bytes.remove_prefix(piece);
    result = reader->Next(&reply);
  }
  return result;
}

std::string Nested(size_t depth) {
  std::string text;
  for (size_t i = 0; i < depth; ++i) text += "*1\r\n";
  return text;
}

TEST(ReplyReader, RefusesAnArrayThatClaimsTooMuch) {
  // The first two could be had, so it is our bound that refuses the second; hiredis gives up the last itself when there
  // is no room.
  EXPECT_EQ(Feed(std::make_unique<ReplyReader>().get(), absl::StrCat("*", ReplyReader::kArrayElementsMax, "\r\n"), 100),
            ReplyReader::Result::kNeedMore);
  ReplyReader reader;
  for (const int64_t elements : {ReplyReader::kArrayElementsMax + 1, int64_t{4'294'967'295}}) {
    EXPECT_EQ(Feed(&reader, absl::StrCat("*", elements, "\r\n"), 100), ReplyReader::Result::kProtocolError) << elements;
    reader.Reset();
    EXPECT_EQ(Feed(&reader, "+OK\r\n", 100), ReplyReader::Result::kReply);
  }
}

TEST(ReplyReader, RefusesAReplyWithoutEnd) {
  for (const size_t piece_bytes : {size_t{1} << 20, size_t{1000}}) {
    ReplyReader reader;
    // Arrays that are deep enough to overflow the stack of whoever frees them by recursion.
    EXPECT_EQ(Feed(&reader, Nested(1'000'000), piece_bytes), ReplyReader::Result::kProtocolError);
    reader.Reset();
    EXPECT_EQ(Feed(&reader, absl::StrCat("$1000000\r\n", std::string(1'000'000, 'x'), "\r\n"), piece_bytes),
              ReplyReader::Result::kProtocolError);
    reader.Reset();
    EXPECT_EQ(Feed(&reader, "+OK\r\n", piece_bytes), ReplyReader::Result::kReply);
  }
}

TEST(ReplyReader, CountsWhatIsUnfinishedFromReplyToReply) {
  ReplyReader reader;
  const std::string error = absl::StrCat("-ERR ", std::string(1000, 'x'), "\r\n");
  // Each ends inside of a piece, and together they are much more than one may be.
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(Feed(&reader, error.substr(0, 500), 500), ReplyReader::Result::kNeedMore);
    ASSERT_EQ(Feed(&reader, error.substr(500), 600), ReplyReader::Result::kReply);
  }
}

}  // namespace
}  // namespace tickbridge
