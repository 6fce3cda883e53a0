// SPDX-License-Identifier: Apache-2.0
// Where the program's log lines go: to stderr, with UTC time and level, written by a thread of their own.
//
// A caller never waits for the terminal: when lines come faster than they can be written, the oldest are dropped, and
// how many is said at the end. Colours on a terminal only, unless NO_COLOR is set.
// Threading: Log (core/log.h) from any thread. One Logging at a time; it outlives all runners.
#pragma once

#include <string_view>

namespace tickbridge {

class Logging {
 public:
  // Takes core/log.h's lines from here on. `level`: debug, info, warn or error; what is below is dropped.
  explicit Logging(std::string_view level = "info");
  // Writes out what is waiting.
  ~Logging();
  Logging(const Logging&) = delete;
  Logging& operator=(const Logging&) = delete;

  // Of the one Logging there is.
  static void SetLevel(std::string_view level);
};

}  // namespace tickbridge
