// SPDX-License-Identifier: Apache-2.0
// An agent: an object with a duty cycle. A runner (core/runner.h) is a thread that turns a list of them; a test or a
// simulation steps the same agents by hand.
#pragma once

#include <string_view>

namespace tickbridge {

class Agent {
 public:
  virtual ~Agent() = default;

  // Does what there is to do, without blocking, and returns how much that was. 0: nothing, the runner may idle.
  virtual int DoWork() noexcept = 0;

  virtual std::string_view name() const = 0;

  // On the runner's thread, before the first and after the last duty cycle.
  virtual void OnStart() noexcept {}
  virtual void OnClose() noexcept {}
};

}  // namespace tickbridge
