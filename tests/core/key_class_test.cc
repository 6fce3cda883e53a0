// SPDX-License-Identifier: Apache-2.0
// Key patterns: what they accept, what they say of what they do not, and the keys they make; and the default classes
// of the design. Tables of cases.
#include "core/key_class.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace tickbridge {
namespace {

using Fields = std::vector<KeyPattern::FieldValue>;

// The key, or `missing:<field>`.
std::string Key(std::string_view pattern, const Fields& fields) {
  const absl::StatusOr<KeyPattern> parsed = KeyPattern::Parse(pattern);
  if (!parsed.ok()) return parsed.status().ToString();
  std::string key;
  std::string_view missing;
  if (!parsed->Render(fields, &key, &missing)) {
    EXPECT_EQ(key, "");
    return "missing:" + std::string(missing);
  }
  return key;
}

TEST(KeyPattern, FieldsAreReplaced) {
  EXPECT_EQ(Key("price:{symbol}:latest", {{"symbol", "MNQZ5"}}), "price:MNQZ5:latest");
  EXPECT_EQ(Key("{a}{b}", {{"b", "2"}, {"a", "1"}}), "12");
  EXPECT_EQ(Key("{a}:{a}", {{"a", "1"}}), "1:1");
  EXPECT_EQ(Key("plain", {{"a", "1"}}), "plain");
  EXPECT_EQ(Key("{a}", {{"a", "{b}[c]"}, {"b", "no"}}), "{b}[c]") << "a value is no pattern";
}

TEST(KeyPattern, AnAbsentFieldIsNamedAndNothingIsAppended) {
  EXPECT_EQ(Key("x:{a}:{b}", {{"a", "1"}}), "missing:b");
  const auto pattern = KeyPattern::Parse("x:{a}:[{c}]{b}");
  ASSERT_TRUE(pattern.ok());
  std::string key = "before";
  const Fields fields = {{"a", "1"}, {"c", "2"}};
  EXPECT_FALSE(pattern->Render(fields, &key));
  EXPECT_EQ(key, "before");
  const Fields all = {{"a", "1"}, {"b", "2"}};
  EXPECT_TRUE(pattern->Render(all, &key));
  EXPECT_EQ(key, "beforex:1:2") << "appended";
}

TEST(KeyPattern, AGroupIsLeftOutWhenAnyOfItsFieldsIsAbsent) {
  const std::string_view orders = "hft:orders:pending:{account}[:{id}]";
  EXPECT_EQ(Key(orders, {{"account", "P"}, {"id", "D1"}}), "hft:orders:pending:P:D1");
  EXPECT_EQ(Key(orders, {{"account", "P"}}), "hft:orders:pending:P");
  EXPECT_EQ(Key(orders, {{"id", "D1"}}), "missing:account");
  EXPECT_EQ(Key("a[{x}-{y}]b", {{"x", "1"}}), "ab");
  EXPECT_EQ(Key("a[{x}-{y}]b", {{"y", "1"}}), "ab");
  EXPECT_EQ(Key("a[{x}-{y}]b", {{"x", "1"}, {"y", "2"}}), "a1-2b");
  EXPECT_EQ(Key("[{x}][{y}]z", {{"y", "2"}}), "2z") << "two groups side by side are two";
  EXPECT_EQ(Key("[{x}][{y}]z", {{"x", "1"}}), "1z");
  EXPECT_EQ(Key("[a{x}][b{y}]", {{"x", "1"}}), "a1");
  EXPECT_EQ(Key("z[{x}", {}).substr(0, 16), "INVALID_ARGUMENT");
}

TEST(KeyPattern, DoubledBracesAreLiteral) {
  EXPECT_EQ(Key("{{{account}}}:x", {{"account", "A"}}), "{A}:x") << "a cluster's hash tag";
  EXPECT_EQ(Key("{{hft}}:{a}", {{"a", "1"}}), "{hft}:1");
  EXPECT_EQ(Key("{{a}}", {{"a", "1"}}), "{a}");
  EXPECT_EQ(Key("a[{{{x}}}]", {{"x", "1"}}), "a{1}");
  EXPECT_EQ(Key("a[{{{x}}}]", {}), "a");
}

TEST(KeyPattern, FieldsAreListedOnceInOrder) {
  const auto pattern = KeyPattern::Parse("{b}:{a}[:{c}]:{b}");
  ASSERT_TRUE(pattern.ok());
  EXPECT_EQ(pattern->fields(), (std::vector<std::string>{"b", "a", "c"}));
  EXPECT_EQ(pattern->text(), "{b}:{a}[:{c}]:{b}");
}

TEST(KeyPattern, ErrorsNameThePatternAndWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "empty"},
      {"[]", "empty"},
      {"a{", "'{' without '}'"},
      {"a{b", "'{' without '}'"},
      {"a}", "'}' without '{'"},
      {"{a}}", "'}' without '{'"},
      {"{{a}", "'}' without '{'"},
      {"{}", "a word"},
      {"{a{b}", "a word"},
      {"{a b}", "a word"},
      {"{a[}", "a word"},
      {"[{a]}", "a word"},
      {"a[b", "'[' without ']'"},
      {"a]", "']' without '['"},
      {"[a[b]]", "'[' inside"},
      {"[a]]", "']' without '['"},
  };
  for (const auto& [pattern, what] : cases) {
    const auto parsed = KeyPattern::Parse(pattern);
    ASSERT_FALSE(parsed.ok()) << pattern;
    const std::string message(parsed.status().message());
    EXPECT_NE(message.find("\"" + pattern + "\""), std::string::npos) << message;
    EXPECT_NE(message.find(what), std::string::npos) << message;
  }
}

