// SPDX-License-Identifier: Apache-2.0
// An agent: an object with a duty cycle. A runner (core/runner.h) is a thread that turns a list of them; a test or a
// simulation steps the same agents by hand.
#pragma once

#include <cstdint>
#include <string_view>

namespace tickbridge {

class Agent {
 public:
  virtual ~Agent() = default;

  // Does what there is to do, without blocking, and returns how much that was. 0: nothing, the runner may idle.
  virtual int DoWork() noexcept = 0;

  // Between duty cycles, where none of them found work: for how long there will be none here, as far as is known, since
  // what this agent waits for takes its time. A runner that may sleep does so at once then, and does not look out
  // first. 0: work may come at any moment. kNoSay: it comes from others, so that they know.
  static constexpr int64_t kNoSay = INT64_MAX;
  virtual int64_t RestNs() const noexcept { return kNoSay; }

  virtual std::string_view name() const = 0;

  // On the runner's thread, before the first and after the last duty cycle.
  virtual void OnStart() noexcept {}
  virtual void OnClose() noexcept {}
};

}  // namespace tickbridge
