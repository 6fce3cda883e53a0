// SPDX-License-Identifier: Apache-2.0
// The rules of merging, one test a rule; all of them together against a simple model with random ticks; and the
// seqlock with one writer and two readers, who must never see a mix of two ticks.
//
// The seed of the random test is printed; TICKBRIDGE_TEST_SEED repeats one.
#include "core/latest_table.h"
#include "tests/sanitized.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace tickbridge {
namespace {

constexpr SymbolId kId{3};
constexpr uint64_t kBase = 1'700'000'000'000'000;
constexpr OwnerId kOwner{1};
constexpr SourceId kSource = MakeSourceId(7, 1);

Decimal D(std::string_view text) {
  Decimal result;
  EXPECT_EQ(ParseDecimal(text, &result), DecimalError::kNone) << text;
  return result;
}

// A field as text, `null` where it is absent.
std::string Show(const Quote& quote, Field field) {
  if (!quote.Has(field)) return "null";
  std::string text(kMaxDecimalChars + kDecimalPrintScratch, '\0');
  text.resize(static_cast<size_t>(PrintSize(text.data(), quote.Get(field)) - text.data()));
  return text;
}

// A tick, written as in `TickOf().Bid("1.5").QuoteMs(17)`.
class TickOf {
 public:
  TickOf& Set(Field field, std::string_view text) {
    if (text == "null") {
      tick_.Clear(field);
    } else {
      tick_.Set(field, D(text));
    }
    return *this;
  }
  TickOf& Bid(std::string_view text) { return Set(Field::kBid, text); }
  TickOf& Ask(std::string_view text) { return Set(Field::kAsk, text); }
  TickOf& Last(std::string_view text) { return Set(Field::kLast, text); }
  TickOf& LastSize(std::string_view text) { return Set(Field::kLastSize, text); }
  TickOf& Volume(std::string_view text) { return Set(Field::kVolume, text); }
  TickOf& High(std::string_view text) { return Set(Field::kHigh, text); }
  TickOf& Low(std::string_view text) { return Set(Field::kLow, text); }
  TickOf& QuoteMs(int64_t ms) { return tick_.quote_time = VenueNsFromMs(ms), *this; }
  TickOf& TradeMs(int64_t ms) { return tick_.trade_time = VenueNsFromMs(ms), *this; }
  TickOf& QuoteNs(uint64_t ns) { return tick_.quote_time = VenueNs{ns}, *this; }
  TickOf& TradeNs(uint64_t ns) { return tick_.trade_time = VenueNs{ns}, *this; }
  TickOf& Halted() {
    tick_.has_status = true;
    tick_.status = Status::kHalted;
    return *this;
  }
  const Tick& tick() const { return tick_; }

 private:
  Tick tick_;
};

class LatestTableTest : public testing::Test {
 protected:
  LatestTableTest() : table_({.capacity = 8, .sequence_base = kBase}) { EXPECT_TRUE(table_.Claim(kId, kOwner)); }

  MergeResult Merge(const TickOf& tick) {
    overflow_ = false;
    return table_.Merge(kId, tick.tick(), context_, &overflow_);
  }
  Quote Load() const {
    Quote quote;
    EXPECT_TRUE(table_.TryLoad(kId, &quote));
    return quote;
  }
  std::string Get(Field field) const { return Show(Load(), field); }

