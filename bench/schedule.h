// SPDX-License-Identifier: Apache-2.0
// The ticks of a run, one after the other, and when each is due: at a fixed rate, or in bursts, of symbols drawn as a
// synthetic market draws them. The same options give the same ticks and times, so that two processes that hold a copy
// each agree on them.
//
// Each tick gives all six prices and sizes, and makes a value of 115 bytes with the default members. A symbol's n-th
// tick has the venue time kTimeBaseMs + n: what a reader finds in Redis says which tick it is.
//
// Threading: one thread. Cost: some 15 ns a tick.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/tick.h"
#include "core/types.h"
#include "feed/synth.h"

namespace tickbridge {

// The name of a symbol in the harness's own runs. No venue's, so that it meets no real price.
std::string BenchSymbolName(uint32_t index);

class Schedule {
 public:
  struct Options {
    uint32_t symbols = 1000;
    double rate = 10'000;  // ticks a second
    uint32_t burst = 1;    // as many are due at one time
    uint64_t count = 0;    // ticks in all
    double skew = 0;       // SynthMarket's
    uint64_t seed = 1;
  };
  static constexpr int64_t kTimeBaseMs = 1'700'000'000'000;

  explicit Schedule(const Options& options);

  bool done() const noexcept { return sent_ == options_.count; }
  uint64_t sent() const noexcept { return sent_; }
  // When the next tick is due, after the start of the run.
  int64_t due_ns() const noexcept { return due_ns_; }
  // The next tick: its symbol, and its number in the symbol, from 1.
  const Tick& tick() const noexcept { return tick_; }
  uint32_t symbol() const noexcept { return symbol_; }
  uint64_t number() const noexcept { return numbers_[symbol_]; }
  std::string_view name() const noexcept { return names_[symbol_]; }
  void Advance() noexcept;

  // The next tick as an NDJSON line, with its newline.
  void AppendLine(std::string* out) const;

 private:
  void Draw() noexcept;

  const Options options_;
  SynthMarket market_;
  std::vector<std::string> names_;
  std::vector<uint64_t> numbers_;
  double interval_ns_;
  uint64_t sent_ = 0;
  int64_t due_ns_ = 0;
  Tick tick_;
  uint32_t symbol_ = 0;
};

}  // namespace tickbridge
