// SPDX-License-Identifier: Apache-2.0
// Each rule of the input contract, on both ways through the decoder, and the two ways against each other.
#include "feed/ndjson_decoder.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/log.h"
#include "tests/core_fixture.h"

namespace tickbridge {
namespace {

std::vector<std::string>* captured_log = nullptr;

struct LogCapture {
  LogCapture() {
    captured_log = &lines;
    SetLogHandler([](LogLevel, std::string_view line) { captured_log->emplace_back(line); });
  }
  ~LogCapture() { SetLogHandler(nullptr); }
  std::string All() const {
    std::string all;
    for (const std::string& line : lines) all += line + "\n";
    return all;
  }
  std::vector<std::string> lines;
};

// A core with a decoder. Behind each line lies what would be more of it, if it were looked at.
class Bench {
 public:
  explicit Bench(bool fast, CoreFixture::Options options = {})
      : core(std::move(options)), ingest(core.MakeIngest()), decoder(ingest.get(), {.fast_path = fast}) {}

  void Feed(std::string_view line, uint64_t offset = 1) {
    // More members than the padding holds, and no end: whoever reads on reads past the padding.
    static constexpr std::string_view kBehind =
        "\"Bid\":1.5,\"Ask\":2.5,\"BidSize\":12345,\"AskSize\":99,\"Last\":21000.25";
    static_assert(kBehind.size() == limits::kParsePaddingBytes);
    // In a block of its own, so that a sanitizer sees a read past the padding.
    const auto block = std::make_unique<char[]>(line.size() + limits::kParsePaddingBytes);
    std::copy(line.begin(), line.end(), block.get());
    std::copy_n(kBehind.begin(), limits::kParsePaddingBytes, block.get() + line.size());
    decoder.Decode(block.get(), line.size(), offset);
  }
  uint64_t Rejected(RejectReason reason) const { return ingest->counts().rejected[static_cast<size_t>(reason)]->Get(); }
  uint64_t RejectedTotal() const {
    uint64_t total = 0;
    for (const Counter* counter : ingest->counts().rejected) total += counter->Get();
    return total;
  }
  uint64_t accepted() const { return ingest->counts().accepted->Get(); }
  uint64_t control() const { return ingest->counts().control->Get(); }
  uint64_t records() const { return ingest->counts().records->Get(); }

  // "Bid=1.5 Ask=null @1700000000000" of a symbol.
  std::string Show(std::string_view symbol) const {
    const auto quote = core.Find(symbol);
    if (!quote) return "none";
    static constexpr std::array<std::string_view, kFieldCount> kNames = {
        "Bid", "Ask", "BidSize", "AskSize", "Last", "LastSize", "Volume", "High", "Low"};
    std::string text;
    for (size_t i = 0; i < kFieldCount; ++i) {
      if (!quote->Has(static_cast<Field>(i))) continue;
      text += std::string(kNames[i]) + "=" + FieldText(*quote, static_cast<Field>(i)) + " ";
    }
    return text + "@" + std::to_string(quote->timestamp.value);
  }

