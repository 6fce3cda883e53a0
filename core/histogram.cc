// SPDX-License-Identifier: Apache-2.0
//
// Reading histograms: percentiles, the summary and the text form. Cold path.

#include "core/histogram.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <vector>

namespace tickbridge {
namespace {

// One consistent set of counts: the writer may go on, but total and counts here belong together.
struct Snapshot {
  explicit Snapshot(std::span<const Histogram* const> histograms) : counts(Histogram::kBuckets) {
    size_t top = 0;
    for (const Histogram* const histogram : histograms) {
      for (size_t bucket = 0; bucket < Histogram::kBuckets; ++bucket) {
        const uint64_t count = histogram->CountAt(bucket);
        if (count != 0) {
          counts[bucket] += count;
          total += count;
          top = std::max(top, bucket);
        }
      }
      max = std::max(max, histogram->max());
    }
    if (total == 0) {
      max = 0;
    } else if (max < Histogram::LowestOf(top)) {
      max = Histogram::HighestOf(top);  // the newest sample's count is visible, its maximum not yet
    }
  }

  int64_t ValueOf(size_t bucket) const { return std::min(Histogram::HighestOf(bucket), max); }

  int64_t AtPercentile(double percentile) const {
    if (total == 0) {
      return 0;
    }
    // One step down, since the product may be rounded up past a whole rank: 99.9 % of 671,427,000 samples, for one.
    const double wanted = std::nextafter(std::clamp(percentile, 0.0, 100.0), -1.0);
    const double rank = std::ceil(wanted * static_cast<double>(total) / 100.0);
    const uint64_t target = std::clamp<uint64_t>(rank < 1 ? 1 : static_cast<uint64_t>(rank), 1, total);
    uint64_t seen = 0;
    for (size_t bucket = 0; bucket < counts.size(); ++bucket) {
      seen += counts[bucket];
      if (seen >= target) {
        // The last bucket also holds what is beyond it.
        return bucket + 1 == counts.size() ? max : ValueOf(bucket);
      }
    }
    return max;
  }

  std::vector<uint64_t> counts;
  uint64_t total = 0;
  int64_t max = 0;
};

[[gnu::format(printf, 2, 3)]] void Append(std::string* text, const char* format, ...) {
  std::array<char, 256> line;
  va_list arguments;
  va_start(arguments, format);
  const int size = std::vsnprintf(line.data(), line.size(), format, arguments);
  va_end(arguments);
  text->append(line.data(), std::min(static_cast<size_t>(std::max(size, 0)), line.size() - 1));
}

void AppendMoments(std::string* text, const Snapshot& snapshot, double unit_ratio) {
  const double total = static_cast<double>(std::max<uint64_t>(snapshot.total, 1));
  const auto middle = [](size_t bucket) {
    return (static_cast<double>(Histogram::LowestOf(bucket)) + static_cast<double>(Histogram::HighestOf(bucket))) / 2;
  };
  double sum = 0;
  for (size_t bucket = 0; bucket < snapshot.counts.size(); ++bucket) {
    sum += static_cast<double>(snapshot.counts[bucket]) * middle(bucket);
  }
  const double mean = sum / total;
  double squares = 0;
  for (size_t bucket = 0; bucket < snapshot.counts.size(); ++bucket) {
    const double distance = middle(bucket) - mean;
    squares += static_cast<double>(snapshot.counts[bucket]) * distance * distance;
  }
  const double deviation = std::sqrt(squares / total);
  Append(text, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean / unit_ratio, deviation / unit_ratio);
}

std::string Text(const Snapshot& snapshot, double unit_ratio) {
  std::string text;
  Append(&text, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");

  constexpr double kTicksPerHalfDistance = 5;
  const double total = static_cast<double>(snapshot.total);
  double level = 0;
  uint64_t seen = 0;
  int64_t value = 0;
  for (size_t bucket = 0; bucket < snapshot.counts.size() && seen < snapshot.total; ++bucket) {
    if (snapshot.counts[bucket] == 0) {
      continue;
    }
    seen += snapshot.counts[bucket];
    value = bucket + 1 == snapshot.counts.size() ? snapshot.max : snapshot.ValueOf(bucket);
    const double reached = 100.0 * static_cast<double>(seen) / total;
    // One line for each level that this bucket reaches; the last bucket, at 100 %, would reach levels without end.
    while (level <= reached && level < 100.0) {
      Append(&text, "%12.3f %2.12f %10llu %14.2f\n", static_cast<double>(value) / unit_ratio, level / 100.0,
             static_cast<unsigned long long>(seen), 1.0 / (1.0 - level / 100.0));
      if (seen == snapshot.total) {
        break;
      }
      const double halvings = std::floor(std::log2(100.0 / (100.0 - level))) + 1;
      level += 100.0 / (kTicksPerHalfDistance * std::exp2(halvings));
    }
  }
  if (snapshot.total != 0) {
    Append(&text, "%12.3f %2.12f %10llu\n", static_cast<double>(value) / unit_ratio, 1.0,
           static_cast<unsigned long long>(snapshot.total));
  }
  AppendMoments(&text, snapshot, unit_ratio);
  Append(&text, "#[Max     = %12.3f, Total count    = %12llu]\n", static_cast<double>(snapshot.max) / unit_ratio,
         static_cast<unsigned long long>(snapshot.total));
  Append(&text, "#[Buckets = %12zu, SubBuckets     = %12zu]\n", Histogram::kBuckets / Histogram::kSubBuckets - 1,
         2 * Histogram::kSubBuckets);
  return text;
}

}  // namespace

void Histogram::Reset() noexcept {
  for (std::atomic<uint64_t>& count : counts_) {
    count.store(0, std::memory_order_relaxed);
  }
  max_.store(0, std::memory_order_relaxed);
}

HistogramSummary Summarize(std::span<const Histogram* const> histograms) {
  const Snapshot snapshot(histograms);
  return HistogramSummary{.count = snapshot.total,
                          .p50 = snapshot.AtPercentile(50.0),
                          .p90 = snapshot.AtPercentile(90.0),
                          .p99 = snapshot.AtPercentile(99.0),
                          .p999 = snapshot.AtPercentile(99.9),
                          .max = snapshot.max};
}

HistogramSummary Summarize(const Histogram& histogram) {
  const Histogram* const one = &histogram;
  return Summarize(std::span(&one, 1));
}

int64_t ValueAtPercentile(std::span<const Histogram* const> histograms, double percentile) {
  return Snapshot(histograms).AtPercentile(percentile);
}

int64_t ValueAtPercentile(const Histogram& histogram, double percentile) {
  const Histogram* const one = &histogram;
  return ValueAtPercentile(std::span(&one, 1), percentile);
}

std::string PercentileText(std::span<const Histogram* const> histograms, double unit_ratio) {
  return Text(Snapshot(histograms), unit_ratio);
}

std::string PercentileText(const Histogram& histogram, double unit_ratio) {
  const Histogram* const one = &histogram;
  return PercentileText(std::span(&one, 1), unit_ratio);
}

}  // namespace tickbridge