  LatestTable table_;
  TickContext context_{MonoNs{1'000}, UnixMs{500}, kSource};
  bool overflow_ = false;
};

TEST_F(LatestTableTest, FieldsNeverGivenAreAbsent) {
  for (size_t field = 0; field < kFieldCount; ++field) EXPECT_EQ(Get(static_cast<Field>(field)), "null");
  ASSERT_EQ(Merge(TickOf().Bid("1.5")), MergeResult::kMerged);
  EXPECT_EQ(Get(Field::kBid), "1.5");
  for (size_t field = 1; field < kFieldCount; ++field) EXPECT_EQ(Get(static_cast<Field>(field)), "null");
}

TEST_F(LatestTableTest, GivenFieldsReplaceAndOthersStay) {
  Merge(TickOf().Bid("1").Ask("2").Set(Field::kBidSize, "3").Set(Field::kAskSize, "4"));
  Merge(TickOf().Ask("2.25").Set(Field::kBidSize, "0"));
  EXPECT_EQ(Get(Field::kBid), "1");
  EXPECT_EQ(Get(Field::kAsk), "2.25");
  EXPECT_EQ(Get(Field::kBidSize), "0");
  EXPECT_EQ(Get(Field::kAskSize), "4");
}

TEST_F(LatestTableTest, EveryFieldKeepsMantissaAndExponent) {
  TickOf tick;
  for (size_t field = 0; field < kFieldCount; ++field) {
    const std::string sign = field % 2 == 0 ? "-" : "";
    tick.Set(static_cast<Field>(field), sign + "1." + std::string(field, '0') + "7");
  }
  Merge(tick);
  const Quote quote = Load();
  for (size_t field = 0; field < kFieldCount; ++field) {
    EXPECT_EQ(quote.value[field].mantissa, tick.tick().value[field].mantissa) << field;
    EXPECT_EQ(quote.value[field].exponent, tick.tick().value[field].exponent) << field;
  }
}

TEST_F(LatestTableTest, NullClears) {
  for (size_t field = 0; field < kFieldCount; ++field) {
    Merge(TickOf().Set(static_cast<Field>(field), "5"));
    EXPECT_EQ(Get(static_cast<Field>(field)), "5");
    EXPECT_EQ(Merge(TickOf().Set(static_cast<Field>(field), "null")), MergeResult::kMerged);
    EXPECT_EQ(Get(static_cast<Field>(field)), "null");
  }
}

TEST_F(LatestTableTest, ATickWithoutFieldIsEmpty) {
  Merge(TickOf().Bid("1"));
  EXPECT_EQ(Merge(TickOf().QuoteMs(9'000).TradeMs(9'000)), MergeResult::kEmpty);
  EXPECT_EQ(Load().quote_time, VenueNs{});
  EXPECT_EQ(Load().sequence, kBase + 1);
}

TEST_F(LatestTableTest, GroupsHaveTheirOwnVenueTime) {
  Merge(TickOf().Bid("1").QuoteMs(2'000));
  EXPECT_EQ(Merge(TickOf().Last("9").TradeMs(1'000)), MergeResult::kMerged) << "the quote's time is not the trade's";
  EXPECT_EQ(Get(Field::kLast), "9");
  EXPECT_EQ(Load().quote_time, VenueNsFromMs(2'000));
  EXPECT_EQ(Load().trade_time, VenueNsFromMs(1'000));
}

TEST_F(LatestTableTest, TheSameVenueTimeIsAccepted) {
  Merge(TickOf().Bid("1").QuoteNs(2'000'000'001).Last("3").TradeNs(2'000'000'001));
  EXPECT_EQ(Merge(TickOf().Bid("2").QuoteNs(2'000'000'001)), MergeResult::kMerged);
  EXPECT_EQ(Merge(TickOf().Last("4").TradeNs(2'000'000'001)), MergeResult::kMerged);
  EXPECT_EQ(Get(Field::kBid), "2");
  EXPECT_EQ(Get(Field::kLast), "4");
}

TEST_F(LatestTableTest, AnOlderGroupIsNotMergedWhileTheOtherIs) {
  Merge(TickOf().Bid("1").QuoteMs(2'000).Last("3").TradeMs(2'000));
  EXPECT_EQ(Merge(TickOf().Bid("8").QuoteMs(1'999).Last("4").TradeMs(2'001)), MergeResult::kMerged);
  EXPECT_EQ(Get(Field::kBid), "1");
  EXPECT_EQ(Get(Field::kLast), "4");
  EXPECT_EQ(Merge(TickOf().Bid("7").QuoteMs(2'002).Last("9").High("99").LastSize("5").TradeMs(1'000)),
            MergeResult::kMerged);
  EXPECT_EQ(Get(Field::kBid), "7");
  EXPECT_EQ(Get(Field::kLast), "4");
  EXPECT_EQ(Get(Field::kHigh), "4");
  EXPECT_EQ(Get(Field::kVolume), "null");
  Merge(TickOf().Last("10").TradeMs(3'000));
  EXPECT_EQ(Get(Field::kHigh), "10") << "an explicit High in a group that was not merged was not given";
}

TEST_F(LatestTableTest, AWhollyOlderTickIsStaleAndChangesNothing) {
  Merge(TickOf().Bid("1").QuoteMs(2'000).Last("3").LastSize("1").TradeMs(2'000));
  const Quote before = Load();
  context_.received = MonoNs{2'000};
  context_.source = MakeSourceId(8, 1);
  EXPECT_EQ(Merge(TickOf().Bid("8").QuoteNs(1'999'999'999)), MergeResult::kStale);
  EXPECT_EQ(Merge(TickOf().Last("8").LastSize("1").TradeMs(1'999)), MergeResult::kStale);
  EXPECT_EQ(Merge(TickOf().Bid("8").QuoteMs(1).Last("8").TradeMs(1'999)), MergeResult::kStale);
  EXPECT_EQ(Merge(TickOf().Bid("null").QuoteMs(1)), MergeResult::kStale);
  EXPECT_EQ(Merge(TickOf().Bid("8").QuoteMs(1).TradeMs(3'000)), MergeResult::kStale) << "no field came with that time";
  const Quote after = Load();
  for (size_t field = 0; field < kFieldCount; ++field) {
    EXPECT_EQ(Show(before, static_cast<Field>(field)), Show(after, static_cast<Field>(field)));
  }
  EXPECT_EQ(after.sequence, before.sequence);
  EXPECT_EQ(after.received, before.received);
  EXPECT_EQ(after.timestamp, before.timestamp);
  EXPECT_EQ(after.source, before.source);
  EXPECT_EQ(after.quote_time, before.quote_time);
  EXPECT_EQ(after.trade_time, before.trade_time);
}

TEST_F(LatestTableTest, AStatusIsMergedWithoutAnyFieldAndBesideAnOlderGroup) {
  Merge(TickOf().Bid("1").QuoteMs(2'000));
  EXPECT_EQ(Load().status, Status::kOk);
  EXPECT_EQ(Merge(TickOf().Bid("8").QuoteMs(1'000).Halted()), MergeResult::kMerged);
  EXPECT_EQ(Load().status, Status::kHalted);
  EXPECT_EQ(Get(Field::kBid), "1");
  Merge(TickOf().Bid("2"));
  EXPECT_EQ(Load().status, Status::kHalted) << "a tick without a status leaves it";
}

TEST_F(LatestTableTest, ATickWithoutVenueTimeIsTakenAsItComesAndLeavesTheVenueTime) {
  Merge(TickOf().Bid("1").QuoteMs(2'000).Last("3").TradeMs(2'000));
  EXPECT_EQ(Merge(TickOf().Bid("2").Last("4")), MergeResult::kMerged);
  EXPECT_EQ(Get(Field::kBid), "2");
  EXPECT_EQ(Get(Field::kLast), "4");
  EXPECT_EQ(Load().quote_time, VenueNsFromMs(2'000));
  EXPECT_EQ(Load().trade_time, VenueNsFromMs(2'000));
  EXPECT_EQ(Merge(TickOf().Bid("3").QuoteMs(1'999)), MergeResult::kStale);
}

TEST_F(LatestTableTest, ATradeRaisesHighLowersLowAndAddsToVolume) {
  Merge(TickOf().Last("10").LastSize("2"));
  EXPECT_EQ(Get(Field::kHigh), "10");
  EXPECT_EQ(Get(Field::kLow), "10");
  EXPECT_EQ(Get(Field::kVolume), "2");
  Merge(TickOf().Last("12").LastSize("3"));
  Merge(TickOf().Last("-1").LastSize("4"));
  Merge(TickOf().Last("11"));
  EXPECT_EQ(Get(Field::kHigh), "12");
  EXPECT_EQ(Get(Field::kLow), "-1");
  EXPECT_EQ(Get(Field::kVolume), "9");
  EXPECT_EQ(Get(Field::kLast), "11");
  EXPECT_EQ(Get(Field::kLastSize), "4");
}

TEST_F(LatestTableTest, ATradeWithAQuoteFeedsTheSummaryToo) {
  Merge(TickOf().Bid("9").Ask("11").Last("10").LastSize("2"));
  EXPECT_EQ(Get(Field::kHigh), "10");
  EXPECT_EQ(Get(Field::kVolume), "2");
}

TEST_F(LatestTableTest, AQuoteFeedsNoSummary) {
  Merge(TickOf().Bid("9").Ask("11").Set(Field::kBidSize, "5"));
  EXPECT_EQ(Get(Field::kHigh), "null");
  EXPECT_EQ(Get(Field::kLow), "null");
  EXPECT_EQ(Get(Field::kVolume), "null");
}

TEST_F(LatestTableTest, LastSizeWithoutLastAddsNothing) {
  Merge(TickOf().Last("10").LastSize("2"));
  Merge(TickOf().LastSize("7"));
  Merge(TickOf().Last("null").LastSize("7"));
  EXPECT_EQ(Get(Field::kVolume), "2");
  EXPECT_EQ(Get(Field::kHigh), "10");
}

TEST_F(LatestTableTest, AnExplicitHighIsTheFeedsFromThenOnAlsoAfterReset) {
  Merge(TickOf().Last("10").High("11"));
  EXPECT_EQ(Get(Field::kHigh), "11");
  Merge(TickOf().Last("20"));
  EXPECT_EQ(Get(Field::kHigh), "11");
  EXPECT_EQ(Get(Field::kLow), "10") << "Low was not given";
  Merge(TickOf().Last("5"));
  EXPECT_EQ(Get(Field::kLow), "5");
  EXPECT_TRUE(table_.Reset(kId));
  Merge(TickOf().Last("30"));
  EXPECT_EQ(Get(Field::kHigh), "null");
  EXPECT_EQ(Get(Field::kLow), "30");
}

TEST_F(LatestTableTest, AnExplicitLowIsTheFeedsFromThenOnAlsoAfterReset) {
  Merge(TickOf().Last("10").Low("9"));
  Merge(TickOf().Last("1"));
  EXPECT_EQ(Get(Field::kLow), "9");
  EXPECT_EQ(Get(Field::kHigh), "10");
  EXPECT_TRUE(table_.Reset(kId));
  Merge(TickOf().Last("1"));
  EXPECT_EQ(Get(Field::kLow), "null");
  EXPECT_EQ(Get(Field::kHigh), "1");
}

TEST_F(LatestTableTest, AnExplicitVolumeIsTheFeedsFromThenOnAlsoAfterReset) {
  Merge(TickOf().Last("10").LastSize("2"));
  Merge(TickOf().Last("10").LastSize("2").Volume("100"));
  EXPECT_EQ(Get(Field::kVolume), "100") << "the size of the same tick is not added";
  Merge(TickOf().Last("10").LastSize("2"));
  EXPECT_EQ(Get(Field::kVolume), "100");
  EXPECT_TRUE(table_.Reset(kId));
  Merge(TickOf().Last("10").LastSize("2"));
  EXPECT_EQ(Get(Field::kVolume), "null");
  Merge(TickOf().Volume("7"));
  EXPECT_EQ(Get(Field::kVolume), "7");
}

TEST_F(LatestTableTest, AnExplicitNullIsGivenToo) {
  Merge(TickOf().Last("10").LastSize("1").High("null").Low("null").Volume("null"));
  Merge(TickOf().Last("20").LastSize("1"));
  Merge(TickOf().Last("5").LastSize("1"));
  EXPECT_EQ(Get(Field::kHigh), "null");
  EXPECT_EQ(Get(Field::kLow), "null");
  EXPECT_EQ(Get(Field::kVolume), "null");
}

TEST_F(LatestTableTest, VolumeSumsAtTheFinestExponent) {
  Merge(TickOf().Last("1").LastSize("2"));
  Merge(TickOf().Last("1").LastSize("0.00000000001"));
  Merge(TickOf().Last("1").LastSize("0.5"));
  EXPECT_EQ(Get(Field::kVolume), "2.50000000001");
  EXPECT_EQ(Load().Get(Field::kVolume).exponent, -11);
}

TEST_F(LatestTableTest, PastEighteenDigitsVolumeIsNullUntilReset) {
  Merge(TickOf().Last("1").LastSize("999999999999999998"));
  Merge(TickOf().Last("1").LastSize("1"));
  EXPECT_FALSE(overflow_);
  EXPECT_EQ(Get(Field::kVolume), "999999999999999999");
  EXPECT_EQ(Merge(TickOf().Last("2").LastSize("1")), MergeResult::kMerged);
  EXPECT_TRUE(overflow_);
  EXPECT_EQ(Get(Field::kVolume), "null");
  EXPECT_EQ(Get(Field::kLast), "2");
  EXPECT_EQ(Get(Field::kHigh), "2");
  Merge(TickOf().Last("2").LastSize("1"));
  EXPECT_FALSE(overflow_) << "counted once";
  EXPECT_EQ(Get(Field::kVolume), "null") << "a sum of a part would be a lie";
  EXPECT_TRUE(table_.Reset(kId));
  Merge(TickOf().Last("2").LastSize("3"));
  EXPECT_EQ(Get(Field::kVolume), "3");
}

TEST_F(LatestTableTest, PastEighteenDigitsVolumeIsNullUntilGiven) {
  Merge(TickOf().Last("1").LastSize("1000000000000"));
  Merge(TickOf().Last("1").LastSize("0.0000001"));
  EXPECT_TRUE(overflow_) << "at the finest exponent";
  Merge(TickOf().Last("1").LastSize("1").Volume("6"));
  EXPECT_FALSE(overflow_);
  EXPECT_EQ(Get(Field::kVolume), "6");
}

TEST_F(LatestTableTest, TheOverflowFlagMayBeLeftOut) {
  for (int i = 0; i < 2; ++i) {
    table_.Merge(kId, TickOf().Last("1").LastSize("999999999999999999").tick(), context_);
  }
  EXPECT_EQ(Get(Field::kVolume), "null");
}

TEST_F(LatestTableTest, ResetClearsTheSummaryAndVenueTimesAndKeepsTheRest) {
  context_.received = MonoNs{77};
  Merge(TickOf().Bid("1").Ask("2").QuoteMs(2'000).Last("3").LastSize("4").TradeMs(3'000));
  EXPECT_TRUE(table_.Reset(kId));
  const Quote quote = Load();
  EXPECT_EQ(Show(quote, Field::kVolume), "null");
  EXPECT_EQ(Show(quote, Field::kHigh), "null");
  EXPECT_EQ(Show(quote, Field::kLow), "null");
  EXPECT_EQ(Show(quote, Field::kBid), "1");
  EXPECT_EQ(Show(quote, Field::kAsk), "2");
  EXPECT_EQ(Show(quote, Field::kLast), "3");
  EXPECT_EQ(Show(quote, Field::kLastSize), "4");
  EXPECT_EQ(quote.quote_time, VenueNs{});
  EXPECT_EQ(quote.trade_time, VenueNs{});
  EXPECT_EQ(quote.timestamp, UnixMs{3'000});
  EXPECT_EQ(quote.sequence, kBase + 1);
  EXPECT_EQ(quote.received, MonoNs{77});
  EXPECT_EQ(quote.source, kSource);
  EXPECT_EQ(Merge(TickOf().Bid("5").QuoteMs(1'000).Last("6").TradeMs(1'000)), MergeResult::kMerged)
      << "nothing is older than a reset";
  EXPECT_EQ(Get(Field::kBid), "5");
  EXPECT_EQ(Get(Field::kHigh), "6");
  EXPECT_EQ(Load().timestamp, UnixMs{3'000});
}

TEST_F(LatestTableTest, ResetOfASlotThatHoldsNothingIsNothing) {
  EXPECT_FALSE(table_.Reset(kId));
  EXPECT_EQ(Load().sequence, kBase);
}

TEST_F(LatestTableTest, TimestampIsTheNewerGroupsFlooredToMs) {
  Merge(TickOf().Bid("1").QuoteNs(5'999'999'999));
  EXPECT_EQ(Load().timestamp, UnixMs{5'999});
  Merge(TickOf().Last("1").TradeMs(4'000));
  EXPECT_EQ(Load().timestamp, UnixMs{5'999});
  Merge(TickOf().Bid("1").QuoteMs(6'000).Last("1").TradeMs(7'000));
  EXPECT_EQ(Load().timestamp, UnixMs{7'000});
  Merge(TickOf().Bid("1").QuoteMs(9'999'999'999'999));
  EXPECT_EQ(Load().timestamp, UnixMs{9'999'999'999'999}) << "the latest that there is";
}

TEST_F(LatestTableTest, AGroupThatIsNotMergedGivesNoTimestamp) {
  Merge(TickOf().Bid("1").QuoteMs(1'000));
  Merge(TickOf().Bid("1").QuoteMs(1'001).TradeMs(5'000));
  EXPECT_EQ(Load().timestamp, UnixMs{1'001});
}

TEST_F(LatestTableTest, WithoutAVenueTimeTimestampIsTheReceiveClock) {
  context_.clock = UnixMs{};
  Merge(TickOf().Bid("1"));
  EXPECT_EQ(Load().timestamp, UnixMs{}) << "null: no time is known yet";
  context_.clock = UnixMs{800};
  Merge(TickOf().Last("1"));
  EXPECT_EQ(Load().timestamp, UnixMs{800});
}

TEST_F(LatestTableTest, TimestampNeverDecreases) {
  Merge(TickOf().Bid("1").QuoteMs(9'000));
  context_.clock = UnixMs{8'000};
  Merge(TickOf().Bid("2"));
  EXPECT_EQ(Load().timestamp, UnixMs{9'000});
  context_.clock = UnixMs{9'001};
  Merge(TickOf().Last("2"));
  EXPECT_EQ(Load().timestamp, UnixMs{9'001});
}

TEST_F(LatestTableTest, EqualValuesAreAMergeToo) {
  Merge(TickOf().Bid("1").QuoteMs(1'000));
  context_.received = MonoNs{2'000};
  context_.source = MakeSourceId(9, 4);
  EXPECT_EQ(Merge(TickOf().Bid("1").QuoteMs(1'000)), MergeResult::kMerged);
  EXPECT_EQ(Load().sequence, kBase + 2);
  EXPECT_EQ(Load().received, MonoNs{2'000});
  EXPECT_EQ(Load().source, MakeSourceId(9, 4));
}

TEST_F(LatestTableTest, SequenceBeginsAtItsBase) {
  EXPECT_EQ(table_.sequence_base(), kBase);
  for (uint32_t id = 0; id < table_.capacity(); ++id) {
    Quote quote;
    ASSERT_TRUE(table_.TryLoad(SymbolId{id}, &quote));
    EXPECT_EQ(quote.sequence, kBase);
    EXPECT_EQ(table_.Sequence(SymbolId{id}), kBase);
  }
  Merge(TickOf().Bid("1"));
  EXPECT_EQ(table_.Sequence(kId), kBase + 1);
  EXPECT_EQ(table_.Source(kId), kSource);
  EXPECT_EQ(table_.Sequence(SymbolId{2}), kBase) << "its neighbours are untouched";
  EXPECT_EQ(table_.Sequence(SymbolId{4}), kBase);
}

TEST(LatestTable, ASlotHasOneOwner) {
  LatestTable table({.capacity = 2, .sequence_base = 1});
  constexpr SymbolId id{0};
  EXPECT_EQ(table.Owner(id), kNoOwner);
  EXPECT_TRUE(table.Claim(id, OwnerId{4}));
  EXPECT_TRUE(table.Claim(id, OwnerId{4})) << "again";
  EXPECT_FALSE(table.Claim(id, OwnerId{5}));
  EXPECT_EQ(table.Owner(id), OwnerId{4});
  EXPECT_TRUE(table.Claim(SymbolId{1}, OwnerId{5})) << "another slot";
  table.Release(id);
  EXPECT_EQ(table.Owner(id), kNoOwner);
  EXPECT_TRUE(table.Claim(id, OwnerId{5}));
  EXPECT_FALSE(table.Claim(id, OwnerId{4}));
}

TEST(LatestTable, OfManyThatClaimAtOnceOneGetsTheSlot) {
  constexpr uint32_t kSlots = 20'000;
  LatestTable table({.capacity = kSlots, .sequence_base = 1});
  std::atomic<uint32_t> ready{0};
  std::array<std::vector<char>, 2> got;
  const auto claim = [&](uint32_t me) {
    got[me].resize(kSlots);
    ready.fetch_add(1);
    while (ready.load() != 2) std::this_thread::yield();
    for (uint32_t id = 0; id < kSlots; ++id) got[me][id] = table.Claim(SymbolId{id}, OwnerId{me + 1});
  };
  std::thread other(claim, 1);
  claim(0);
  other.join();
  for (uint32_t id = 0; id < kSlots; ++id) ASSERT_EQ(got[0][id] + got[1][id], 1) << id;
}

// ---- random ticks against a model ----

// A slot as the design words it. Numbers are integers of 10^-6 (the random ones are no finer), so that it shares
// nothing with Decimal; the exponent of Volume is kept beside it, since the limit of 18 digits is counted at the finest
// seen.
struct Model {
  using Number = __int128;
  static constexpr int kScale = 6;

  static Number Scaled(Decimal value) {
    Number result = value.mantissa;
    for (int i = -kScale; i < value.exponent; ++i) result *= 10;
    return result;
  }

  std::array<std::optional<Number>, kFieldCount> value;
  std::array<bool, kFieldCount> given{};
  int volume_exponent = 0;
  bool volume_lost = false;
  std::array<uint64_t, 2> time{};  // quote, trade
  int64_t timestamp = 0;
  uint64_t sequence = 0;
  int64_t received = 0;
  Status status = Status::kOk;
  int overflows = 0;

  static bool IsQuote(size_t field) { return field < 4; }

  MergeResult Merge(const Tick& tick, const TickContext& context) {
    std::array<bool, 2> has{};
    for (size_t field = 0; field < kFieldCount; ++field) {
      if (((tick.given | tick.cleared) >> field & 1) != 0) has[IsQuote(field) ? 0 : 1] = true;
    }
    if (!has[0] && !has[1] && !tick.has_status) return MergeResult::kEmpty;
    const std::array<uint64_t, 2> at = {tick.quote_time.value, tick.trade_time.value};
    bool any = tick.has_status;
    for (size_t group = 0; group < 2; ++group) {
      if (!has[group] || (at[group] != 0 && at[group] < time[group])) continue;
      any = true;
      for (size_t field = 0; field < kFieldCount; ++field) {
        if (IsQuote(field) != (group == 0)) continue;
        if ((tick.given >> field & 1) != 0) value[field] = Scaled(tick.value[field]);
        if ((tick.cleared >> field & 1) != 0) value[field].reset();
        if (((tick.given | tick.cleared) >> field & 1) != 0) given[field] = true;
      }
      if (group == 1) Trade(tick);
      if (at[group] != 0) time[group] = at[group];
      timestamp =
          std::max(timestamp, at[group] != 0 ? static_cast<int64_t>(at[group] / 1'000'000) : context.clock.value);
    }
    if (!any) return MergeResult::kStale;
    if (tick.has_status) status = tick.status;
    ++sequence;
    received = context.received.value;
    return MergeResult::kMerged;
  }

  void Trade(const Tick& tick) {
    const auto has = [&](Field field) { return (tick.given & Bit(field)) != 0; };
    if (!has(Field::kLast)) return;
    const Number last = *value[Index(Field::kLast)];
    std::optional<Number>& high = value[Index(Field::kHigh)];
    std::optional<Number>& low = value[Index(Field::kLow)];
    std::optional<Number>& volume = value[Index(Field::kVolume)];
    if (!given[Index(Field::kHigh)]) high = std::max(high.value_or(last), last);
    if (!given[Index(Field::kLow)]) low = std::min(low.value_or(last), last);
    if (!has(Field::kLastSize) || given[Index(Field::kVolume)] || volume_lost) return;
    const int exponent = tick.value[Index(Field::kLastSize)].exponent;
    volume_exponent = volume ? std::min(volume_exponent, exponent) : exponent;
    volume = volume.value_or(0) + *value[Index(Field::kLastSize)];
    Number unit = 1;
    for (int i = -kScale; i < volume_exponent; ++i) unit *= 10;
    const Number digits = *volume / unit;
    if (digits > kMaxMantissa || digits < -kMaxMantissa) {
      volume.reset();
      volume_lost = true;
      ++overflows;
    }
  }

  bool Reset() {
    if (sequence == 0) return false;
    for (const Field field : {Field::kVolume, Field::kHigh, Field::kLow}) value[Index(field)].reset();
    volume_lost = false;
    time = {};
    return true;
  }
};

uint64_t Seed() {
  const char* const given = std::getenv("TICKBRIDGE_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "seed " << seed << "\n";
  return seed;
}

class RandomTicks {
 public:
  explicit RandomTicks(uint64_t seed) : random_(seed) {}

  uint64_t Below(uint64_t n) { return random_() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

  Decimal Number() {
    Decimal value;
    value.exponent = static_cast<int8_t>(static_cast<int>(Below(9)) - Model::kScale);  // -6…2
    const uint64_t range = OneIn(20) ? uint64_t{kMaxMantissa} + 1 : 1'000;
    value.mantissa = static_cast<int64_t>(Below(range));
    if (OneIn(8)) value.mantissa = -value.mantissa;
    return value;
  }

  // `explicit_one_in`: how rare an explicit summary field is.
  void Make(Tick* tick, uint64_t explicit_one_in, uint64_t now_ns) {
    tick->Reset();
    for (size_t i = 0; i < kFieldCount; ++i) {
      const auto field = static_cast<Field>(i);
      const bool summary = i >= Index(Field::kVolume);
      if (!OneIn(summary ? explicit_one_in : 3)) continue;
      if (OneIn(6)) {
        tick->Clear(field);
      } else {
        tick->Set(field, Number());
      }
    }
    if (OneIn(10)) {
      tick->has_status = true;
      tick->status = static_cast<Status>(Below(4));
    }
    const auto time = [&] { return OneIn(4) ? VenueNs{} : VenueNs{now_ns - 2'000'000 + Below(40) * 100'000}; };
    tick->quote_time = time();
    tick->trade_time = OneIn(2) ? tick->quote_time : time();
  }

 private:
  std::mt19937_64 random_;
};

TEST(LatestTable, AgreesWithAModelOnRandomTicks) {
  constexpr uint32_t kSymbols = 5;
  constexpr int kTicks = 400'000;
  RandomTicks random(Seed());
  auto table = std::make_unique<LatestTable>(LatestTable::Options{.capacity = kSymbols, .sequence_base = kBase});
  std::array<Model, kSymbols> models;
  std::array<int, 3> results{};
  int overflows = 0;
  int overflows_told = 0;
  Tick tick;
  uint64_t now_ns = 1'000'000'000;
  for (int i = 0; i < kTicks; ++i) {
    // A fresh table now and then: "given once" lasts, so an old symbol tests the summaries no longer.
    if (i % 2'000 == 0) {
      for (const Model& model : models) overflows += model.overflows;
      models = {};
      table = std::make_unique<LatestTable>(LatestTable::Options{.capacity = kSymbols, .sequence_base = kBase});
    }
    now_ns += random.Below(10) * 100'000;  // coarse, so that equal times are common, but finer than a ms
    const auto index = static_cast<uint32_t>(random.Below(kSymbols));
    const SymbolId id{index};
    if (random.OneIn(100)) {
      ASSERT_EQ(table->Reset(id), models[index].Reset()) << "tick " << i;
    } else {
      random.Make(&tick, index == 0 ? 8 : index == 1 ? 200 : 4'000, now_ns);
      const TickContext context{MonoNs{i + 1}, UnixMs{random.OneIn(5) ? 0 : static_cast<int64_t>(now_ns / 1'000'000)},
                                kSource};
      bool overflow = false;
      const int overflows_before = models[index].overflows;
      const MergeResult expected = models[index].Merge(tick, context);
      ASSERT_EQ(table->Merge(id, tick, context, &overflow), expected) << "tick " << i;
      ASSERT_EQ(overflow, models[index].overflows != overflows_before) << "tick " << i;
      overflows_told += overflow;
      ++results[static_cast<size_t>(expected)];
    }
    const Model& model = models[index];
    Quote quote;
    ASSERT_TRUE(table->TryLoad(id, &quote));
    for (size_t field = 0; field < kFieldCount; ++field) {
      ASSERT_EQ(quote.Has(static_cast<Field>(field)), model.value[field].has_value()) << "tick " << i << ", " << field;
      if (model.value[field]) {
        ASSERT_TRUE(Model::Scaled(quote.value[field]) == *model.value[field]) << "tick " << i << ", field " << field;
      }
    }
    ASSERT_EQ(quote.quote_time.value, model.time[0]) << "tick " << i;
    ASSERT_EQ(quote.trade_time.value, model.time[1]) << "tick " << i;
    ASSERT_EQ(quote.timestamp.value, model.timestamp) << "tick " << i;
    ASSERT_EQ(quote.sequence, kBase + model.sequence) << "tick " << i;
    ASSERT_EQ(quote.received.value, model.received) << "tick " << i;
    ASSERT_EQ(quote.status, model.status) << "tick " << i;
  }
  for (const Model& model : models) overflows += model.overflows;
  EXPECT_EQ(overflows, overflows_told);
  // The random ticks meet every kind of outcome.
  EXPECT_GT(results[static_cast<size_t>(MergeResult::kMerged)], kTicks / 2);
  EXPECT_GT(results[static_cast<size_t>(MergeResult::kStale)], kTicks / 100);
  EXPECT_GT(results[static_cast<size_t>(MergeResult::kEmpty)], 100);
  EXPECT_GT(overflows, 100);
}

// ---- the seqlock ----

// A tick whose every field follows from n: mantissas, exponents, which fields are there, both venue times, and the
// context.
void MakeDerived(uint64_t n, Tick* tick, TickContext* context) {
  tick->Reset();
  for (size_t i = 0; i < kFieldCount; ++i) {
    const auto field = static_cast<Field>(i);
    if ((n >> i & 1) != 0) {
      tick->Clear(field);
    } else {
      tick->Set(field, {static_cast<int64_t>(n * 16 + i), static_cast<int8_t>(-static_cast<int>((n + i) % 19))});
    }
  }
  tick->has_status = true;
  tick->status = static_cast<Status>(n & 3);
  tick->quote_time = VenueNs{n * 1'000'000};
  tick->trade_time = VenueNs{n * 1'000'000 + 1};
  *context = TickContext{MonoNs{static_cast<int64_t>(n)}, UnixMs{1}, SourceId{static_cast<uint32_t>(n)}};
}

// What is inconsistent in a quote that came of MakeDerived; nullptr: nothing.
const char* Torn(const Quote& quote) {
  const uint64_t n = quote.sequence - kBase;
  Tick tick;
  TickContext context;
  MakeDerived(n, &tick, &context);
  if (quote.present != tick.given) return "present";
  for (size_t i = 0; i < kFieldCount; ++i) {
    if ((tick.given >> i & 1) == 0) continue;
    if (quote.value[i].mantissa != tick.value[i].mantissa) return "mantissa";
    if (quote.value[i].exponent != tick.value[i].exponent) return "exponent";
  }
  if (quote.status != tick.status) return "status";
  if (quote.source != context.source) return "source";
  if (quote.received != context.received) return "received";
  if (quote.timestamp.value != static_cast<int64_t>(n)) return "timestamp";
  if (quote.quote_time != tick.quote_time) return "quote_time";
  if (quote.trade_time != tick.trade_time) return "trade_time";
  return nullptr;
}

// Goal: no reader ever sees words of two ticks. Method: one writer merges ticks all of whose fields follow from one
// number, turning over a few symbols; two readers check each quote they get against that number, and that it never goes
// back. The writer stops by count, once every reader has seen enough, or at a bound that says that they are starved.
TEST(LatestTable, SeqlockRejectsTornRead) {
  constexpr uint32_t kSymbols = 3;
  constexpr uint64_t kRoundsMin = kSanitized ? 50'000 : 1'000'000;
  constexpr uint64_t kRoundsMax = 200 * kRoundsMin;
  constexpr uint64_t kLoadsMin = kSanitized ? 20'000 : 500'000;
  constexpr uint64_t kChangesMin = 1'000;  // loads that found another value than the one before: both ran at once
  constexpr uint64_t kOverlapsMin = 10;
  LatestTable table({.capacity = kSymbols, .sequence_base = kBase});
  struct alignas(64) Reader {
    std::atomic<uint64_t> loads{0};  // these three are counts only: relaxed
    std::atomic<uint64_t> changes{0};
    std::atomic<uint64_t> overlaps{0};
    const char* torn = nullptr;
    bool went_back = false;
    std::array<uint64_t, kSymbols> last{};
  };
  std::array<Reader, 2> readers;
  std::atomic<bool> done{false};

  const auto read = [&](Reader* me) {
    Quote quote;
    uint64_t loads = 0;
    uint64_t changes = 0;
    uint64_t overlaps = 0;
    bool last_round = false;
    while (!last_round) {
      last_round = done.load(std::memory_order_acquire);
      for (uint32_t id = 0; id < kSymbols; ++id) {
        if (!table.TryLoad(SymbolId{id}, &quote)) {
          me->overlaps.store(++overlaps, std::memory_order_relaxed);
          continue;
        }
        if (quote.sequence == kBase) continue;
        const uint64_t n = quote.sequence - kBase;
        if (const char* const what = Torn(quote)) me->torn = what;
        me->went_back |= n < me->last[id];
        if (n != me->last[id]) me->changes.store(++changes, std::memory_order_relaxed);
        me->last[id] = n;
        me->loads.store(++loads, std::memory_order_relaxed);
      }
    }
  };
  std::vector<std::thread> threads;
  for (Reader& reader : readers) threads.emplace_back(read, &reader);

  Tick tick;
  TickContext context;
  uint64_t rounds = 0;
  bool enough = false;
  while (!enough && rounds < kRoundsMax) {
    ++rounds;
    MakeDerived(rounds, &tick, &context);
    for (uint32_t id = 0; id < kSymbols; ++id) {
      ASSERT_EQ(table.Merge(SymbolId{id}, tick, context), MergeResult::kMerged);
    }
    if (rounds % 1'024 == 0) {
      enough = rounds >= kRoundsMin && std::all_of(readers.begin(), readers.end(), [](const Reader& reader) {
                 return reader.loads.load(std::memory_order_relaxed) >= kLoadsMin &&
                        reader.changes.load(std::memory_order_relaxed) >= kChangesMin &&
                        reader.overlaps.load(std::memory_order_relaxed) >= kOverlapsMin;
               });
    }
  }
  done.store(true, std::memory_order_release);
  for (std::thread& thread : threads) thread.join();
  for (const Reader& reader : readers) {
    EXPECT_EQ(reader.torn, nullptr) << "torn: " << reader.torn;
    EXPECT_FALSE(reader.went_back);
    EXPECT_TRUE(enough) << "starved for " << rounds << " rounds: " << reader.loads.load() << " loads, "
                        << reader.changes.load() << " changes, " << reader.overlaps.load() << " overlaps";
    for (uint32_t id = 0; id < kSymbols; ++id) EXPECT_EQ(reader.last[id], rounds) << "the last value arrives";
  }
}

}  // namespace
}  // namespace tickbridge
