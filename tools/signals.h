// SPDX-License-Identifier: Apache-2.0
// SIGINT and SIGTERM as something the main thread can wait for, between two looks at how things are.
#pragma once

#include <cstdint>

namespace tickbridge {

class StopSignals {
 public:
  // Blocks both signals in this thread, and so in every thread it starts from here on.
  StopSignals();

  // Waits at most `ns` for one of them. True if one came, now or before.
  bool Wait(int64_t ns);

 private:
  bool came_ = false;
};

}  // namespace tickbridge
