// SPDX-License-Identifier: Apache-2.0
// One line on a terminal that says how a run is going: rate, conflation, p99. Silent where stderr is not a terminal.
//
// Threading: one thread.
#pragma once

#include "core/clock.h"
#include "tools/bridge.h"

namespace tickbridge {

class Progress {
 public:
  explicit Progress(const Bridge* bridge);
  ~Progress();  // ends the line

  // Redraws the line if it is time to.
  void Update();
  // Ends the line, so that another can be written.
  void Break();

 private:
  const Bridge* const bridge_;
  const bool on_terminal_;
  MonoNs drawn_at_;
  uint64_t records_ = 0;
  uint64_t writes_ = 0;
  bool drawn_ = false;
};

}  // namespace tickbridge