  CoreFixture core;
  std::unique_ptr<Ingest> ingest;
  NdjsonDecoder decoder;
};

class NdjsonDecoderBothWays : public testing::TestWithParam<bool> {
 protected:
  // One line alone must be rejected for this reason, good lines beside it arrive, and nothing of it is merged.
  void ExpectRejected(RejectReason reason, const std::string& line) {
    SCOPED_TRACE(line);
    Bench bench(GetParam());
    bench.Feed(R"({"symbol":"A","Bid":1,"Timestamp":1700000000000})");
    bench.Feed(line);
    bench.Feed(R"({"symbol":"B","Bid":2,"Timestamp":1700000000000})");
    EXPECT_EQ(bench.records(), 3U);
    EXPECT_EQ(bench.accepted(), 2U);
    EXPECT_EQ(bench.control(), 0U);
    EXPECT_EQ(bench.RejectedTotal(), 1U);
    EXPECT_EQ(bench.Rejected(reason), 1U) << RejectReasonName(reason);
    EXPECT_EQ(bench.Show("A"), "Bid=1 @1700000000000");
    EXPECT_EQ(bench.Show("B"), "Bid=2 @1700000000000");
  }
  // One line alone, and what it makes of "X".
  void ExpectTick(const std::string& line, const std::string& state) {
    SCOPED_TRACE(line);
    Bench bench(GetParam());
    bench.Feed(line);
    EXPECT_EQ(bench.accepted(), 1U);
    EXPECT_EQ(bench.records(), 1U);
    EXPECT_EQ(bench.Show("X"), state);
  }
};

INSTANTIATE_TEST_SUITE_P(Ways, NdjsonDecoderBothWays, testing::Bool(),
                         [](const auto& info) { return info.param ? "Fast" : "Simdjson"; });

TEST_P(NdjsonDecoderBothWays, TakesTheExamplesOfTheDesign) {
  Bench bench(GetParam());
  bench.Feed(
      R"({"symbol":"MNQZ5","Last":21000.25,"Bid":21000.0,"Ask":21000.5,"Volume":12345,"High":21100.0,"Low":20950.0,"Timestamp":1700000000000})");
  EXPECT_EQ(bench.Show("MNQZ5"),
            "Bid=21000 Ask=21000.5 Last=21000.25 Volume=12345 High=21100 Low=20950 @1700000000000");
  bench.Feed(R"({"symbol":"MNQZ5","Bid":21000.25,"Ask":21000.5,"BidSize":12,"AskSize":7,"Timestamp":1700000000001})");
  EXPECT_EQ(
      bench.Show("MNQZ5"),
      "Bid=21000.25 Ask=21000.5 BidSize=12 AskSize=7 Last=21000.25 Volume=12345 High=21100 Low=20950 @1700000000001");
  bench.Feed(R"({"symbol":"BTCUSDT","Last":"97123.10000000","LastSize":"0.00200000","Timestamp":1700000000002})");
  EXPECT_EQ(bench.Show("BTCUSDT"), "Last=97123.1 LastSize=0.002 Volume=0.002 High=97123.1 Low=97123.1 @1700000000002");
  bench.Feed(R"({"symbol":"MNQZ5","reset":true})");
  EXPECT_EQ(bench.Show("MNQZ5"), "Bid=21000.25 Ask=21000.5 BidSize=12 AskSize=7 Last=21000.25 @1700000000001");
  bench.Feed(R"({"heartbeat":true})");
  EXPECT_EQ(bench.control(), 2U);
  bench.Feed(
      R"({"class":"positions","account":"PAAPEX2666680000001","value":{"positions":[{"symbol":"MNQZ5","qty":2}]}})");
  bench.Feed(R"({"class":"orders","account":"P1","id":"D17158695","value":{"orders":[],"count":0},"ttl":2.5})");
  bench.Feed(R"({"class":"token","account":"APEX_266668","value":"eyJhbGciOi\u0041\""})");
  auto taken = bench.core.TakeDocuments();
  ASSERT_EQ(taken.size(), 3U);
  EXPECT_EQ(taken[0].document->key, "hft:positions:PAAPEX2666680000001:all");
  EXPECT_EQ(taken[0].document->value, R"({"positions":[{"symbol":"MNQZ5","qty":2}]})");
  EXPECT_EQ(taken[0].document->ttl_ns, kNsPerSec);
  EXPECT_EQ(taken[1].document->key, "hft:orders:pending:P1:D17158695");
  EXPECT_EQ(taken[1].document->ttl_ns, 2'500'000'000);
  EXPECT_EQ(taken[2].document->key, "token:APEX_266668");
  EXPECT_EQ(taken[2].document->value, "eyJhbGciOiA\"");
  bench.Feed(R"({"class":"orders","account":"P1","id":"D17158695","delete":true})");
  taken = bench.core.TakeDocuments();
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_TRUE(taken[0].document->deleted);
  EXPECT_EQ(bench.RejectedTotal(), 0U);
  EXPECT_EQ(bench.records(), 9U);
}

TEST_P(NdjsonDecoderBothWays, TakesKeysInAnyOrderAndEitherCase) {
  ExpectTick(R"({"Timestamp":1700000000000,"Ask":2,"symbol":"X","Bid":1})", "Bid=1 Ask=2 @1700000000000");
  ExpectTick(R"({"symbol":"X","bid":1,"ask":2,"bidsize":3,"asksize":4,"timestamp":1700000000000})",
             "Bid=1 Ask=2 BidSize=3 AskSize=4 @1700000000000");
  ExpectTick(R"({"symbol":"X","last":5,"lastsize":6,"volume":7,"high":8,"low":9,"timestamp":1700000000000})",
             "Last=5 LastSize=6 Volume=7 High=8 Low=9 @1700000000000");
  // Neither exact nor lower-case: unknown.
  ExpectTick(R"({"symbol":"X","bID":1,"BIDSIZE":2,"Symbol":"Y","Ask":2,"Timestamp":1700000000000})",
             "Ask=2 @1700000000000");
  // The prefix of a name, and a name with more behind it.
  ExpectTick(R"({"symbol":"X","Bi":1,"Bids":2,"BidSizes":3,"":4,"Ask":2,"Timestamp":1700000000000})",
             "Ask=2 @1700000000000");
}

TEST_P(NdjsonDecoderBothWays, TakesSpacesAndEscapes) {
  ExpectTick("{ \"symbol\" : \"X\" ,\t\"Bid\" : 1 , \"Timestamp\" : 1700000000000 } ", "Bid=1 @1700000000000");
  ExpectTick("{\"symbol\": \"X\", \"Bid\": 1, \"Timestamp\": 1700000000000}", "Bid=1 @1700000000000");
  ExpectTick("  {\"symbol\":\"X\",\"Bid\":1,\"Timestamp\":1700000000000}\r", "Bid=1 @1700000000000");
  ExpectTick(R"({"\u0073ymbol":"\u0058","\u0042id":1,"Timestamp":1700000000000})", "Bid=1 @1700000000000");
  ExpectTick(R"({"symbol":"X","Bid":"\u0031.5","Timestamp":1700000000000})", "Bid=1.5 @1700000000000");
  Bench bench(GetParam());
  bench.Feed("{\"symbol\":\"Zürich\",\"Bid\":1}");
  bench.Feed(R"({"symbol":"Z\u00fcrich","Ask":2})");
  EXPECT_EQ(bench.Show("Zürich").substr(0, 11), "Bid=1 Ask=2");
}

TEST_P(NdjsonDecoderBothWays, LetsTheLastOfDuplicatesWin) {
  ExpectTick(R"({"symbol":"Y","Bid":1,"symbol":"X","Bid":2,"Timestamp":1,"Timestamp":1700000000000})",
             "Bid=2 @1700000000000");
  ExpectTick(R"({"symbol":"X","Bid":1,"Ask":2,"bid":null,"Timestamp":1700000000000})", "Ask=2 @1700000000000");
  ExpectTick(R"({"symbol":"X","Bid":null,"Bid":3,"Timestamp":1700000000000})", "Bid=3 @1700000000000");
  ExpectTick(R"({"symbol":"X","Bid":"NaN","Bid":3,"Timestamp":1700000000000})", "Bid=3 @1700000000000");
  ExpectTick(R"({"symbol":"X","Bid":3,"Timestamp":"x","Timestamp":1700000000000})", "Bid=3 @1700000000000");
  ExpectTick(R"({"symbol":7,"symbol":"X","Bid":3,"Timestamp":1700000000000})", "Bid=3 @1700000000000");
  ExpectRejected(RejectReason::kBadNumber, R"({"symbol":"A","Bid":3,"Bid":"NaN"})");
  ExpectRejected(RejectReason::kMissingSymbol, R"({"symbol":"A","Bid":3,"symbol":null})");
  Bench bench(GetParam());
  bench.Feed(R"({"class":"token","class":"positions","account":"a","account":"b","value":1,"value":[2]})");
  const auto taken = bench.core.TakeDocuments();
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].document->key, "hft:positions:b:all");
  EXPECT_EQ(taken[0].document->value, "[2]");
}