TEST(QuoteMember, NamesGoBothWays) {
  for (size_t i = 0; i < kQuoteMemberCount; ++i) {
    const auto member = static_cast<QuoteMember>(i);
    EXPECT_EQ(ParseQuoteMember(QuoteMemberName(member)), member);
  }
  EXPECT_EQ(QuoteMemberName(QuoteMember::kTimestamp), "Timestamp");
  EXPECT_EQ(QuoteMemberName(QuoteMember::kBidSize), "BidSize");
  EXPECT_EQ(QuoteMemberName(QuoteMember::kStatus), "Status");
  EXPECT_EQ(ParseQuoteMember("bidsize"), std::nullopt);
  EXPECT_EQ(ParseQuoteMember(""), std::nullopt);
}

TEST(KeyClass, TheDefaultsAreThoseOfTheDesign) {
  const std::vector<KeyClass> classes = DefaultKeyClasses();
  const std::vector<std::pair<std::string, std::pair<std::string, int64_t>>> expected = {
      {"price", {"price:{symbol}:latest", 5}},
      {"positions", {"hft:positions:{account}:all", 1}},
      {"orders", {"hft:orders:pending:{account}[:{id}]", 1}},
      {"balances", {"hft:balances:{account}:all", 2}},
      {"accounts", {"hft:accounts:{account}", 300}},
      {"token", {"token:{account}", 18'000}},
      {"feed", {"feed:{name}:alive", 1}},
  };
  ASSERT_EQ(classes.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(classes[i].name, expected[i].first);
    EXPECT_EQ(classes[i].key.text(), expected[i].second.first);
    EXPECT_EQ(classes[i].ttl_ns, expected[i].second.second * kNsPerSec);
    EXPECT_EQ(classes[i].raw, classes[i].name == "token");
    EXPECT_FALSE(classes[i].publish.has_value());
  }
  const KeyClass& price = classes[static_cast<size_t>(kPriceClass)];
  std::string members;
  for (const QuoteMember member : price.members) members += std::string(QuoteMemberName(member)) + " ";
  EXPECT_EQ(members, "Last Bid Ask Volume High Low Timestamp ");
  EXPECT_FALSE(price.refresh);
  EXPECT_TRUE(price.allow_negative);
}

}  // namespace
}  // namespace tickbridge
