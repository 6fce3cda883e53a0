// SPDX-License-Identifier: Apache-2.0
// The generator: sends the ticks of a schedule when they are due, whether or not anything keeps up (open loop). Late,
// it sends at once, as many in a duty cycle as a socket feed would take; a tick's latency counts from when it was due.
//
// With a publisher it sends through a ring in shared memory, from which a feed of the bridge takes the ticks.
//
// As a shadow it sends nothing: another process does, by the same schedule, through a feed of the bridge. Then this
// only tells the meter what is sent, some time ahead: order and times are the schedule's.
//
// Threading: DoWork on the bridge's runner, which turns the lanes too; Prepare before it starts, Begin while it runs.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "bench/ack_meter.h"
#include "bench/schedule.h"
#include "bench/watcher.h"
#include "core/ingest.h"
#include "feed/feed.h"
#include "feed/publisher.h"
#include "sink/lane.h"

namespace tickbridge {

// The window of the lanes, by the time it had each size.
struct InFlightMeter {
  std::vector<const Lane*> lanes;
  MonoNs last;
  double sum_ns = 0;  // commands × time
  double time_ns = 0;
  int64_t max = 0;

  void Look(MonoNs now) noexcept {
    int64_t in_flight = 0;
    for (const Lane* lane : lanes) in_flight += lane->in_flight();
    if (last.value != 0) {
      sum_ns += static_cast<double>(in_flight) * static_cast<double>(now - last);
      time_ns += static_cast<double>(now - last);
    }
    last = now;
    max = std::max(max, in_flight);
  }
  double mean() const { return time_ns > 0 ? sum_ns / time_ns : 0; }
};

// What every generator has: when it begins, what it tells of each tick, and what it saw.
class GeneratorFeed : public Feed {
 public:
  // `watchers` may be empty; all outlive the feed.
  GeneratorFeed(Ingest* ingest, AckMeter* meter, std::vector<Watcher*> watchers)
      : Feed("bench", 0, nullptr), ingest_(ingest), meter_(meter), watchers_(std::move(watchers)) {}

  void Prepare(std::vector<const Lane*> lanes) { in_flight_.lanes = std::move(lanes); }
  // Any thread: the first tick is due at `start`. What was given to the meter before is seen by DoWork after it.
  void Begin(MonoNs start, MeasuredTime measured) noexcept {
    measured_ = measured;
    start_ns_.store(start.value, std::memory_order_release);  // (1)
  }
  // Any thread; everything was sent.
  bool done() const noexcept { return done_.load(std::memory_order_acquire); }  // pairs with (2)
  // Once done: when the last tick was sent, how late each was, and the window while it was measured.
  MonoNs ended() const noexcept { return ended_; }
  std::unique_ptr<Histogram> TakeLag() noexcept { return std::move(lag_); }
  const InFlightMeter& in_flight() const noexcept { return in_flight_; }

 protected:
  // When the run begins; 0: not yet.
  MonoNs start() const noexcept { return MonoNs{start_ns_.load(std::memory_order_acquire)}; }  // pairs with (1)
  void Announce(uint32_t symbol, MonoNs due) noexcept {
    for (Watcher* const watcher : watchers_) watcher->Watch(symbol, due);
    meter_->Send(symbol, due);
  }
  void Sent(MonoNs due, MonoNs now) noexcept {
    if (measured_.Has(due)) lag_->Record(now - due);
  }
  void Look(MonoNs now) noexcept {
    if (measured_.Has(now)) in_flight_.Look(now);
  }
  void OpenSource(MonoNs now) noexcept;
  void Finish(MonoNs now) noexcept {
    ended_ = now;
    done_.store(true, std::memory_order_release);  // (2)
  }
  bool finished() const noexcept { return done_.load(std::memory_order_relaxed); }  // our own word

  Ingest* const ingest_;
  SourceId source_ = kNoSource;

 private:
  AckMeter* const meter_;
  const std::vector<Watcher*> watchers_;
  MeasuredTime measured_;
  InFlightMeter in_flight_;
  std::unique_ptr<Histogram> lag_ = std::make_unique<Histogram>();
  MonoNs ended_;
  std::atomic<int64_t> start_ns_{0};
  std::atomic<bool> done_{false};
};

class Generator final : public GeneratorFeed {
 public:
  enum class Way : uint8_t { kMerge, kShadow, kRing };

  // Gives the schedule's symbols their ids, 0 and up, in a table that has none. `publisher`: of kRing; it knows the
  // symbols by the same numbers.
  Generator(const Schedule::Options& schedule, Way way, Publisher* publisher, Ingest* ingest, AckMeter* meter,
            std::vector<Watcher*> watchers);

  int DoWork() noexcept override;

 private:
  void Merge() noexcept;

  Schedule schedule_;
  const Way way_;
  Publisher* const publisher_;
  MonoNs beat_;  // of the publisher
};

}  // namespace tickbridge
