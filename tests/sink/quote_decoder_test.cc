// SPDX-License-Identifier: Apache-2.0
#include "sink/quote_decoder.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/key_class.h"
#include "sink/quote_encoder.h"
#include "tests/core_fixture.h"

namespace tickbridge {
namespace {

TEST(QuoteDecoder, ReadsWhatTheEncoderWrites) {
  std::vector<QuoteMember> members;
  for (size_t i = 0; i < kQuoteMemberCount; ++i) members.push_back(static_cast<QuoteMember>(i));
  QuoteEncoder encoder(members);
  Quote quote;
  for (size_t i = 0; i < kFieldCount; ++i) quote.value[i] = {123'456'789'012'345'678 + static_cast<int64_t>(i), -4};
  quote.present = (1u << kFieldCount) - 1;
  quote.present = static_cast<FieldMask>(quote.present & ~Bit(Field::kAsk));
  quote.timestamp = UnixMs{1'700'000'000'123};
  quote.status = Status::kHalted;
  std::vector<char> text(encoder.bytes_max() + 64);
  const std::string_view json(text.data(),
                              static_cast<size_t>(encoder.Encode(text.data(), quote, {}, {}) - text.data()));
  Quote read;
  ASSERT_TRUE(DecodeQuote(json, &read)) << json;
  EXPECT_EQ(read.present, quote.present);
  EXPECT_EQ(read.timestamp, quote.timestamp);
  EXPECT_EQ(read.status, quote.status);
  for (size_t i = 0; i < kFieldCount; ++i) {
    if (!quote.Has(static_cast<Field>(i))) continue;
    EXPECT_EQ(read.value[i], quote.value[i]) << i;
  }
}

TEST(QuoteDecoder, LeavesOutWhatIsNotOurs) {
  Quote quote;
  EXPECT_FALSE(DecodeQuote(R"({"Bid":1.50,"Volume":NULL_})", &quote));
  ASSERT_TRUE(
      DecodeQuote(R"( {"Bid" : 1.50 ,"Ask":"2","Last":[1],"Low":true,"x":{"High":3},"Timestamp":-5} )", &quote));
  EXPECT_EQ(FieldText(quote, Field::kBid), "1.5");
  EXPECT_EQ(quote.present, Bit(Field::kBid));
  EXPECT_EQ(quote.timestamp, UnixMs{});
  for (const std::string_view text : {"", "null", "[1]", "5", "{", R"({"Bid":1)", R"({"Bid":1}x)", "\xff"}) {
    EXPECT_FALSE(DecodeQuote(text, &quote)) << text;
  }
}

}  // namespace
}  // namespace tickbridge
