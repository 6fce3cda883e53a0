// SPDX-License-Identifier: Apache-2.0
// The share: how much of the server's time the bridge may take once it could take all.
//
// With share = 1 the window is kept full, and finds its own size (sink/window.h). Below that, a lane sends in turns: a
// batch, its answers, and a pause as long as the share asks for. Readers get their GET in between. A batch of one costs
// the server about a microsecond and is followed by next to no pause, so a lone tick is never held back.
//
// What a command costs the server is measured: (time of a whole batch − time of a lone command's round trip) ÷
// commands. The least of the last batches counts: whatever else the server, or this machine, did meanwhile only adds to
// it, and an estimate that follows such noise makes batches smaller, which then weighs heavier.
//
// Threading: the lane's thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/types.h"
#include "sink/window.h"

namespace tickbridge {

class Pacer {
 public:
  // `window`: commands in flight at most. `fixed`: that many, where the share is 1, and not what the server needs.
  Pacer(double share, uint32_t window, bool fixed = false)
      : share_(share), window_max_(window), window_(window, fixed) {}

  bool saturates() const { return share_ >= 1.0; }

  // How many commands may be sent now; `in_flight` are unanswered.
  uint32_t Allowance(uint32_t in_flight, MonoNs now) const {
    if (saturates()) {
      // A full window is refilled a part at a time: many small writes cost the server more calls than a few larger
      // ones, and what waits conflates for free.
      const uint32_t window = window_.size();
      const uint32_t room = window - std::min(in_flight, window);
      return room >= window / kRefillPart ? room : 0;
    }
    if (in_flight != 0 || now < next_turn_) return 0;
    // As much as keeps the server busy for kTurnNs, and on a long line, where the round trip itself is a pause, for the
    // share of that.
    const double busy_ns = kTurnNs + share_ * round_trip_ns_;
    return static_cast<uint32_t>(std::clamp(busy_ns / cost_ns_,
                                            static_cast<double>(std::min(kTurnCommandsMin, window_max_)),
                                            static_cast<double>(window_max_)));
  }

  void OnSent(uint32_t commands, MonoNs now) {
    if (batch_ == 0) batch_sent_ = now;
    batch_ += commands;
  }

  // There was room for more than there was to send.
  void OnFeedLimited() { window_.OnFeedLimited(); }
  // `in_flight`: with those that are answered now.
  void OnReplies(uint32_t commands, uint32_t in_flight, MonoNs now) {
    if (saturates()) window_.OnAnswered(commands, in_flight, now);
  }
  // All that was sent is answered.
  void OnAnswered(MonoNs now) {
    if (batch_ == 0) return;
    const double took_ns = static_cast<double>(now - batch_sent_);
    if (batch_ <= kLoneCommands) {
      // Down at once, up slowly: the least is what the line takes.
      round_trip_ns_ = round_trip_ns_ == 0 ? took_ns : std::min(took_ns, round_trip_ns_ * 1.02);
    } else if (batch_ >= kTurnCommandsMin) {
      Measure(std::clamp((took_ns - round_trip_ns_) / batch_, kCostNsMin, kCostNsMax));
    }
    const double busy_ns = batch_ * cost_ns_;
    next_turn_ = batch_sent_ + std::max(now - batch_sent_, static_cast<int64_t>(busy_ns / share_));
    if (batch_ <= kLoneCommands) next_turn_ = now;
    batch_ = 0;
  }

  void OnDisconnected() {
    batch_ = 0;
    window_.OnDisconnected();
  }

  // True when a lone round trip should be measured again: call, and send a PING on its own.
  bool WantsProbe(MonoNs now) const { return !saturates() && batch_ == 0 && now - probed_ > kProbeIntervalNs; }
  void OnProbe(MonoNs now) { probed_ = now; }

  double cost_ns() const { return cost_ns_; }
  uint32_t window() const { return saturates() ? window_.settled() : window_max_; }

 private:
  void Measure(double cost_ns) {
    least_ns_ = std::min(least_ns_, cost_ns);
    if (++measured_ == kMeasuredBatches) {
      before_ns_ = least_ns_;
      least_ns_ = kCostNsMax;
      measured_ = 0;
    }
    cost_ns_ = std::min(least_ns_, before_ns_);
  }

  static constexpr uint32_t kRefillPart = 4;
  static constexpr double kTurnNs = 60'000;
  // As many are sent in a turn even where the estimate says less: fewer would measure the line, not the server.
  static constexpr uint32_t kTurnCommandsMin = 64;
  static constexpr uint32_t kMeasuredBatches = 64;
  static constexpr double kCostNsMin = 100;
  static constexpr double kCostNsMax = 1'000'000;
  static constexpr uint32_t kLoneCommands = 4;
  static constexpr int64_t kProbeIntervalNs = 200 * kNsPerMs;

  const double share_;
  const uint32_t window_max_;
  Window window_;
  double round_trip_ns_ = 0;
  double cost_ns_ = 1'000;         // until there is a measurement
  double least_ns_ = kCostNsMax;   // of the batches since the last turn of kMeasuredBatches
  double before_ns_ = kCostNsMax;  // of those before them
  uint32_t measured_ = 0;
  uint32_t batch_ = 0;
  MonoNs batch_sent_;
  MonoNs next_turn_;
  MonoNs probed_;
};

}  // namespace tickbridge
