// SPDX-License-Identifier: Apache-2.0
#include "tools/json.h"

#include <gtest/gtest.h>

#include <string>

namespace tickbridge {
namespace {

TEST(Json, KnowsWhatIsValid) {
  for (const char* good : {"1", " -0.5e+3 ", "\"\"", "null", "true", "false", "[]", "[1, 2]", "{}",
                           R"({"a":[{"b":null}]})", R"("\u00e9\n\"")", "\"é\"", "0", "1E5"}) {
    EXPECT_TRUE(IsJson(good)) << good;
  }
  for (const char* bad : {"",
                          " ",
                          "01",
                          "1.",
                          ".5",
                          "+1",
                          "-",
                          "1e",
                          "nul",
                          "tru",
                          "\"",
                          "\"\n\"",
                          R"("\x")",
                          R"("\u12")",
                          "[1,]",
                          "[",
                          "{\"a\"}",
                          "{\"a\":}",
                          "{a:1}",
                          "{\"a\":1,}",
                          "1 2",
                          "{}x",
                          "\"\xff\"",
                          "\"\xed\xa0\x80\"",
                          "\"\xc0\xaf\"",
                          "NaN"}) {
    EXPECT_FALSE(IsJson(bad)) << bad;
  }
  EXPECT_TRUE(IsJson(std::string(100, '[') + std::string(100, ']')));
  EXPECT_FALSE(IsJson(std::string(100'000, '[')));
  EXPECT_FALSE(IsJson(std::string("\"a\0", 3)));
}

TEST(Json, QuotesWhatNeedsIt) {
  EXPECT_EQ(JsonString("a\"b\\c\n\x7f"), R"("a\"b\\c\u000a\u007f")");
  EXPECT_EQ(JsonString("é\xff"), "\"é\xEF\xBF\xBD\"");
  EXPECT_EQ(JsonString(std::string_view("\0", 1)), R"("\u0000")");
  for (const std::string& text : {std::string("x\x01y"), std::string("\xf0\x9f"), std::string("\xe2\x82\xac")}) {
    EXPECT_TRUE(IsJson(JsonString(text)));
  }
}

TEST(Json, UnescapesWhatItQuoted) {
  const std::string text = "a\"b\\c\n\té€";
  EXPECT_EQ(JsonPlain(JsonString(text)), text);
  EXPECT_EQ(JsonPlain(R"("\ud83d\ude00\/\b")"), "\xf0\x9f\x98\x80/\b");
  EXPECT_EQ(JsonPlain(R"("\ud83d")"), "\xEF\xBF\xBD");
  EXPECT_EQ(JsonPlain("12.5"), "12.5");
}

TEST(Json, FindsTheMembersOfAnObject) {
  const std::string text = R"( {"a" : 1.50 , "b\n":"x,}","c":{"d":[1,2]}, "e":null} )";
  const auto members = JsonMembers(text);
  ASSERT_TRUE(members.has_value());
  ASSERT_EQ(members->size(), 4U);
  EXPECT_EQ((*members)[0].first, "a");
  EXPECT_EQ((*members)[0].second, "1.50");
  EXPECT_EQ((*members)[1].first, "b\n");
  EXPECT_EQ((*members)[1].second, "\"x,}\"");
  EXPECT_EQ((*members)[2].second, R"({"d":[1,2]})");
  EXPECT_EQ((*members)[3].second, "null");
  for (const char* bad : {"", "[]", "1", "{", "{\"a\":1", "{\"a\":1}}", "{} {}"})
    EXPECT_FALSE(JsonMembers(bad).has_value()) << bad;
}

}  // namespace
}  // namespace tickbridge
