// SPDX-License-Identifier: Apache-2.0
// Goal: what stands in Redis is shown as it is, whatever it is, and never as a control sequence.
#include "tools/quotes.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "tools/embedded_redis.h"

namespace tickbridge {
namespace {

KeyClass Price(std::string_view pattern = "price:{symbol}:latest") {
  KeyClass price = DefaultKeyClasses()[0];
  price.key = *KeyPattern::Parse(pattern);
  return price;
}

TEST(Quotes, FindsTheSymbolOfAKey) {
  EXPECT_EQ(SymbolOfKey(Price(), "price:MNQZ5:latest"), "MNQZ5");
  EXPECT_EQ(SymbolOfKey(Price(), "price:a:b:latest"), "a:b");
  EXPECT_EQ(SymbolOfKey(Price(), "price::latest"), "");
  EXPECT_EQ(SymbolOfKey(Price(), "price:MNQZ5:last"), "");
  EXPECT_EQ(SymbolOfKey(Price(), "x"), "");
  EXPECT_EQ(SymbolOfKey(Price("{{{symbol}}}:{symbol}"), "{ES}:ES"), "ES");
  EXPECT_EQ(SymbolOfKey(Price("{{{symbol}}}:{symbol}"), "{ES}:NQ"), "");
}

TEST(Quotes, EscapesTheGlob) {
  EXPECT_EQ(KeyGlob(Price()), "price:*:latest");
  EXPECT_EQ(KeyGlob(Price("p*?^:{symbol}")), "p\\*\\?\\^:*");
}

TEST(Quotes, PrintsAgesInTwoParts) {
  EXPECT_EQ(FormatAge(0), "0ms");
  EXPECT_EQ(FormatAge(999), "999ms");
  EXPECT_EQ(FormatAge(1'550), "1.5s");
  EXPECT_EQ(FormatAge(125'000), "2m05s");
  EXPECT_EQ(FormatAge(3 * 3'600'000 + 5 * 60'000), "3h05m");
  EXPECT_EQ(FormatAge(51 * 3'600'000), "2d03h");
  EXPECT_EQ(FormatAge(-20), "-20ms");
}

TEST(Quotes, AlignsColumnsAndShowsWhatIsMissing) {
  const std::vector<QuoteRow> rows = {
      {"MNQZ5", true, R"({"Last":21000.25,"Bid":null,"Volume":"7","Timestamp":1000})", 4'900},
      {"\x1b[2J", true, "nothing", -1},
      {"NOPE", false, "", -2},
  };
  const std::vector<std::string> lines = QuoteLines(rows, 1'500, true);
  ASSERT_EQ(lines.size(), 4U);
  for (const std::string& line : lines) {
    EXPECT_EQ(line.size(), lines[0].size()) << line;
    EXPECT_EQ(line.find('\x1b'), std::string::npos);
  }
  EXPECT_EQ(lines[1], "MNQZ5     21000.25    -    -       7     -    -  500ms       4.9s");
  EXPECT_NE(lines[2].find("(no quote)"), std::string::npos);
  EXPECT_NE(lines[2].find("no expiry"), std::string::npos);
  EXPECT_TRUE(lines[3].ends_with("absent"));
}

TEST(Quotes, GivesJsonOnOneLine) {
  const std::vector<QuoteRow> rows = {
      {"A", true, "{\"Last\":\r\n1.0}", 0}, {"B\"", true, "no\njson", 0}, {"C", false, "", -2}};
  EXPECT_EQ(QuotesJson(rows), R"({"A":{"Last":  1.0},"B\"":"no\u000ajson","C":null})");
  EXPECT_EQ(QuotesJson({}), "{}");
}

TEST(Quotes, GivesAgesAndLifeOfTheTableInJson) {
  QuoteRow row{"A", true, R"({"Last":1.0})"};
  row.table = TableState{.age_ms = 12, .source_age_ms = 3, .life = "alive"};
  EXPECT_EQ(QuotesJson({&row, 1}), R"({"A":{"Last":1.0,"age_ms":12,"source_age_ms":3,"table":"alive"}})");
  row.table->source_age_ms = -1;
  EXPECT_EQ(QuotesJson({&row, 1}), R"({"A":{"Last":1.0,"age_ms":12,"source_age_ms":null,"table":"alive"}})");
  row.present = false;
  EXPECT_EQ(QuotesJson({&row, 1}), R"({"A":null})");
}

TEST(Quotes, FetchesAndScansMoreThanOneTripHolds) {
  ::signal(SIGPIPE, SIG_IGN);
  auto redis = EmbeddedRedis::Start();
  ASSERT_TRUE(redis.ok()) << redis.status();
  auto client = RedisClient::Connect((*redis)->target(), 5'000'000'000);
  ASSERT_TRUE(client.ok()) << client.status();
  std::vector<std::vector<std::string>> sets;
  std::vector<std::string> symbols;
  for (int i = 0; i < 1'234; ++i) {
    symbols.push_back("S" + std::to_string(10'000 + i));
    sets.push_back({"PSETEX", "price:" + symbols.back() + ":latest", "100000", std::to_string(i)});
  }
  sets.push_back({"SET", "price:without end", "1"});
  sets.push_back({"LPUSH", "price:LIST:latest", "1"});
  ASSERT_TRUE(client->Pipeline(sets).ok());

  auto found = ScanSymbols(&*client, Price());
  ASSERT_TRUE(found.ok()) << found.status();
  std::vector<std::string> expected = symbols;
  expected.insert(expected.begin(), "LIST");
  EXPECT_EQ(*found, expected);

  symbols.push_back("ABSENT");
  symbols.push_back("LIST");
  auto rows = FetchQuotes(&*client, Price(), symbols, true);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), symbols.size());
  for (size_t i = 0; i < 1'234; ++i) {
    EXPECT_EQ((*rows)[i].symbol, symbols[i]);
    EXPECT_EQ((*rows)[i].value, std::to_string(i));
    EXPECT_GT((*rows)[i].ttl_ms, 0);
  }
  EXPECT_FALSE((*rows)[1'234].present);
  EXPECT_EQ((*rows)[1'234].ttl_ms, -2);
  EXPECT_FALSE((*rows)[1'235].present);
}

}  // namespace
}  // namespace tickbridge
