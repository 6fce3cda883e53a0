// SPDX-License-Identifier: Apache-2.0
// A sink before a real Redis, with symbols that are always dirty: whatever it takes is marked again before its next
// duty cycle, by the same exchange that a feed would make. So ticks come faster than any server writes, and cost little
// to make. And what the server says it did.
//
// Threading: the thread that calls.
#pragma once

#include <hiredis/hiredis.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/full_tick.h"
#include "core/clock.h"
#include "core/idle_strategy.h"
#include "sink/lane.h"
#include "sink/redis_connector.h"

namespace tickbridge {

using Seconds = std::chrono::duration<double>;

inline constexpr uint32_t kLiveSymbols = 1'000;

inline std::string LiveSymbolName(uint32_t i) { return absl::StrCat("S", 1000 + i); }

inline void PinTo(int cpu, pid_t pid) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  ::sched_setaffinity(pid, sizeof(set), &set);
}

// Of an even number of values: the mean of the two in the middle.
inline double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Asks the server what it has carried out.
class ServerCounts {
 public:
  explicit ServerCounts(const std::string& socket) : context_(redisConnectUnix(socket.c_str())) {}
  ServerCounts(const ServerCounts&) = delete;
  ServerCounts& operator=(const ServerCounts&) = delete;
  ~ServerCounts() { redisFree(context_); }

  // Keys that were set so far: as many for an MSETEX as it has keys. The server must never save.
  uint64_t Sets() const {
    auto* reply = static_cast<redisReply*>(redisCommand(context_, "INFO persistence"));
    const std::string info(reply->str, reply->len);
    freeReplyObject(reply);
    constexpr std::string_view kChanges = "rdb_changes_since_last_save:";
    return std::strtoull(info.c_str() + info.find(kChanges) + kChanges.size(), nullptr, 10);
  }

  // Runs `work` and says how many keys a second the server set meanwhile.
  template <typename Work>
  double Measure(Work work) const {
    const uint64_t before = Sets();
    const auto begin = std::chrono::steady_clock::now();
    work();
    const Seconds took = std::chrono::steady_clock::now() - begin;
    return static_cast<double>(Sets() - before) / took.count();
  }

 private:
  redisContext* context_;
};

inline std::unique_ptr<Connector> LiveConnector(const RedisTarget& target) {
  RedisConnector::Options connect;
  connect.target = target;
  connect.client_name = "tickbridge:bench:0";
  return *RedisConnector::Create(connect);
}

class LiveSink {
 public:
  struct Options {
    double share = 1.0;
    uint32_t fixed_window = 0;  // 0: it finds its own
    uint32_t max_in_flight = limits::kInFlightDefault;
    IdleMode idle = IdleMode::kSpin;
  };

  LiveSink(std::unique_ptr<Connector> connector, const Options& options)
      : classes_(DefaultKeyClasses()), idle_(options.idle, kMaxParkNs) {
    counters_ = *CountersFile::Create("");
    core_ = {clock_.get(), &symbols_, &table_, &dirty_, &documents_, &sources_, &classes_};
    Lane::Options lane;
    lane.share = options.share;
    lane.max_in_flight = options.fixed_window != 0 ? options.fixed_window : options.max_in_flight;
    lane.fixed_window = options.fixed_window != 0;
    lane_ = std::make_unique<Lane>(core_, lane, std::move(connector), counters_.get());
    for (uint32_t i = 0; i < kLiveSymbols; ++i) symbols_.Insert(LiveSymbolName(i));
    while (lane_->state() != Lane::State::kUp) lane_->DoWork();
    const MonoNs now = clock_->Now();
    for (uint32_t i = 0; i < kLiveSymbols; ++i) Touch(i, now);
  }

  void Run(Seconds duration) {
    const auto end = std::chrono::steady_clock::now() + duration;
    uint64_t cycles = 0;
    uint64_t seen = lane_->counts().writes->Get();
    while (++cycles % 64 != 0 || std::chrono::steady_clock::now() < end) {
      const int work = lane_->DoWork();
      idle_.Idle(work, work == 0 ? lane_->RestNs() : 0);
      const uint64_t writes = lane_->counts().writes->Get();
      const MonoNs now = clock_->Now();
      for (; seen < writes; ++seen) {
        Touch(next_, now);
        next_ = next_ + 1 == kLiveSymbols ? 0 : next_ + 1;
      }
    }
  }

  const Lane& lane() const { return *lane_; }
  // From when the oldest tick that a write covers was received to the write's acknowledgement. To be reset at will.
  Histogram* staleness() const { return lane_->counts().staleness_ns; }

 private:
  static constexpr int64_t kMaxParkNs = 50'000;

  void Touch(uint32_t symbol, MonoNs now) {
    table_.Merge(SymbolId{symbol}, FullTick(++ticks_), {.received = now, .clock = {}});
    dirty_.Mark(0, SymbolId{symbol}, now);
  }

  std::unique_ptr<Clock> clock_ = MakeClock();
  std::vector<KeyClass> classes_;
  IdleStrategy idle_;
  std::unique_ptr<CountersFile> counters_;
  SymbolTable symbols_{kLiveSymbols};
  LatestTable table_{{kLiveSymbols, 0}};
  DirtyQueue dirty_{&table_, 1, 1};
  SourceTable sources_;
  DocumentTable documents_{16, 1, &sources_};
  Core core_;
  std::unique_ptr<Lane> lane_;
  int64_t ticks_ = 0;
  uint32_t next_ = 0;
};

}  // namespace tickbridge