TEST_P(NdjsonDecoderBothWays, ClearsWithNull) {
  Bench bench(GetParam());
  bench.Feed(R"({"symbol":"X","Bid":1,"Ask":2,"Timestamp":1700000000000})");
  bench.Feed(R"({"symbol":"X","Bid":null,"Timestamp":1700000000001})");
  EXPECT_EQ(bench.Show("X"), "Ask=2 @1700000000001");
}

TEST_P(NdjsonDecoderBothWays, ReadsTimestamps) {
  ExpectTick(R"({"symbol":"X","Bid":1,"Timestamp":"1700000000000"})", "Bid=1 @1700000000000");
  ExpectTick(R"({"symbol":"X","Bid":1,"Timestamp":1699999999999.999})", "Bid=1 @1699999999999");
  ExpectTick(R"({"symbol":"X","Bid":1,"Timestamp":1699999999999.99999999999})", "Bid=1 @1699999999999");
  ExpectTick(R"({"symbol":"X","Bid":1,"Timestamp":1.7e12})", "Bid=1 @1700000000000");
  ExpectTick(R"({"symbol":"X","Bid":1,"Timestamp":1})", "Bid=1 @1");
  ExpectTick(R"({"symbol":"X","Bid":1,"Timestamp":999999999999})", "Bid=1 @999999999999");
  // Absent: the time received, which the fixture's clock says.
  ExpectTick(R"({"symbol":"X","Bid":1,"Timestamp":null})", "Bid=1 @1700000001000");
  ExpectTick(R"({"symbol":"X","Bid":1})", "Bid=1 @1700000001000");
  ExpectTick(R"({"symbol":"X","Bid":1,"Timestamp":1,"Timestamp":null})", "Bid=1 @1700000001000");
  for (const char* bad : {"0", "-1", "0.9", "10000000000000", "1e30", "9999999999999999999999999", "-0", "1e-400"}) {
    ExpectRejected(RejectReason::kBadTimestamp, std::string(R"({"symbol":"A","Bid":3,"Timestamp":)") + bad + "}");
  }
  for (const char* bad : {"\"\"", "\"now\"", "true", "{}", "[1]"}) {
    ExpectRejected(RejectReason::kBadNumber, std::string(R"({"symbol":"A","Bid":3,"Timestamp":)") + bad + "}");
  }
  ExpectRejected(RejectReason::kFuture, R"({"symbol":"A","Bid":3,"Timestamp":9999999999999})");
}

