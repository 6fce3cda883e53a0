// SPDX-License-Identifier: Apache-2.0
//
// A latency histogram with log-linear buckets, as HdrHistogram has them: exact up to 256 ns, then 128 buckets to each
// power of two, so that a value is known to better than 1/128. Values are nanoseconds, 0…2^42 − 1 (73 minutes); longer
// ones count in the last bucket, while the maximum is exact at any size.
//
// Threading: one writer (Record, RecordN, Reset); any number of readers, also in other processes. A reader may see a
// sample in the counts before it sees it in the maximum, or miss the last few; it never sees one twice.
// Progress: every call is wait-free. Record is a few loads and stores: no read-modify-write, since there is one writer.
// Memory: 36 KiB of atomic words, no pointers, valid when all bytes are zero: it may lie in a mapped file.
// Memory order: all relaxed. Each word is a number of its own; nothing else is published through it.

#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

namespace tickbridge {

struct HistogramSummary {
  uint64_t count = 0;
  // Nanoseconds. Percentiles are the highest value of their bucket, but never more than max. All 0 while count is 0.
  int64_t p50 = 0;
  int64_t p90 = 0;
  int64_t p99 = 0;
  int64_t p999 = 0;
  int64_t max = 0;
};

class Histogram {
 public:
  static constexpr unsigned kSubBucketBits = 7;
  static constexpr unsigned kValueBits = 42;
  static constexpr size_t kSubBuckets = size_t{1} << kSubBucketBits;
  static constexpr size_t kBuckets = (kValueBits - kSubBucketBits + 1) * kSubBuckets;
  static constexpr int64_t kTrackableMax = (int64_t{1} << kValueBits) - 1;

  // A negative value (two clocks that disagree) counts as 0.
  void Record(int64_t ns) noexcept { RecordN(ns, 1); }

  // `n` samples of one value.
  void RecordN(int64_t ns, uint64_t n) noexcept {
    const int64_t value = ns < 0 ? 0 : ns;
    std::atomic<uint64_t>& cell = counts_[BucketOf(value < kTrackableMax ? value : kTrackableMax)];
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    if (value > max_.load(std::memory_order_relaxed) && n != 0) [[unlikely]] {
      max_.store(value, std::memory_order_relaxed);
    }
  }

  // By the writer only. A concurrent reader sees some mix of before and after.
  void Reset() noexcept;

  uint64_t CountAt(size_t bucket) const noexcept { return counts_[bucket].load(std::memory_order_relaxed); }
  int64_t max() const noexcept { return max_.load(std::memory_order_relaxed); }

  // The bucket of 0 ≤ ns ≤ kTrackableMax, and the least and the greatest value of a bucket.
  static constexpr size_t BucketOf(int64_t ns) noexcept {
    const auto value = static_cast<uint64_t>(ns);
    const unsigned width = static_cast<unsigned>(std::bit_width(value | kSubBuckets));
    const unsigned shift = width - (kSubBucketBits + 1);
    return shift * kSubBuckets + static_cast<size_t>(value >> shift);
  }
  static constexpr int64_t LowestOf(size_t bucket) noexcept {
    if (bucket < 2 * kSubBuckets) {
      return static_cast<int64_t>(bucket);
    }
    const size_t shift = bucket / kSubBuckets - 1;
    return static_cast<int64_t>((bucket - shift * kSubBuckets) << shift);
  }
  static constexpr int64_t HighestOf(size_t bucket) noexcept { return LowestOf(bucket + 1) - 1; }

 private:
  std::atomic<int64_t> max_{0};
  std::array<std::atomic<uint64_t>, kBuckets> counts_{};
};

static_assert(Histogram::BucketOf(Histogram::kTrackableMax) == Histogram::kBuckets - 1);
static_assert(Histogram::HighestOf(Histogram::kBuckets - 1) == Histogram::kTrackableMax);
static_assert(std::is_standard_layout_v<Histogram> && std::is_trivially_destructible_v<Histogram>);
static_assert(sizeof(Histogram) == 8 * (Histogram::kBuckets + 1));
static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free);

// Reading copies the counts first, so that what is returned belongs to one set of samples. Several histograms are
// read as if every sample had been recorded in one.
HistogramSummary Summarize(const Histogram& histogram);
HistogramSummary Summarize(std::span<const Histogram* const> histograms);

// The least value that at least `percentile` (0…100) of the samples do not exceed; 0 when there are none.
int64_t ValueAtPercentile(const Histogram& histogram, double percentile);
int64_t ValueAtPercentile(std::span<const Histogram* const> histograms, double percentile);

// The percentile distribution in HdrHistogram's text form (`.hgrm`), as its plotters read it: value, percentile,
// total count and 1/(1−percentile) in columns, five steps to each halving of the distance to 100 %, and a footer.
// Values are divided by `unit_ratio`: 1 prints nanoseconds, 1000 microseconds.
std::string PercentileText(const Histogram& histogram, double unit_ratio);
std::string PercentileText(std::span<const Histogram* const> histograms, double unit_ratio);

}  // namespace tickbridge
