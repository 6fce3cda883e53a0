// SPDX-License-Identifier: Apache-2.0
// What the agents that read a feed have in common: a name, and whether they live, for `feed:{name}:alive`.
//
// Threading: IsAlive by any thread, the rest by the feed's runner.
// Memory order: the words are independent, each says all there is to say: relaxed is enough.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/agent.h"
#include "core/counters.h"
#include "core/types.h"

namespace tickbridge {

class Feed : public Agent {
 public:
  // "feed.<name>", as the configuration lists it.
  std::string_view name() const final { return agent_name_; }
  // As in the configuration: "local".
  const std::string& feed_name() const noexcept { return feed_name_; }

  // Whether a source of it is alive: open, and heard of within the liveness time-out. Of several open sources the one
  // last heard of counts; should that one have been closed since, up to one time-out may pass until it shows.
  bool IsAlive(MonoNs now) const noexcept {
    if (open_sources_.load(std::memory_order_relaxed) == 0) return false;
    return liveness_ns_ == 0 || now.value - last_life_ns_.load(std::memory_order_relaxed) <= liveness_ns_;
  }
  uint32_t open_sources() const noexcept { return open_sources_.load(std::memory_order_relaxed); }

 protected:
  // `liveness_ns` 0: alive while a source is open. `sources`: a gauge that follows the number of open sources; may
  // be null.
  Feed(std::string feed_name, int64_t liveness_ns, Gauge* sources)
      : feed_name_(std::move(feed_name)),
        agent_name_(absl::StrCat("feed.", feed_name_)),
        liveness_ns_(liveness_ns),
        sources_(sources) {}

  void SourceOpened(MonoNs now) noexcept {
    SignOfLife(now);
    SetOpenSources(open_sources() + 1);
  }
  void SourceClosed() noexcept { SetOpenSources(open_sources() - 1); }
  void SignOfLife(MonoNs now) noexcept { last_life_ns_.store(now.value, std::memory_order_relaxed); }

 private:
  void SetOpenSources(uint32_t count) noexcept {
    open_sources_.store(count, std::memory_order_relaxed);
    if (sources_ != nullptr) sources_->Set(count);
  }

  const std::string feed_name_;
  const std::string agent_name_;
  const int64_t liveness_ns_;
  Gauge* const sources_;
  std::atomic<int64_t> last_life_ns_{0};
  std::atomic<uint32_t> open_sources_{0};
};

}  // namespace tickbridge
