// SPDX-License-Identifier: Apache-2.0
//
// The histogram against a sorted vector of the same samples, its text form against its own summary, and a reader beside
// the writer.

#include "core/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>
#include <new>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace tickbridge {
namespace {

TEST(HistogramBuckets, CoverTheRangeWithoutGapAndWithinTheError) {
  for (size_t bucket = 0; bucket < Histogram::kBuckets; ++bucket) {
    const int64_t lowest = Histogram::LowestOf(bucket);
    const int64_t highest = Histogram::HighestOf(bucket);
    ASSERT_LE(lowest, highest);
    ASSERT_EQ(Histogram::BucketOf(lowest), bucket);
    ASSERT_EQ(Histogram::BucketOf(highest), bucket);
    ASSERT_LE((highest - lowest) * 128, lowest) << bucket;
    if (bucket > 0) {
      ASSERT_EQ(Histogram::HighestOf(bucket - 1) + 1, lowest);
    }
  }
  EXPECT_GT(Histogram::kTrackableMax, int64_t{3'600'000'000'000});
}

TEST(Histogram, EmptyIsAllZero) {
  const auto histogram = std::make_unique<Histogram>();
  const HistogramSummary summary = Summarize(*histogram);
  EXPECT_EQ(summary.count, 0U);
  EXPECT_EQ(summary.p50, 0);
  EXPECT_EQ(summary.max, 0);
  EXPECT_EQ(ValueAtPercentile(*histogram, 99.9), 0);
  EXPECT_NE(PercentileText(*histogram, 1.0).find("Total count    =            0]"), std::string::npos);
}

TEST(Histogram, ClampsNegativeAndKeepsTheExactMaximum) {
  const auto histogram = std::make_unique<Histogram>();
  histogram->Record(-5);
  EXPECT_EQ(histogram->CountAt(0), 1U);
  histogram->Record(1'000'003);
  EXPECT_EQ(Summarize(*histogram).max, 1'000'003);
  EXPECT_EQ(ValueAtPercentile(*histogram, 100.0), 1'000'003);
  const int64_t beyond = Histogram::kTrackableMax * 4;
  histogram->Record(beyond);
  EXPECT_EQ(Summarize(*histogram).max, beyond);
  EXPECT_EQ(ValueAtPercentile(*histogram, 100.0), beyond);
  EXPECT_EQ(Summarize(*histogram).count, 3U);
  histogram->RecordN(beyond * 2, 0);
  EXPECT_EQ(Summarize(*histogram).max, beyond);
  histogram->Reset();
  EXPECT_EQ(Summarize(*histogram).count, 0U);
  EXPECT_EQ(Summarize(*histogram).max, 0);
}

TEST(Histogram, PercentilesFollowTheSortedSamples) {
  const uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  for (int round = 0; round < 30; ++round) {
    const auto first = std::make_unique<Histogram>();
    const auto second = std::make_unique<Histogram>();
    std::vector<int64_t> samples;
    std::lognormal_distribution<double> nanoseconds(8, 2);
    const size_t count = 1 + random() % 3000;
    for (size_t i = 0; i < count; ++i) {
      const auto value = static_cast<int64_t>(nanoseconds(random));
      const uint64_t times = 1 + random() % 3;
      (i % 2 == 0 ? *first : *second).RecordN(value, times);
      samples.insert(samples.end(), times, value);
    }
    std::sort(samples.begin(), samples.end());
    const std::vector<const Histogram*> both = {first.get(), second.get()};
    const HistogramSummary summary = Summarize(both);
    ASSERT_EQ(summary.count, samples.size());
    ASSERT_EQ(summary.max, samples.back());
    const auto check = [&](int64_t measured, uint64_t per_mille) {
      const size_t rank = std::max<size_t>(1, (samples.size() * per_mille + 999) / 1000);
      const int64_t exact = samples[rank - 1];
      ASSERT_GE(measured, exact) << per_mille;
      ASSERT_LE(measured - exact, exact / 128 + 1) << per_mille;
    };
    check(summary.p50, 500);
    check(summary.p90, 900);
    check(summary.p99, 990);
    check(summary.p999, 999);
    check(ValueAtPercentile(both, 0.0), 0);
    check(ValueAtPercentile(both, 25.0), 250);
    check(ValueAtPercentile(both, 100.0), 1000);
  }
}

TEST(Histogram, TakesExactRanksOfRoundCounts) {
  const auto histogram = std::make_unique<Histogram>();
  for (int64_t value = 1; value <= 100; ++value) {
    histogram->RecordN(value, 10);
  }
  EXPECT_EQ(ValueAtPercentile(*histogram, 50.0), 50);
  EXPECT_EQ(ValueAtPercentile(*histogram, 99.0), 99);
  EXPECT_EQ(ValueAtPercentile(*histogram, 99.9), 100);
  EXPECT_EQ(ValueAtPercentile(*histogram, 99.00001), 100);

  // In binary floating point 99.9 × 671,427,000 / 100 is a little more than the whole rank that it stands for.
  histogram->Reset();
  histogram->RecordN(5, 670'755'573);
  histogram->RecordN(200, 671'427);
  EXPECT_EQ(ValueAtPercentile(*histogram, 99.9), 5);
}

TEST(PercentileText, HasHdrHistogramsColumnsAndFooter) {
  const auto histogram = std::make_unique<Histogram>();
  for (int64_t value = 1; value <= 10'000; ++value) {
    histogram->Record(value * 1000);
  }
  std::istringstream lines(PercentileText(*histogram, 1000.0));
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "       Value     Percentile TotalCount 1/(1-Percentile)");
  std::getline(lines, line);
  EXPECT_EQ(line, "");
  double percentile_before = -1;
  double value_before = 0;
  unsigned long long count = 0;
  int rows = 0;
  while (std::getline(lines, line) && line[0] != '#') {
    double value = 0;
    double percentile = 0;
    double inverse = 0;
    const int fields = std::sscanf(line.c_str(), "%lf %lf %llu %lf", &value, &percentile, &count, &inverse);
    ASSERT_EQ(fields, percentile == 1.0 ? 3 : 4) << line;
    ASSERT_GT(percentile, percentile_before);
    ASSERT_GE(value, value_before);
    ASSERT_GE(static_cast<double>(count), percentile * 10'000 - 0.001) << line;
    // Uniform samples: the value follows from the percentile.
    ASSERT_NEAR(value, percentile * 10'000, percentile * 10'000 / 100 + 2) << line;
    if (fields == 4) {
      ASSERT_NEAR(inverse, 1 / (1 - percentile), 0.01 + inverse * 1e-6) << line;
    }
    percentile_before = percentile;
    value_before = value;
    ++rows;
  }
  EXPECT_EQ(percentile_before, 1.0);
  EXPECT_EQ(value_before, 10'000.0);
  EXPECT_EQ(count, 10'000U);
  EXPECT_GT(rows, 40);
  double mean = 0;
  double deviation = 0;
  ASSERT_EQ(std::sscanf(line.c_str(), "#[Mean    = %lf, StdDeviation   = %lf]", &mean, &deviation), 2) << line;
  EXPECT_NEAR(mean, 5000.5, 10);
  EXPECT_NEAR(deviation, 2886.75, 10);
  std::getline(lines, line);
  EXPECT_EQ(line, "#[Max     =    10000.000, Total count    =        10000]");
  std::getline(lines, line);
  EXPECT_EQ(line, "#[Buckets =           35, SubBuckets     =          256]");
  EXPECT_FALSE(std::getline(lines, line));
}

TEST(Histogram, LivesInZeroedMemory) {
  std::vector<uint64_t> memory(sizeof(Histogram) / sizeof(uint64_t));
  auto* const histogram = reinterpret_cast<Histogram*>(memory.data());
  histogram->Record(77);
  EXPECT_EQ(Summarize(*histogram).p50, 77);
}

// Goal: a reader beside the writer sees counts that only grow and percentiles of samples that were recorded.
// Method: the writer records one of two values; the reader summarizes until the writer is done.
TEST(Histogram, IsReadableWhileWritten) {
  const auto histogram = std::make_unique<Histogram>();
  constexpr uint64_t kSamples = 300'000;
  std::thread writer([&] {
    for (uint64_t i = 0; i < kSamples; ++i) {
      histogram->Record(i % 2 == 0 ? 100 : 200);
    }
  });
  uint64_t before = 0;
  while (before < kSamples) {
    const HistogramSummary summary = Summarize(*histogram);
    ASSERT_GE(summary.count, before);
    if (summary.count > 0) {
      ASSERT_TRUE(summary.p50 == 100 || summary.p50 == 200);
      ASSERT_TRUE(summary.max == 100 || summary.max == 200);
    }
    before = summary.count;
  }
  writer.join();
  EXPECT_EQ(before, kSamples);
}

}  // namespace
}  // namespace tickbridge
