// SPDX-License-Identifier: Apache-2.0
// Against the plainest model there is: a list of ticks, each looked at one by one at every acknowledgement.
#include "bench/coverage.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace tickbridge {
namespace {

struct ModelTick {
  uint32_t symbol;
  uint64_t number;
  MonoNs due;
  bool covered = false;
};

// Random sends, and covers up to random numbers, of which some repeat or go back, as answers to resent writes do.
void Compare(uint64_t seed, uint32_t waiting_max, bool exact) {
  SCOPED_TRACE(seed);
  constexpr uint32_t kSymbols = 7;
  std::mt19937_64 random(seed);
  Coverage coverage(kSymbols, waiting_max);
  std::vector<ModelTick> model;
  std::vector<uint64_t> sent(kSymbols);
  uint64_t covered = 0;
  int64_t now = 1;
  for (int step = 0; step < 20'000; ++step) {
    const auto symbol = static_cast<uint32_t>(random() % kSymbols);
    if (random() % 4 != 0) {
      now += static_cast<int64_t>(random() % 5);
      coverage.Send(symbol, MonoNs{now});
      model.push_back({symbol, ++sent[symbol], MonoNs{now}});
      continue;
    }
    const uint64_t number = sent[symbol] - random() % (sent[symbol] + 1) % 4;
    std::vector<MonoNs> expected;
    for (ModelTick& tick : model) {
      if (tick.symbol != symbol || tick.number > number || tick.covered) continue;
      tick.covered = true;
      expected.push_back(tick.due);
    }
    std::vector<MonoNs> got;
    coverage.Cover(symbol, number, [&](MonoNs due, uint32_t ticks) { got.insert(got.end(), ticks, due); });
    ASSERT_EQ(got.size(), expected.size());
    covered += got.size();
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_LE(got[i], expected[i]) << "told too short";
      if (exact) {
        ASSERT_EQ(got[i], expected[i]);
      }
    }
    ASSERT_EQ(coverage.waiting(), model.size() - covered);
  }
  EXPECT_EQ(coverage.coarse() == 0, exact);
  for (uint32_t symbol = 0; symbol < kSymbols; ++symbol) {
    coverage.Cover(symbol, sent[symbol], [&](MonoNs, uint32_t ticks) { covered += ticks; });
  }
  EXPECT_EQ(covered, model.size());
  EXPECT_EQ(coverage.waiting(), 0U);
}

TEST(Coverage, HandsEachTickToTheFirstWriteThatCoversIt) {
  for (uint64_t seed = 1; seed <= 5; ++seed) Compare(seed, 20'000, true);
}

TEST(Coverage, CountsEachTickOnceWhenItsMemoryIsFull) {
  for (uint64_t seed = 1; seed <= 5; ++seed) Compare(seed, 10, false);
}

TEST(Coverage, EverySymbolHasAPlaceWhateverOthersTake) {
  Coverage coverage(3, 4);
  for (int i = 0; i < 100; ++i) coverage.Send(0, MonoNs{100 + i});
  coverage.Send(1, MonoNs{300});
  coverage.Send(2, MonoNs{400});
  std::vector<MonoNs> got;
  for (const uint32_t symbol : {1U, 2U}) {
    coverage.Cover(symbol, 1, [&](MonoNs due, uint32_t ticks) { got.insert(got.end(), ticks, due); });
  }
  EXPECT_EQ(got, (std::vector<MonoNs>{MonoNs{300}, MonoNs{400}}));
  uint64_t first = 0;
  coverage.Cover(0, 60, [&](MonoNs, uint32_t ticks) { first += ticks; });
  EXPECT_EQ(first, 60U);
}

}  // namespace
}  // namespace tickbridge
