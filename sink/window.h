// SPDX-License-Identifier: Apache-2.0
// The window that finds itself: how many commands in flight a server needs to be kept busy, and no more, since what is
// beyond only waits there, while in its slot it would conflate.
//
// A server that is asked for more than it can do answers no faster. So a lane that saturates tries: some turns with its
// window, and as many with half of it, one after the other; if that loses less than 1 %, the window shrinks. Else the
// same with twice as much: if the server answered more by 2 %, the window grows. Then it stays for a while. What
// most of the pairs say counts, so that what else the machine did in one of them does not. Rates, not round trips, are
// compared: many servers answer better in bulk, and a line of a millisecond needs more than one of a microsecond; both
// show in the rate. Times in which the feed had no more to send say nothing and are left out. What is never used of it,
// since the socket takes no more, is given up at once.
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
  // `in_flight`: with those that are answered now.
  void OnAnswered(uint32_t commands, uint32_t in_flight, MonoNs now) {
    if (fixed_) return;
    if (turn_began_.value == 0 || feed_limited_) return BeginTurn(0, now);
    if (commands < settling_) {
      settling_ -= commands;
      return;
    }
    if (settling_ != 0) return BeginTurn(0, now);
    answered_ += commands;
    in_flight_max_ = std::max(in_flight_max_, in_flight);
    const int64_t took_ns = now - turn_began_;
    if (answered_ < std::max(now_tried_, kTurnAnswersMin) || took_ns < kTurnNsMin) return;
    enough_pairs_ = std::clamp(static_cast<size_t>(kEnoughNs / took_ns), kPairsMin, kPairsMax) | 1U;
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
  // A turn that takes long is troubled less by what happens in it: fewer of them are compared.
  static constexpr int64_t kEnoughNs = 60 * kNsPerMs;
  static constexpr size_t kPairsMin = 3;
  static constexpr size_t kPairsMax = 9;
  static constexpr double kWorthGrowing = 1.02;
  static constexpr double kWorthShrinking = 0.99;
  // So much better that the first pair is proof enough: a long line.
  static constexpr double kPlainlyBetter = 1.5;
  // So much worse that further pairs would only cost.
  static constexpr double kPlainlyWorse = 0.9;
  // Of a window of which no more than this was in flight, most is given up.
  static constexpr uint32_t kUnusedPart = 4;
  static constexpr int64_t kHoldNs = 200 * kNsPerMs;

  void BeginTurn(uint32_t settling, MonoNs now) {
    feed_limited_ = false;
    settling_ = settling;
    answered_ = 0;
    in_flight_max_ = 0;
    turn_began_ = now;
  }

  void EndTurn(double rate, MonoNs now) {
    const uint32_t before = now_tried_;
    if (in_flight_max_ <= size_ / kUnusedPart && Half() != size_) {
      while (in_flight_max_ <= size_ / kUnusedPart && Half() != size_) size_ = Half();
      Try(Half());
    } else if (trial_ == size_) {  // nothing is being tried
      if (now >= hold_until_) Try(Half() != size_ ? Half() : Twice());
    } else if (now_tried_ == size_) {
      rate_ = rate;
      now_tried_ = trial_;
    } else {
      OnPair(rate, now);
    }
    BeginTurn(now_tried_ == before ? 0 : before, now);
  }

  // A turn with the window was followed by one with the trial.
  void OnPair(double rate, MonoNs now) {
    const double ratio = ratios_[pairs_++] = rate / rate_;
    const bool grows = trial_ > size_;
    bool enough = pairs_ >= enough_pairs_;
    bool worth = enough && IsWorthIt(grows);
    if (pairs_ == 1 && ratio < kPlainlyWorse) {
      enough = true;
      worth = false;
    } else if (pairs_ == 1 && grows && ratio > kPlainlyBetter) {
      enough = worth = true;
    }
    if (!enough) {
      now_tried_ = size_;
    } else if (worth) {
      size_ = trial_;
      Try(grows ? Twice() : Half());
      // The turn that has just ended is the first of the next pair.
      rate_ = rate;
      now_tried_ = trial_;
    } else {
      Try(grows ? size_ : Twice());
    }
    if (trial_ == size_) hold_until_ = now + kHoldNs;
  }

  // Most pairs tell. Where the server makes pauses they are far apart, and more must agree that it grows.
  bool IsWorthIt(bool grows) const {
    const size_t half = pairs_ / 2 + 1;
    if (!grows) return Above(kWorthShrinking) >= half;
    return Above(kWorthGrowing) >= half && Above(1) >= pairs_ - (pairs_ - 1) * 3 / 8;
  }
  size_t Above(double ratio) const {
    return static_cast<size_t>(
        std::count_if(ratios_.begin(), ratios_.begin() + pairs_, [ratio](double pair) { return pair > ratio; }));
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
  uint32_t in_flight_max_ = 0;  // in this turn
  MonoNs turn_began_;
  MonoNs hold_until_;
  double rate_ = 0;
  std::array<double, kPairsMax> ratios_{};
  size_t pairs_ = 0;
  size_t enough_pairs_ = kPairsMax;
};

}  // namespace tickbridge
