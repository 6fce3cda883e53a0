// SPDX-License-Identifier: Apache-2.0
// The share: how much of the server's time the bridge may take once it could take all.
//
// With share = 1 the window is kept full, and finds its own size (sink/window.h). Below that, a lane sends in turns: a
// batch, its answers, and a pause as long as the share asks for. Readers get their GET in between. A batch of one costs
// the server about a microsecond and is followed by no pause: a lone tick waits for nothing but the answer to what was
// sent before it.
//
// What a command costs the server is measured: (time of a whole batch − time of a lone command's round trip) ÷
// commands. The least of the last batches, and of the last round trips, counts: whatever else the server, or this
// machine, did meanwhile only adds to it, and an estimate that follows such noise makes batches smaller, which then
// weighs heavier. A new connection is measured anew.
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
      const uint32_t room = Room(in_flight);
      return room >= window_.size() / kRefillPart ? room : 0;
    }
    if (batch_ != 0) return turn_left_;
    if (in_flight != 0 || now < next_turn_) return 0;
    // As much as keeps the server busy for kTurnNs, and on a long line, where the round trip itself is a pause, for the
    // share of that.
    const double busy_ns = static_cast<double>(kTurnNs) + share_ * round_trip_ns();
    return static_cast<uint32_t>(std::clamp(busy_ns / cost_ns_,
                                            static_cast<double>(std::min(kTurnCommandsMin, window_max_)),
                                            static_cast<double>(window_max_)));
  }

  // For how long it would be of no use to look for answers, or to send; 0 where nothing is known. Of a turn half of the
  // time that it should take, and of some nothing: they are measured by their answers, and who oversleeps sees them
  // late. A full window may be half empty then, which leaves the server enough.
  int64_t RestNs(uint32_t in_flight, MonoNs now) const {
    if (!saturates()) {
      if (batch_ == 0) return std::max<int64_t>(next_turn_ - now, 0);
      if (turn_left_ != 0 || batch_ <= kLoneCommands || turns_ % kWatchedTurn == 0) return 0;
      const auto expected_ns = static_cast<int64_t>(round_trip_ns() + batch_ * cost_ns_);
      return std::max<int64_t>((batch_sent_ + expected_ns - now) / 2, 0);
    }
    const uint32_t window = window_.size();
    const uint32_t room = Room(in_flight);
    if (room >= window / kRefillPart) return 0;
    const uint32_t awaited = window / 2 - room;
    const double wait_ns = awaited * (answers_ns_ / std::max(answers_, 1.0));
    return std::max<int64_t>(static_cast<int64_t>(wait_ns) - (now - answered_), 0);
  }

  // `commands` of the `allowance` that was just given. A turn may take several duty cycles.
  void OnSent(uint32_t commands, uint32_t allowance, MonoNs now) {
    if (batch_ == 0) {
      batch_sent_ = now;
      // Who overslept a little gets it back.
      turn_began_ = now - next_turn_ < kTurnNs ? next_turn_ : now;
    }
    batch_ += commands;
    turn_left_ = allowance - std::min(allowance, commands);
  }

  // There was room for more than there was to send: what comes later is of the next turn.
  void OnFeedLimited() {
    turn_left_ = 0;
    window_.OnFeedLimited();
  }
  // `in_flight`: with those that are answered now.
  void OnReplies(uint32_t commands, uint32_t in_flight, MonoNs now) {
    if (!saturates()) return;
    window_.OnAnswered(commands, in_flight, now);
    if (answered_.value != 0) {
      answers_ += commands - answers_ / kAnswersKept;
      answers_ns_ += static_cast<double>(now - answered_) - answers_ns_ / kAnswersKept;
    }
    answered_ = now;
  }
  // All that was sent is answered.
  void OnAnswered(MonoNs now) {
    answered_ = MonoNs{};  // the time until the next answer is the feed's
    if (batch_ == 0) return;
    const double took_ns = static_cast<double>(now - batch_sent_);
    if (batch_ <= kLoneCommands) {
      MeasureRoundTrip(took_ns, now);
    } else if (batch_ >= kTurnCommandsMin) {
      MeasureCost(std::clamp((took_ns - round_trip_ns()) / batch_, kCostNsMin, kCostNsMax));
    }
    const double busy_ns = batch_ * cost_ns_;
    next_turn_ = std::max(now, turn_began_ + static_cast<int64_t>(busy_ns / share_));
    if (batch_ <= kLoneCommands) next_turn_ = now;
    batch_ = turn_left_ = 0;
    ++turns_;
  }

  // The next connection may be to another server, on another line.
  void OnDisconnected() {
    batch_ = turn_left_ = measured_ = 0;
    cost_ns_ = kCostNsAtFirst;
    least_ns_ = before_ns_ = kCostNsMax;
    least_trip_ns_ = trip_before_ns_ = kNoTrip;
    answers_ = answers_ns_ = 0;
    answered_ = MonoNs{};
    window_.OnDisconnected();
  }

  // True when a lone round trip should be measured again: send a PING on its own. On a line on which that takes long it
  // is done more seldom, and never twice without anything between.
  bool WantsProbe(MonoNs now) const {
    if (saturates() || batch_ != 0) return false;
    return least_trip_ns_ == kNoTrip ||
           now - trip_measured_ > kProbeIntervalNs + static_cast<int64_t>(kProbeRoundTrips * round_trip_ns());
  }

  double cost_ns() const { return cost_ns_; }
  uint32_t window() const { return saturates() ? window_.settled() : window_max_; }

 private:
  // Of the window, for so many more.
  uint32_t Room(uint32_t in_flight) const { return window_.size() - std::min(in_flight, window_.size()); }
  double round_trip_ns() const {
    const double least_ns = std::min(least_trip_ns_, trip_before_ns_);
    return least_ns == kNoTrip ? 0 : least_ns;
  }
  void MeasureRoundTrip(double took_ns, MonoNs now) {
    if (least_trip_ns_ != kNoTrip && now - trips_began_ > kTripsNs) {
      trip_before_ns_ = least_trip_ns_;
      least_trip_ns_ = kNoTrip;
    }
    if (least_trip_ns_ == kNoTrip) trips_began_ = now;
    least_trip_ns_ = std::min(least_trip_ns_, took_ns);
    trip_measured_ = now;
  }
  void MeasureCost(double cost_ns) {
    least_ns_ = std::min(least_ns_, cost_ns);
    if (++measured_ == kMeasuredBatches) {
      before_ns_ = least_ns_;
      least_ns_ = kCostNsMax;
      measured_ = 0;
    }
    cost_ns_ = std::min(least_ns_, before_ns_);
  }

  static constexpr uint32_t kRefillPart = 4;
  static constexpr int64_t kTurnNs = 60'000;
  // As many are sent in a turn even where the estimate says less: fewer would measure the line, not the server.
  static constexpr uint32_t kTurnCommandsMin = 64;
  static constexpr uint32_t kMeasuredBatches = 64;
  static constexpr uint32_t kWatchedTurn = 8;
  static constexpr double kCostNsMin = 100;
  static constexpr double kCostNsMax = 1'000'000;
  static constexpr double kCostNsAtFirst = 1'000;  // until there is a measurement
  static constexpr uint32_t kLoneCommands = 4;
  static constexpr int64_t kTripsNs = kNsPerSec;  // the least of as long counts, and of as long before
  static constexpr int64_t kProbeIntervalNs = 200 * kNsPerMs;
  static constexpr double kProbeRoundTrips = 20;
  static constexpr double kNoTrip = 1e18;
  static constexpr double kAnswersKept = 8;  // readings of answers that the mean goes over, about

  const double share_;
  const uint32_t window_max_;
  Window window_;
  double answers_ = 0;     // of the last readings, where it saturates, and
  double answers_ns_ = 0;  // how long they took
  MonoNs answered_;
  double least_trip_ns_ = kNoTrip;   // since trips_began_
  double trip_before_ns_ = kNoTrip;  // of the time before
  MonoNs trips_began_;
  MonoNs trip_measured_;
  double cost_ns_ = kCostNsAtFirst;
  double least_ns_ = kCostNsMax;   // of the batches since the last turn of kMeasuredBatches
  double before_ns_ = kCostNsMax;  // of those before them
  uint32_t measured_ = 0;
  uint32_t batch_ = 0;      // sent in this turn
  uint32_t turn_left_ = 0;  // may still be sent in it
  uint32_t turns_ = 0;
  MonoNs batch_sent_;
  MonoNs turn_began_;  // when it should have been sent
  MonoNs next_turn_;
};

}  // namespace tickbridge
