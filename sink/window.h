// SPDX-License-Identifier: Apache-2.0
// The window that finds itself: how many commands in flight a server needs to be kept busy, and no more, since what is
// beyond only waits there, while in its slot it would conflate.
//
// A server that is asked for more than it can do answers no faster. So a lane that saturates tries: some turns with its
// window, and as many with twice that, one after the other; if the server answered more by 2 %, the window grows. Else
// the same with half of it: if that loses less than 1 %, the window shrinks. Then it stays for a while. The median of
// the pairs counts, so that what else the machine did in one of them does not. Rates, not round trips, are compared:
// many servers answer better in bulk, and a line of a millisecond needs more than one of a microsecond; both show in
// the rate. Times in which the feed had no more to send say nothing and are left out.
//
// Threading: the lane's thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "core/types.h"

namespace tickbridge {

class Window {
 public:
  static constexpr uint32_t kMin = 16;
  static constexpr uint32_t kStart = 64;

  // `max`: it never grows beyond. `fixed`: it stays at that.
  explicit Window(uint32_t max, bool fixed = false)
      : max_(max), fixed_(fixed), size_(fixed ? max : std::min(max, kStart)), trial_(size_), now_tried_(size_) {}

  // Commands that may be in flight now.
  uint32_t size() const { return now_tried_; }
  // What it has come to; `size` goes to and fro between this and what is tried.
  uint32_t settled() const { return size_; }

  // There was room, and nothing to fill it with.
  void OnFeedLimited() { feed_limited_ = true; }
  void OnAnswered(uint32_t commands, MonoNs now) {
    if (fixed_) return;
    if (turn_began_.value == 0 || feed_limited_) return BeginTurn(0, now);
    if (commands < settling_) {
      settling_ -= commands;
      return;
    }
    if (settling_ != 0) return BeginTurn(0, now);
    answered_ += commands;
    const int64_t took_ns = now - turn_began_;
    if (answered_ < std::max(now_tried_, kTurnAnswersMin) || took_ns < kTurnNsMin) return;
    enough_pairs_ = took_ns < kLongTurnNs ? kPairs : kLongPairs;
    EndTurn(static_cast<double>(answered_) / static_cast<double>(took_ns), now);
  }
  void OnDisconnected() {
    turn_began_ = MonoNs{};
    Try(size_);
  }

 private:
  // A turn begins once as many answers came as were in flight when the window changed.
  static constexpr uint32_t kTurnAnswersMin = 128;
  static constexpr int64_t kTurnNsMin = kNsPerMs;
  static constexpr size_t kPairs = 9;
  // A turn that takes long is troubled less by what happens in it.
  static constexpr int64_t kLongTurnNs = 10 * kNsPerMs;
  static constexpr size_t kLongPairs = 3;
  static constexpr double kWorthGrowing = 1.02;
  static constexpr double kWorthShrinking = 0.99;
  // So much more, or less, that one pair is proof enough: a long line.
  static constexpr double kPlain = 1.5;
  static constexpr int64_t kHoldNs = 200 * kNsPerMs;

  void BeginTurn(uint32_t settling, MonoNs now) {
    feed_limited_ = false;
    settling_ = settling;
    answered_ = 0;
    turn_began_ = now;
  }

  void EndTurn(double rate, MonoNs now) {
    if (trial_ == size_) {  // nothing is being tried
      if (now >= hold_until_) Try(Twice() != size_ ? Twice() : Half());
    } else if (now_tried_ == size_) {
      rate_ = rate;
      now_tried_ = trial_;
    } else {
      ratios_[pairs_++] = rate / rate_;
      now_tried_ = size_;
      if (pairs_ >= enough_pairs_ || ratios_[0] > kPlain || ratios_[0] < 1 / kPlain) Decide(now);
    }
    BeginTurn(std::max(size_, trial_), now);
  }

  void Decide(MonoNs now) {
    std::sort(ratios_.begin(), ratios_.begin() + pairs_);
    const double ratio = ratios_[pairs_ / 2];
    const bool grows = trial_ > size_;
    if (ratio > (grows ? kWorthGrowing : kWorthShrinking)) {
      size_ = trial_;
      Try(grows ? Twice() : Half());
    } else {
      Try(grows ? Half() : size_);
    }
    if (trial_ == size_) hold_until_ = now + kHoldNs;
  }

  uint32_t Twice() const { return std::min(size_ * 2, max_); }
  uint32_t Half() const { return std::max(size_ / 2, std::min(kMin, max_)); }

  // Compares the window with `trial` from here on; with itself: compares nothing.
  void Try(uint32_t trial) {
    trial_ = trial;
    now_tried_ = size_;
    pairs_ = 0;
  }

  const uint32_t max_;
  const bool fixed_;
  uint32_t size_;
  uint32_t trial_;
  uint32_t now_tried_;  // either of them
  uint32_t settling_ = 0;
  bool feed_limited_ = false;
  size_t answered_ = 0;
  MonoNs turn_began_;
  MonoNs hold_until_;
  double rate_ = 0;
  std::array<double, kPairs> ratios_{};
  size_t pairs_ = 0;
  size_t enough_pairs_ = kPairs;
};

}  // namespace tickbridge