TEST_P(NdjsonDecoderBothWays, ReadsNumbersExactly) {
  const auto tick = [&](const char* number, const char* printed) {
    const std::string state = std::string("Bid=") + printed + " @1700000000000";
    ExpectTick(std::string(R"({"symbol":"X","Bid":)") + number + R"(,"Timestamp":1700000000000})", state);
    ExpectTick(std::string(R"({"symbol":"X","Timestamp":1700000000000,"Bid":)") + number + "}", state);
    ExpectTick(std::string(R"({"symbol":"X","Timestamp":1700000000000,"Bid":")") + number + "\"}", state);
  };
  tick("0", "0");
  tick("-0", "0");
  tick("-0.25", "-0.25");
  tick("0.1", "0.1");
  tick("123456789012345678", "123456789012345678");
  tick("0.000000000000000001", "0.000000000000000001");
  tick("97123.10000000000000000000000000000", "97123.1");
  tick("1.5e3", "1500");
  tick("15E-1", "1.5");
  tick("1000000000000000000000", "1000000000000000000000");
  for (const char* bad : {"1234567890123456789", "0.1234567890123456789", "1e19000", "1e-19", "1e400"}) {
    ExpectRejected(RejectReason::kNumberTooLong, std::string(R"({"symbol":"A","Bid":)") + bad + "}");
    ExpectRejected(RejectReason::kNumberTooLong, std::string(R"({"symbol":"A","Bid":")") + bad + "\"}");
  }
  for (const char* bad : {"\"\"", "\"NaN\"", "\" 1\"", "\"1 \"", "\"+1\"", "\"01\"", "\"1.\"", "\".5\"", "\"1,5\"",
                          "\"0x10\"", "\"Infinity\"", "true", "false", "[1]", "{\"a\":1}", "\"1\\u0000\""}) {
    ExpectRejected(RejectReason::kBadNumber, std::string(R"({"symbol":"A","Bid":)") + bad + "}");
  }
  for (const char* bad :
       {"NaN", "+1", "01", "1.", ".5", "-", "1e", "nul", "nullx", "Infinity", "--1", "1_0", "", "0x1"}) {
    ExpectRejected(RejectReason::kMalformed, std::string(R"({"symbol":"A","Bid":)") + bad + "}");
    ExpectRejected(RejectReason::kMalformed, std::string(R"({"symbol":"A","Bid":)") + bad + R"(,"Ask":1})");
  }
}

TEST_P(NdjsonDecoderBothWays, IgnoresUnknownMembersButNotTheirSyntax) {
  ExpectTick(
      R"({"symbol":"X","venue":"CME","n":[1,{"Bid":9}],"o":{"symbol":"Y"},"t":true,"Bid":1,"Timestamp":1700000000000})",
      "Bid=1 @1700000000000");
  // JSON has no limit for numbers.
  ExpectTick(
      R"({"symbol":"X","big":123456789012345678901234567890,"f":1e999,"s":"1\"e","Bid":1,"Timestamp":1700000000000})",
      "Bid=1 @1700000000000");
  for (const char* bad : {"nope", "01", "[1,]", "{\"a\"}", "\"\x01\"", "'x'", "1e", "tru", "[1 2]", "\"\\x\"",
                          "\"\\ud800\"", "12345678901234567890123e"}) {
    ExpectRejected(RejectReason::kMalformed, std::string(R"({"symbol":"A","Bid":3,"u":)") + bad + "}");
    ExpectRejected(RejectReason::kMalformed, std::string(R"({"u":)") + bad + R"(,"symbol":"A","Bid":3})");
  }
}

