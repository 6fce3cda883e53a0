// SPDX-License-Identifier: Apache-2.0
// The sink's steps on a core in private memory, without a server: what it would send is counted and thrown away, and
// each command is answered by bytes that lie ready. With a clock that is set by hand nothing here depends on time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/full_tick.h"
#include "sink/lane.h"
#include "sink/price_sink.h"
#include "sink/reply_reader.h"
#include "tests/core_fixture.h"

namespace tickbridge {

// A core all of whose symbols can be made dirty.
class DirtyCore {
 public:
  explicit DirtyCore(uint32_t symbols) : core_({.symbols = symbols}) {
    for (uint32_t i = 0; i < symbols; ++i) core_.symbols.Insert("S" + std::to_string(100'000 + i));
    core_.clock.Advance(kNsPerSec);
  }
  uint32_t symbols() const { return core_.symbols.size(); }
  CoreFixture& fixture() { return core_; }

  // One tick of each symbol.
  void TickAll() {
    const Tick tick = FullTick(++ticks_);
    TickContext context;
    context.received = core_.clock.Now();
    for (uint32_t i = 0; i < symbols(); ++i) {
      core_.table.Merge(SymbolId{i}, tick, context);
      core_.dirty.Mark(0, SymbolId{i}, context.received);
    }
  }

 private:
  CoreFixture core_;
  int64_t ticks_ = 0;
};

// The price side alone: from dirty ids to bytes, and from answers to settled records.
class SinkStage {
 public:
  SinkStage(uint32_t symbols, bool msetex)
      : core_(symbols),
        counts_(core_.fixture().counters.get(), "lane.0."),
        sink_(core_.fixture().core(), {}, &counts_),
        outbox_(symbols, size_t{symbols} * 1024) {
    sink_.SetBatching(msetex);
  }

  DirtyCore& core() { return core_; }

  // Sends every dirty symbol. Returns how many.
  uint32_t FillAll() {
    uint32_t count = 0;
    while (const int filled = sink_.Fill(&outbox_, kFillMax, core_.fixture().clock.Now())) {
      count += static_cast<uint32_t>(filled);
      outbox_.MarkSent(outbox_.Unsent().size());
    }
    return count;
  }
  // Settles all that was sent, as if each had been answered.
  void SettleAll() {
    while (!outbox_.empty()) sink_.OnSettled(outbox_.Pop(), LaneCounts::End::kWritten, core_.fixture().clock.Now());
  }

 private:
  static constexpr uint32_t kFillMax = 256;  // as a lane does in a duty cycle

  DirtyCore core_;
  LaneCounts counts_;
  PriceSink sink_;
  Outbox outbox_;
};

// A whole lane, whose connection is memory: it takes all that is written, and answers each SETEX with `+OK`.
class LaneStage {
 public:
  explicit LaneStage(uint32_t symbols) : core_(symbols) {
    Lane::Options options;
    options.share = 1.0;
    options.max_in_flight = kWindow;
    options.fixed_window = true;
    auto connector = std::make_unique<MemoryConnector>(&writes_);
    lane_ = std::make_unique<Lane>(core_.fixture().core(), std::move(options), std::move(connector),
                                   core_.fixture().counters.get());
    writes_ = lane_->counts().writes;
    while (lane_->state() != Lane::State::kUp) lane_->DoWork();
  }

  DirtyCore& core() { return core_; }

  // Sends every dirty symbol and settles the answers. Returns how many.
  uint64_t DeliverAll() {
    const uint64_t before = lane_->counts().acks->Get();
    while (lane_->counts().acks->Get() != before + core_.symbols()) {
      core_.fixture().clock.Advance(kCycleNs);
      lane_->DoWork();
    }
    return lane_->counts().acks->Get() - before;
  }

 private:
  static constexpr uint32_t kWindow = 1'024;
  static constexpr int64_t kCycleNs = 10 * kNsPerUs;  // from one duty cycle to the next: long enough to read again

  class MemoryTransport : public Transport {
   public:
    explicit MemoryTransport(const Counter* const* writes) : writes_(writes) {
      for (uint32_t i = 0; i < kWindow; ++i) oks_ += kOk;
    }
    Result Write(std::span<const char> from, size_t* bytes) noexcept override {
      *bytes = from.size();
      written_ = true;
      return Result::kOk;
    }
    Result Read(std::span<char> into, size_t* bytes) noexcept override {
      if (!written_) return Result::kWouldBlock;
      std::string_view answer = kPong;  // the first command of a connection is a PING
      if (greeted_) {
        const uint64_t owed = std::min<uint64_t>((*writes_)->Get() - answered_, into.size() / kOk.size());
        answer = std::string_view(oks_).substr(0, owed * kOk.size());
        answered_ += owed;
      }
      greeted_ = true;
      if (answer.empty()) return Result::kWouldBlock;
      *bytes = answer.copy(into.data(), into.size());
      return Result::kOk;
    }

   private:
    static constexpr std::string_view kOk = "+OK\r\n";
    static constexpr std::string_view kPong = "+PONG\r\n";
    const Counter* const* const writes_;  // of the lane, which is made after this
    std::string oks_;
    bool written_ = false;
    bool greeted_ = false;
    uint64_t answered_ = 0;
  };
  class MemoryConnector : public Connector {
   public:
    explicit MemoryConnector(const Counter* const* writes) : writes_(writes) {}
    void Connect() override {}
    void Fence() override {}
    void Abandon() override {}
    std::optional<absl::Status> Poll() override { return absl::OkStatus(); }
    Session Take() override {
      Session session;
      session.transport = std::make_unique<MemoryTransport>(writes_);
      session.server.run_id = "memory";
      return session;
    }

   private:
    const Counter* const* const writes_;
  };

  DirtyCore core_;
  const Counter* writes_ = nullptr;
  std::unique_ptr<Lane> lane_;
};

}  // namespace tickbridge
