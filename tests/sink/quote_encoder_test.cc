// SPDX-License-Identifier: Apache-2.0
// The published form of a quote, character by character.
#include "sink/quote_encoder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/limits.h"

namespace tickbridge {
namespace {

std::string Encode(QuoteEncoder* encoder, const Quote& quote) {
  std::vector<char> text(encoder->bytes_max());
  const char* end =
      encoder->Encode(text.data(), quote, UnixNs{1'700'000'000'000'000'001}, UnixNs{1'700'000'000'000'000'002});
  return {text.data(), static_cast<size_t>(end - text.data())};
}

void Set(Quote* quote, Field field, Decimal value) {
  quote->value[Index(field)] = value;
  quote->present = static_cast<FieldMask>(quote->present | Bit(field));
}

TEST(QuoteEncoder, WritesTheDefaultMembersInTheirOrder) {
  QuoteEncoder encoder(DefaultKeyClasses()[0].members);
  Quote quote;
  EXPECT_EQ(Encode(&encoder, quote),
            R"({"Last":null,"Bid":null,"Ask":null,"Volume":null,"High":null,"Low":null,"Timestamp":null})");
  Set(&quote, Field::kLast, {2'100'025, -2});
  Set(&quote, Field::kBid, {21'000, 0});
  Set(&quote, Field::kAsk, {210'005, -1});
  Set(&quote, Field::kVolume, {12'345, 0});
  Set(&quote, Field::kHigh, {211, 2});
  Set(&quote, Field::kLow, {-395, -1});
  quote.timestamp.value = 1'700'000'000'000;
  EXPECT_EQ(
      Encode(&encoder, quote),
      R"({"Last":21000.25,"Bid":21000.0,"Ask":21000.5,"Volume":12345,"High":21100.0,"Low":-39.5,"Timestamp":1700000000000})");
}

TEST(QuoteEncoder, WritesEveryMember) {
  std::vector<QuoteMember> members;
  for (size_t i = 0; i < kQuoteMemberCount; ++i) members.push_back(static_cast<QuoteMember>(i));
  QuoteEncoder encoder(members);
  Quote quote;
  for (size_t i = 0; i < kFieldCount; ++i) Set(&quote, static_cast<Field>(i), {999'999'999'999'999'999, -18});
  quote.timestamp.value = limits::kUnixMsMax;
  quote.sequence = ~uint64_t{0};
  quote.status = Status::kHalted;
  const std::string text = Encode(&encoder, quote);
  EXPECT_NE(text.find(R"("LastSize":0.999999999999999999,"Sequence":18446744073709551615,)"
                      R"("ReceivedNs":1700000000000000001,"SentNs":1700000000000000002,"Status":"halted"})"),
            std::string::npos)
      << text;
}

TEST(QuoteEncoder, WritesTimestampsOfEveryLength) {
  const std::vector<QuoteMember> members = {QuoteMember::kTimestamp};
  QuoteEncoder encoder(members);
  Quote quote;
  for (const int64_t ms :
       {int64_t{1}, int64_t{999}, int64_t{1'000}, int64_t{1'001}, int64_t{61'050}, int64_t{1'700'000'000'009},
        int64_t{1'700'000'000'010}, int64_t{1'700'000'001'999}, limits::kUnixMsMax}) {
    quote.timestamp.value = ms;
    EXPECT_EQ(Encode(&encoder, quote), "{\"Timestamp\":" + std::to_string(ms) + "}");
  }
}

}  // namespace
}  // namespace tickbridge