TEST_P(NdjsonDecoderBothWays, RejectsWhatIsNotOneObject) {
  const std::string good = R"({"symbol":"A","Bid":3})";
  for (const std::string& bad : {good + good,
                                 good + " " + good,
                                 good + ",",
                                 good + "x",
                                 good + "]",
                                 std::string("[") + good + "]",
                                 std::string("42"),
                                 std::string("\"A\""),
                                 std::string("null"),
                                 std::string("nonsense"),
                                 std::string("{"),
                                 std::string("}"),
                                 std::string("{\"symbol\":\"A\""),
                                 std::string("{\"symbol\":\"A"),
                                 std::string("{\"symbol"),
                                 std::string(R"({"symbol":"A","Bid":3)"),
                                 std::string(R"({"symbol":"A","Bid":3,)"),
                                 std::string(R"({"symbol":"A","Bid":3,})"),
                                 std::string(R"({"symbol":"A" "Bid":3})"),
                                 std::string(R"({"symbol":"A","Bid"3})"),
                                 std::string(R"({,"symbol":"A"})"),
                                 std::string("{\"symbol\":\"A\",\"Bid\":3\0}", 23),
                                 std::string("{\"symbol\":\"A\0\",\"Bid\":3}", 23),
                                 std::string(1, '\0'),
                                 std::string("{symbol:\"A\"}"),
                                 std::string("\xEF\xBB\xBF") + good,
                                 std::string("{\"symbol\":\"A\tB\",\"Bid\":3}")}) {
    ExpectRejected(RejectReason::kMalformed, bad);
  }
  ExpectRejected(RejectReason::kMalformed, "{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}");
  ExpectRejected(RejectReason::kMalformed, std::string(200'000, '['));
  for (const std::string& bad :
       {std::string("{\"symbol\":\"\xff\",\"Bid\":3}"), std::string("{\"symbol\":\"\xc3\",\"Bid\":3}"),
        std::string("{\"symbol\":\"A\",\"\xc0\xaf\":3}"), std::string("\x80"),
        std::string("{\"symbol\":\"\xed\xa0\x80\",\"Bid\":3}")}) {
    ExpectRejected(RejectReason::kInvalidUtf8, bad);
  }
}

TEST_P(NdjsonDecoderBothWays, SkipsBlankLinesAndOneByteOrderMark) {
  Bench bench(GetParam());
  for (const char* blank : {"", " ", "\t \r"}) bench.Feed(blank);
  bench.Feed("\xEF\xBB\xBF", 0);
  EXPECT_EQ(bench.records(), 0U);
  bench.Feed("\xEF\xBB\xBF{\"symbol\":\"X\",\"Bid\":1}", 0);
  EXPECT_EQ(bench.accepted(), 1U);
}

TEST_P(NdjsonDecoderBothWays, ChecksSymbols) {
  for (const char* bad : {"\"\"", "7", "true", "[\"A\"]", "{}", "\"a\\u0001\"", "\"a\\u007f\"", "\"a{b\"", "\"a}b\"",
                          "\"\\n\"", "\"12345678901234567890123456789012345678901234567890123456789012345\""}) {
    ExpectRejected(RejectReason::kBadSymbol, std::string(R"({"Bid":3,"symbol":)") + bad + "}");
    ExpectRejected(RejectReason::kBadSymbol, std::string(R"({"symbol":)") + bad + R"(,"Bid":3})");
  }
  ExpectRejected(RejectReason::kBadSymbol, "{\"symbol\":\"" + std::string(5000, 'x') + "\",\"Bid\":3}");
  const std::string longest(limits::kSymbolBytesMax, 'x');
  Bench bench(GetParam());
  bench.Feed("{\"symbol\":\"" + longest + "\",\"Bid\":3}");
  EXPECT_EQ(bench.Show(longest).substr(0, 5), "Bid=3");
  for (const char* none :
       {"{}", R"({"Bid":1})", R"({"symbol":null,"Bid":1})", R"({"heartbeat":false})", R"({"reset":true})"}) {
    ExpectRejected(RejectReason::kMissingSymbol, none);
  }
  ExpectRejected(RejectReason::kEmpty, R"({"symbol":"A"})");
  ExpectRejected(RejectReason::kEmpty, R"({"symbol":"A","Timestamp":1700000000001})");
  ExpectRejected(RejectReason::kStale, R"({"symbol":"A","Bid":9,"Timestamp":1699999999999})");
}

TEST_P(NdjsonDecoderBothWays, TellsSwitchesFromValues) {
  ExpectRejected(RejectReason::kBadValue, R"({"symbol":"A","reset":1})");
  ExpectRejected(RejectReason::kBadValue, R"({"symbol":"A","reset":"true"})");
  ExpectRejected(RejectReason::kBadValue, R"({"heartbeat":1})");
  ExpectTick(R"({"symbol":"X","reset":false,"Bid":1,"Timestamp":1700000000000})", "Bid=1 @1700000000000");
  ExpectTick(R"({"symbol":"X","heartbeat":true,"Bid":1,"Timestamp":1700000000000})", "Bid=1 @1700000000000");
  Bench bench(GetParam());
  bench.Feed(R"({"symbol":"X","Bid":1,"High":5})");
  // What else is in a reset does not matter.
  bench.Feed(R"({"symbol":"X","reset":true,"Bid":"NaN","Timestamp":-1})");
  bench.Feed(R"({"symbol":"never seen","reset":true})");
  EXPECT_EQ(bench.control(), 2U);
  EXPECT_EQ(bench.Show("X").substr(0, 6), "Bid=1 ");
}

TEST_P(NdjsonDecoderBothWays, ReadsDocuments) {
  const auto document = [&](const std::string& line) {
    Bench bench(GetParam());
    bench.Feed(line);
    const auto taken = bench.core.TakeDocuments();
    EXPECT_EQ(taken.size(), 1U) << line;
    if (taken.empty()) return std::string();
    return taken[0].document->key + " " + taken[0].document->value + " " + std::to_string(taken[0].document->ttl_ns);
  };
  EXPECT_EQ(document(R"({"value": [1 , 2.50,"é\u00e9"]  ,"account":"a","class":"positions"})"),
            "hft:positions:a:all [1 , 2.50,\"é\\u00e9\"] 1000000000");
  EXPECT_EQ(document(R"({"class":"balances","account":12345,"value":1.50})"), "hft:balances:12345:all 1.50 2000000000");
  EXPECT_EQ(document(R"({"class":"accounts","\u0061ccount":"\u0061b","value":"text\n"})"),
            "hft:accounts:ab \"text\\n\" 300000000000");
  EXPECT_EQ(document(R"({"class":"orders","account":"a","value":null})"), "hft:orders:pending:a null 1000000000");
  EXPECT_EQ(document(R"({"class":"orders","account":"a","id":null,"value":{}})"), "hft:orders:pending:a {} 1000000000");
  EXPECT_EQ(document(R"({"class":"orders","account":"a","symbol":"MNQZ5","Bid":"NaN","value":true,"ttl":"0.5"})"),
            "hft:orders:pending:a true 500000000");
  EXPECT_EQ(document(R"({"class":"orders","account":"a","value":123456789012345678901234567890.5,"ttl":86400})"),
            "hft:orders:pending:a 123456789012345678901234567890.5 86400000000000");
  EXPECT_EQ(document(R"({"class":"orders","account":"a","value":1,"ttl":null})"), "hft:orders:pending:a 1 1000000000");
  EXPECT_EQ(document(R"({"class":"orders","account":"a","delete":true,"value":1})"),
            "hft:orders:pending:a  1000000000");
  EXPECT_EQ(document(R"({"class":"orders","account":"a","delete":false,"value":1})"),
            "hft:orders:pending:a 1 1000000000");

  ExpectRejected(RejectReason::kUnknownClass, R"({"class":"nope","account":"a","value":1})");
  ExpectRejected(RejectReason::kUnknownClass, R"({"class":"price","symbol":"A","value":1})");
  ExpectRejected(RejectReason::kUnknownClass, R"({"class":7,"account":"a","value":1})");
  ExpectRejected(RejectReason::kMissingKeyField, R"({"class":"positions","value":1})");
  ExpectRejected(RejectReason::kMissingKeyField, R"({"class":"positions","account":true,"value":1})");
  ExpectRejected(RejectReason::kMissingKeyField, R"({"class":"positions","account":1.5,"value":1})");
  ExpectRejected(RejectReason::kMissingKeyField, R"({"class":"positions","account":"a","account":null,"value":1})");
  ExpectRejected(RejectReason::kBadKeyField, R"({"class":"positions","account":"","value":1})");
  ExpectRejected(RejectReason::kBadKeyField, R"({"class":"positions","account":"a\nb","value":1})");
  ExpectRejected(RejectReason::kMissingValue, R"({"class":"positions","account":"a"})");
  ExpectRejected(RejectReason::kBadValue, R"({"class":"positions","account":"a","value":1,"delete":"yes"})");
  ExpectRejected(RejectReason::kBadValue, R"({"class":"token","account":"a","value":1})");
  ExpectRejected(RejectReason::kBadValue, R"({"class":"token","account":"a","value":null})");
  for (const char* ttl : {"0", "-1", "\"x\"", "\"\"", "true", "1e-10", "1e10", "[]", "123456789012345678901"}) {
    ExpectRejected(RejectReason::kBadTtl,
                   std::string(R"({"class":"positions","account":"a","value":1,"ttl":)") + ttl + "}");
  }
  for (const char* value : {"nope", "[1,]", "{\"a\":nope}", "{\"a\":01}", "{\"a\" 1}", "\"\\q\"", "[1]]"}) {
    ExpectRejected(RejectReason::kMalformed,
                   std::string(R"({"class":"positions","account":"a","value":)") + value + "}");
  }
  ExpectRejected(RejectReason::kDocumentTooLarge, R"({"class":"positions","account":"a","value":")" +
                                                      std::string(limits::kDocumentBytesMax, 'x') + "\"}");
}

TEST_P(NdjsonDecoderBothWays, LogsNothingOfARawValue) {
  const LogCapture log;
  const std::string secret = "eyJzZWNyZXQ";
  const std::vector<std::string> lines = {
      R"({"class":"token","account":"","value":"S"})",
      R"({"class":"token","account":"a","value":"S","ttl":0})",
      R"({"class":"token","value":"S"})",
      R"({"class":"token","account":"a","value":["S"]})",
      R"({"class":"token","account":"a","value":"S)",
      R"({"class":"token","account":"a","value":"S"}})",
      R"({"class":"tokne","account":"a","value":"S"})",
      R"({"class":"S","account":"a","value":"token"})",
      R"({"clas":"tokne","account":"a","value":"S"})",
      R"({"Class":"Token","account":"a","Value":"S"})",
      R"({"cl\u0061ss":"tok\u0065n","account":"a","v\u0061lue":"S")",
      R"({"account":"a","value":"S"})",
      R"({"class":"token","class":"positions","account":"","value":1,"x":"S"})",
      R"(S","ttl":5})",
      R"(S)",
      R"(S.S.S)",
      R"(a S b)",
      R"([{"class":"tokne","account":"a","value":"S"}])",
      R"([{"clas":"tokne","account":"a","vlue":"S"}])",
      R"({"clas":"token","account":"a","vlue":"hunter2-S"})",
      R"({"class":"token","account":"a","value":"S)"
      "\x01",
      R"({"class":"tok\u0065n","account":"a","value":"S")",
      R"({"class":"tok\u0065n","value":"S","class":"positions","account":""})",
      R"({"class":"\u0054oken","account":"a","x":"S","value":"S"})",
      R"({"class":"TOKEN","account":"a","x":"S"})",
      R"("value":"S"})",
      R"(:"S"})",
      "{\"class\":\"token\",\"account\":\"\xff\",\"value\":\"S\"}",
  };
  for (const std::string& line : lines) {
    Bench bench(GetParam());  // a new one each: of one kind only the first is logged
    std::string with_secret = line;
    while (with_secret.find('S') != std::string::npos) with_secret.replace(with_secret.find('S'), 1, secret);
    bench.Feed(with_secret);
    EXPECT_EQ(bench.RejectedTotal(), 1U) << line;
  }
  EXPECT_EQ(log.lines.size(), lines.size());
  EXPECT_EQ(log.All().find(secret), std::string::npos) << log.All();
}

