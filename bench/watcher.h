// SPDX-License-Identifier: Apache-2.0
// A reader that polls for a few watched symbols, and the time from when each of their ticks was due until the first
// look that shows it, or something newer. Every tick of a watched symbol is counted, so a stall shows in as many as it
// hit.
//
// Threading: Watch on the thread that sends, before the tick is sent; the looking on a thread of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/ack_meter.h"
#include "bench/coverage.h"
#include "core/histogram.h"
#include "sink/redis_target.h"
#include "sink/table_reader.h"
#include "sink/transport.h"

namespace tickbridge {

// Where a watcher looks.
class Lookout {
 public:
  virtual ~Lookout() = default;
  // The number of the newest tick of a watched symbol that can be seen now; 0: none. Waits for an answer.
  virtual uint64_t Look(uint32_t watched) noexcept = 0;
};

// GET on a connection of its own.
absl::StatusOr<std::unique_ptr<Lookout>> OpenRedisLookout(const RedisTarget& target,
                                                          const std::vector<std::string>& keys);
// A load from the shared table.
absl::StatusOr<std::unique_ptr<Lookout>> OpenTableLookout(const std::string& table, std::vector<std::string> symbols);

class Watcher {
 public:
  // Watches the symbols 0…watched − 1. `cpu` −1: not pinned.
  Watcher(uint32_t watched, int cpu);
  ~Watcher();

  void Start(std::unique_ptr<Lookout> lookout, MeasuredTime measured);
  // Ends the looking, after what waits was seen, or `patience_ns`.
  void Stop(int64_t patience_ns);

  // The next tick of a symbol, before it is sent.
  void Watch(uint32_t symbol, MonoNs due) noexcept {
    if (symbol >= watched_ || overrun_.load(std::memory_order_relaxed)) return;
    const uint64_t head = head_.load(std::memory_order_relaxed);  // our own
    if (head - tail_.load(std::memory_order_acquire) == kRing) {  // pairs with (2)
      overrun_.store(true, std::memory_order_relaxed);
      return;
    }
    ring_[head % kRing] = {due, symbol};
    head_.store(head + 1, std::memory_order_release);  // (1)
  }

  // Once stopped.
  std::unique_ptr<Histogram> TakeLatency() { return std::move(latency_); }
  uint64_t looks() const { return looks_; }
  uint64_t unseen() const { return coverage_.waiting(); }
  // It could not keep up, and watched nothing from then on.
  bool overrun() const { return overrun_.load(std::memory_order_relaxed); }

 private:
  struct Entry {
    MonoNs due;
    uint32_t symbol;
  };
  static constexpr size_t kRing = size_t{1} << 20;

  void Loop() noexcept;
  void Drain() noexcept;

  std::unique_ptr<Lookout> lookout_;
  const uint32_t watched_;
  const int cpu_;
  Coverage coverage_;
  std::vector<uint64_t> seen_;  // by symbol: the number of its newest tick seen
  MeasuredTime measured_;
  std::unique_ptr<Histogram> latency_ = std::make_unique<Histogram>();
  uint64_t looks_ = 0;
  std::vector<Entry> ring_;
  alignas(64) std::atomic<uint64_t> head_{0};
  std::atomic<bool> overrun_{false};  // a flag to look at: relaxed
  alignas(64) std::atomic<uint64_t> tail_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> give_up_ns_{0};
  std::thread thread_;
};

}  // namespace tickbridge
