// SPDX-License-Identifier: Apache-2.0
// What tests/fuzz/fuzz_resp_scanner.cc cannot reach: strings larger than its inputs, and the bounds.
#include "sink/resp_scanner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace tickbridge {
namespace {

using Result = RespScanner::Result;
using Type = RespScanner::Type;

// All of it as text, a token a word, and what the scanner waits for at the end.
std::string Scan(RespScanner* scanner, std::string_view bytes, size_t piece_bytes) {
  std::string seen;
  while (!bytes.empty()) {
    const std::span<char> space = scanner->WritableSpace();
    const size_t piece = std::min({piece_bytes, space.size(), bytes.size()});
    std::memcpy(space.data(), bytes.data(), piece);
    scanner->Commit(piece);
    bytes.remove_prefix(piece);
    RespScanner::Token token;
    Result result;
    while ((result = scanner->Next(&token)) == Result::kToken) {
      constexpr std::string_view kLetters = "+-:$!_*%~>";
      absl::StrAppend(&seen, std::string(token.depth, ' '), kLetters.substr(static_cast<size_t>(token.type), 1),
                      token.text.size() > 20 ? absl::StrCat(token.text.size()) : token.text,
                      token.number != 0 ? absl::StrCat(token.number) : "", token.ends_reply ? ".\n" : "\n");
    }
    if (result == Result::kProtocolError) return seen + "broken";
  }
  return seen;
}

std::string Scan(std::string_view bytes, size_t piece_bytes = 1) {
  RespScanner scanner;
  return Scan(&scanner, bytes, piece_bytes);
}

TEST(RespScanner, ReadsWhatARedisReaderIsTold) {
  EXPECT_EQ(Scan(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nx\r\n"), ">2\n $invalidate\n *1\n  $x.\n");
  EXPECT_EQ(Scan(">2\r\n$10\r\ninvalidate\r\n_\r\n"), ">2\n $invalidate\n _.\n");
  EXPECT_EQ(Scan("*3\r\n$-1\r\n_\r\n$2\r\nab\r\n:-2\r\n"), "*3\n _\n _\n $ab.\n:-2.\n");
  EXPECT_EQ(Scan("%1\r\n$5\r\nproto\r\n:3\r\n*0\r\n*-1\r\n"), "%2\n $proto\n :3.\n*.\n_.\n");
  EXPECT_EQ(Scan("+PONG\r\n-NOPERM no\r\n~1\r\n:1\r\n"), "+PONG.\n-NOPERM no.\n~1\n :1.\n");
}

TEST(RespScanner, SkipsWhatIsTooLong) {
  const std::string longest(RespScanner::kStringBytesMax, 'x');
  const std::string longer = absl::StrCat("$", 1'000'000, "\r\n", std::string(1'000'000, 'y'), "\r\n");
  for (const size_t piece : {size_t{1}, size_t{4095}, size_t{1} << 20}) {
    EXPECT_EQ(Scan(absl::StrCat("*3\r\n$", longest.size(), "\r\n", longest, "\r\n", longer, ":1\r\n+OK\r\n"), piece),
              "*3\n $4096\n !\n :1.\n+OK.\n");
  }
}

TEST(RespScanner, RefusesWhatIsNotTheProtocol) {
  for (const std::string_view bytes : {"\r\n",    "OK\r\n",       "+a\rb\r\n", "+a\n",    ":+1\r\n",
                                       ": 1\r\n", ":01\r\n",      ":-0\r\n",   ":\r\n",   ":99999999999999999999\r\n",
                                       "$-2\r\n", "$1\r\nab\r\n", "*-2\r\n",   "%-1\r\n", "*1048577\r\n",
                                       "_x\r\n",  "*1\r\n>1\r\n", ",1.5\r\n",  "|1\r\n",  "$9223372036854775807\r\n"}) {
    EXPECT_TRUE(Scan(bytes).ends_with("broken")) << bytes;
  }
  std::string deep;
  for (size_t i = 0; i < RespScanner::kDepthMax; ++i) deep += "*1\r\n";
  EXPECT_FALSE(Scan(deep + "*0\r\n").ends_with("broken"));
  EXPECT_TRUE(Scan(deep + "*1\r\n").ends_with("broken"));
  EXPECT_TRUE(Scan("+" + std::string(RespScanner::kLineBytesMax + 1, 'x')).ends_with("broken"));
  RespScanner scanner;
  EXPECT_EQ(Scan(&scanner, "*2\r\n?", 100), "*2\n");
  EXPECT_EQ(Scan(&scanner, "\r\n", 100), "broken");
  EXPECT_EQ(Scan(&scanner, "+OK\r\n", 100), "broken");
  scanner.Reset();
  EXPECT_EQ(Scan(&scanner, "+OK\r\n", 100), "+OK.\n");
}

}  // namespace
}  // namespace tickbridge