TEST_P(NdjsonDecoderBothWays, LogsAnExcerptOfAnOrdinaryBadLine) {
  const LogCapture log;
  Bench bench(GetParam());
  bench.Feed(R"({"symbol":"MNQZ5","Bid":"NaN"})", 777);
  bench.Feed(R"({"symbol":"MNQZ5","Bid":nope})", 888);
  bench.Feed(R"({"class":"positions","account":"a","value":1,"ttl":0})", 999);
  ASSERT_EQ(log.lines.size(), 3U);
  EXPECT_NE(log.lines[0].find("bad_number"), std::string::npos);
  EXPECT_NE(log.lines[0].find("offset 777"), std::string::npos);
  EXPECT_NE(log.lines[0].find("MNQZ5"), std::string::npos);
  EXPECT_NE(log.lines[1].find("offset 888"), std::string::npos);
  EXPECT_NE(log.lines[2].find("positions"), std::string::npos);
}

TEST_P(NdjsonDecoderBothWays, LogsWhatItMayOfALineThatIsNoRecord) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"garbage", "\"garbage\""},
      {"MNQZ5,21000.25,21000.5", "\"MNQZ5,21000.25,21000.5\""},
      {"GET / HTTP/1.1", "\"GET / HTTP/1.1\""},
      {"a deadbeef0 b", "\"a ... b\""},
      {R"([{"symbol":"A","Timestamp":1}])", R"([{\"symbol\":\"A\",\"Timestamp\":1}])"},
      {R"({"class":"tokne","account":"a","value":"hunter2"})", "(unknown_class) at offset 1: \"tokne\""},
      {R"({"class":"my-own_class2","account":"a","value":1})", "\"my-own_class2\""},
      {R"({"class":7,"account":"a","value":1})", R"("{\"class\":7,\"account\":\"a\",\"...")"},
      {R"({"class":"positions","account":"A1","value":[1,2)", R"("{\"class\":\"positions\",\"account\":\"A1\",\"...")"},
      {"hunter2\"}", "(malformed) at offset 1"},
  };
  for (const auto& [line, shown] : cases) {
    const LogCapture log;
    Bench bench(GetParam());
    bench.Feed(line);
    ASSERT_EQ(log.lines.size(), 1U) << line;
    EXPECT_NE(log.All().find(shown), std::string::npos) << shown << "\n" << log.All();
    EXPECT_EQ(log.All().find("hunter2"), std::string::npos) << log.All();
  }
}

