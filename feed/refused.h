// SPDX-License-Identifier: Apache-2.0
// What a publisher keeps of one symbol while its ring is full: as few ticks as come to the same in the bridge, once
// sent, as all that were refused (DESIGN.md, Merge).
//
// Of the quote group that is the union of what was given and cleared. Of the trades the newest, and, so that the sums
// which the bridge makes of trades stay right, the highest and the lowest Last, and the sum of the LastSizes. They are
// sent as ordinary ticks in the order of their time. What was given explicitly (Volume, High, Low) stands for itself.
// Exactly the same comes out where each group of a symbol either always has venue times or never has, and no other
// source's ticks of the symbol come between (those of the publisher before a restart are such a source's). A tick
// that the bridge rejects, for a negative price or a time ahead of its `max_ahead`, takes with it what it was
// conflated with.
//
// Memory: fixed, about 600 bytes a symbol; nothing here allocates, but for the caller's vector.
#pragma once

#include <cstdint>
#include <vector>

#include "core/decimal.h"
#include "core/tick.h"

namespace tickbridge {

// One step of what is to be sent: a reset, or a tick.
struct RefusedStep {
  bool reset = false;
  Tick tick;
};

class Refused {
 public:
  bool empty() const noexcept { return !waiting_; }
  // A tick whose groups are known not to be older than what was sent before; a group that is was taken out.
  void Take(const Tick& tick) noexcept;
  void TakeReset() noexcept;
  // Appends what is to be sent, and is empty again.
  void MoveTo(std::vector<RefusedStep>* steps);

  // The longest list that MoveTo makes, and how many lines of a ring it can take.
  static constexpr size_t kStepsMax = 2 * 6 + 2;
  static constexpr uint64_t kLinesMax = 2 * kStepsMax;

 private:
  // What came between two resets.
  class Stage {
   public:
    bool empty() const noexcept { return (tick_.given | tick_.cleared) == 0 && !tick_.has_status; }
    void Take(const Tick& tick) noexcept;
    // Takes in what came after a reset that follows this, where another reset follows both: sums no longer count.
    void TakeAfterReset(const Stage& later) noexcept;
    void AppendTo(std::vector<RefusedStep>* steps) const;

   private:
    struct Extreme {
      Decimal last;
      VenueNs time;
      uint64_t order = 0;
    };

    void TakeUnion(const Tick& tick) noexcept;
    bool Touched(Field field) const noexcept { return ((tick_.given | tick_.cleared) & Bit(field)) != 0; }

    Tick tick_;  // the union, with the newest times
    uint64_t trades_ = 0;
    Extreme high_;
    Extreme low_;
    bool has_sum_ = false;
    bool overflowed_ = false;  // the sum has left 18 digits, as the bridge's own would
    Decimal sum_;
  };

  bool waiting_ = false;
  bool reset_first_ = false;
  Stage before_;
  bool reset_between_ = false;
  Stage after_;
};

}  // namespace tickbridge
