// SPDX-License-Identifier: Apache-2.0
// A synthetic market: symbols whose quotes walk at random on their price grids, with trades in between, some symbols
// far busier than others, and bursts. Seeded: the same options give the same ticks, bytes and times on every machine.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/ingest.h"
#include "core/tick.h"
#include "feed/feed.h"

namespace tickbridge {

// The name of the index-th symbol of every synthetic market: "MNQZ5", "ESZ5", …
std::string SynthSymbolName(uint32_t index);

// Threading: one thread. Cost: about 10 ns a tick, no allocation.
class SynthMarket {
 public:
  struct Options {
    uint32_t symbols = 64;
    uint64_t seed = 1;
    // How unequal the symbols are: the n-th busiest has a share of 1/n^skew. 0: all alike.
    double skew = 1.0;
    // Mean ticks a second of the market's own clock; 0: a million.
    double rate = 0;
    int64_t start_unix_ms = 1'700'000'000'000;
  };

  // `symbols`: 1…limits::kSymbolsMax.
  explicit SynthMarket(const Options& options);

  // The next tick and the index of its symbol. Its times are the market's clock, in whole milliseconds.
  void Next(Tick* tick, uint32_t* symbol) noexcept;

  // The next tick as an NDJSON line, with its newline.
  void AppendNdjson(std::string* out);

  std::string_view SymbolName(uint32_t index) const noexcept { return names_[index]; }
  uint32_t symbols() const noexcept { return static_cast<uint32_t>(names_.size()); }
  // When the last tick was, in nanoseconds since the start.
  int64_t elapsed_ns() const noexcept { return elapsed_ns_; }

 private:
  // Of Vose's alias method: one draw takes the column's own symbol below the threshold, else its alias.
  struct Column {
    uint32_t threshold;
    uint32_t alias;
  };
  struct Symbol {
    int32_t bid;  // in steps of the price grid
    int32_t bid_min;
    int32_t bid_max;
    int32_t step;  // mantissa of one step
    int8_t exponent;
    uint8_t spread;  // in steps
  };

  uint64_t Draw() noexcept;
  uint32_t DrawSymbol() noexcept;
  void AdvanceClock(uint64_t bits) noexcept;

  std::array<uint64_t, 4> state_;
  std::vector<Column> columns_;
  std::vector<Symbol> symbols_;
  std::vector<std::string> names_;
  uint64_t gap_scale_;  // the clock's longest step, in ns
  int64_t elapsed_ns_ = 0;
  int64_t start_ms_;
  int64_t clock_ms_;
  int64_t clock_rest_ns_ = 0;
  uint32_t burst_left_ = 0;
  uint32_t burst_symbol_ = 0;
};

// A market as a feed: sends its ticks on a schedule of their own, whether or not the bridge keeps up (open loop), with
// the time of sending as venue time. Late ticks are caught up with in batches.
class SynthFeed final : public Feed {
 public:
  struct Options {
    std::string name = "synth";
    SynthMarket::Options market{};
    double rate = 100'000;     // ticks a second; 0: as many as go
    uint64_t count = 0;        // ticks; 0: no end
    int64_t duration_ns = 0;   // from the first duty cycle; 0: no end
    int batch = 256;           // ticks in a duty cycle
    bool keep_source = false;  // the source stays open after the end
  };

  // `ingest` outlives the feed. Errors: a number of symbols or a rate that cannot be.
  static absl::StatusOr<std::unique_ptr<SynthFeed>> Open(Options options, Ingest* ingest, CountersFile* counters);

  int DoWork() noexcept override;
  void OnClose() noexcept override;

  // Any thread. Acquire pairs with the release that follows the last tick.
  bool done() const noexcept { return done_.load(std::memory_order_acquire); }
  uint64_t sent() const noexcept { return sent_.load(std::memory_order_relaxed); }  // a number to look at

 private:
  SynthFeed(Options options, Ingest* ingest, CountersFile* counters);
  void Finish() noexcept;

  const Options options_;
  Ingest* const ingest_;
  SynthMarket market_;
  SourceId source_ = kNoSource;
  MonoNs start_;
  Tick tick_;  // drawn, not yet sent
  uint32_t symbol_ = 0;
  std::atomic<uint64_t> sent_{0};
  std::atomic<bool> done_{false};
};

}  // namespace tickbridge