// ---- The two ways against each other ----

std::string RandomNumber(std::mt19937_64& random) {
  static constexpr std::array<const char*, 24> kOdd = {"null",
                                                       "0",
                                                       "-0",
                                                       "1",
                                                       "-1.5",
                                                       "\"2.25\"",
                                                       "\"97123.10000000\"",
                                                       "true",
                                                       "\"\"",
                                                       "\"NaN\"",
                                                       "1e3",
                                                       "01",
                                                       "1.",
                                                       "-",
                                                       "nul",
                                                       "12345678",
                                                       "123456789",
                                                       "1234567890123456",
                                                       "12345678901234567",
                                                       "123456789012345678",
                                                       "1234567890123456789",
                                                       "0.00000001",
                                                       "[1]",
                                                       "{}"};
  if (random() % 6 == 0) return kOdd[random() % kOdd.size()];
  std::string text = std::to_string(random() % 100'000);
  if (random() % 2 != 0) text += "." + std::to_string(random() % 1000);
  return random() % 5 == 0 ? "\"" + text + "\"" : text;
}

std::string RandomLine(std::mt19937_64& random) {
  static constexpr std::array<const char*, 30> kKeys = {
      "symbol",    "Bid",   "Ask",   "BidSize", "AskSize", "Last",  "LastSize",  "Volume", "High", "Low",
      "Timestamp", "bid",   "ask",   "bidsize", "asksize", "last",  "lastsize",  "volume", "high", "low",
      "timestamp", "venue", "class", "value",   "ttl",     "reset", "heartbeat", "delete", "BID",  "account"};
  std::string line = "{";
  const size_t members = random() % 9;
  bool symbol = random() % 10 != 0;
  const char* const space = random() % 8 == 0 ? " " : "";
  for (size_t i = 0; i < members || symbol; ++i) {
    if (line.size() > 1) line += std::string(",") + space;
    const std::string key = symbol ? "symbol" : kKeys[random() % (random() % 6 == 0 ? kKeys.size() : 21)];
    line += "\"" + key + "\":" + space;
    if (key == "symbol") {
      static constexpr std::array<const char*, 8> kSymbols = {
          "A", "BB", "MNQZ5", "SEVENCH", "EIGHTCHR", "NINECHARS", "a symbol longer than sixteen", "Zürich"};
      line += std::string("\"") + kSymbols[random() % kSymbols.size()] + "\"";
    } else if (key == "Timestamp" || key == "timestamp") {
      static constexpr std::array<const char*, 8> kTimes = {
          "null", "1", "0", "\"1700000000001\"", "1700000000000.5", "9999999999999", "0700000000000", "17000000000000"};
      line += random() % 4 == 0 ? std::string(kTimes[random() % kTimes.size()])
                                : std::to_string(1'699'999'999'990 + random() % 20);
    } else if (key == "class") {
      line += random() % 2 == 0 ? "\"positions\"" : "\"token\"";
    } else if (key == "reset" || key == "heartbeat" || key == "delete") {
      line += random() % 2 == 0 ? "true" : "false";
    } else {
      line += RandomNumber(random);
    }
    symbol = false;
  }
  return line + "}";
}

void Mutate(std::string* line, std::mt19937_64& random) {
  static constexpr std::string_view kBytes = "\",:{}[]\\ 0123456789.-+eEnul\n\t\r\x01\x7f\x80\xc3\xff";
  for (uint64_t count = random() % 4; count != 0 && !line->empty(); --count) {
    const size_t at = random() % line->size();
    switch (random() % 5) {
      case 0:
        line->erase(at, 1 + random() % 3);
        break;
      case 1:
        line->insert(at, 1, kBytes[random() % kBytes.size()]);
        break;
      case 2:
        (*line)[at] = kBytes[random() % kBytes.size()];
        break;
      case 3:
        line->resize(at);
        break;
      default:
        line->insert(at, line->substr(random() % line->size(), random() % 20));
        break;
    }
  }
}

TEST(NdjsonDecoder, BothWaysDoTheSame) {
  const uint64_t seed = 20'240'808;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  Bench fast(true);
  Bench slow(false);
  std::vector<std::string> symbols = {
      "A", "BB", "MNQZ5", "SEVENCH", "EIGHTCHR", "NINECHARS", "a symbol longer than sixteen", "Zürich"};
  for (int i = 0; i < 200'000; ++i) {
    std::string line = RandomLine(random);
    if (i % 2 != 0) Mutate(&line, random);
    fast.Feed(line);
    slow.Feed(line);
    SCOPED_TRACE(line);
    ASSERT_EQ(fast.records(), slow.records());
    ASSERT_EQ(fast.accepted(), slow.accepted());
    ASSERT_EQ(fast.control(), slow.control());
    for (size_t reason = 0; reason < kRejectReasonCount; ++reason) {
      ASSERT_EQ(fast.Rejected(static_cast<RejectReason>(reason)), slow.Rejected(static_cast<RejectReason>(reason)))
          << kRejectReasonNames[reason];
    }
    ASSERT_EQ(fast.core.symbols.size(), slow.core.symbols.size());
    if (i % 64 == 0) {
      // Where a mutation made a new symbol, its name must be the same, too.
      for (uint32_t id = static_cast<uint32_t>(symbols.size()); id < fast.core.symbols.size(); ++id) {
        symbols.emplace_back(fast.core.symbols.Name(SymbolId{id}));
      }
    }
    const std::string& symbol = symbols[random() % symbols.size()];
    ASSERT_EQ(fast.Show(symbol), slow.Show(symbol));
    if (fast.core.symbols.size() > 900) {  // before the table is full
      break;
    }
  }
  for (const std::string& symbol : symbols) EXPECT_EQ(fast.Show(symbol), slow.Show(symbol));
  EXPECT_GT(fast.accepted(), 10'000U);
}

}  // namespace
}  // namespace tickbridge
