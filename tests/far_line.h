// SPDX-License-Identifier: Apache-2.0
// A line to a server that is far away, without a proxy: what comes from the server is taken off the socket at once and
// handed out when its time has come. So each round trip takes so much longer, in whole and for every answer, while the
// server sees a client that reads as fast as it writes. What a long line's own buffers would hold back is not shown.
//
// Threading: the lane's thread; the delay may be changed between its duty cycles. Bytes stay in order: after the delay
// fell, the next ones wait for those before them.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/clock.h"
#include "sink/transport.h"

namespace tickbridge {

class FarTransport final : public Transport {
 public:
  // `delay_ns` is read at each arrival, and outlives the transport.
  FarTransport(std::unique_ptr<Transport> near, const int64_t* delay_ns)
      : near_(std::move(near)), delay_ns_(delay_ns) {}

  Result Write(std::span<const char> from, size_t* bytes) noexcept override { return near_->Write(from, bytes); }
  Result Read(std::span<char> into, size_t* bytes) noexcept override {
    const MonoNs now = SystemClock::ReadMonotonic();
    size_t arrived = 0;
    Result result = Result::kOk;
    while ((result = near_->Read(space_, &arrived)) == Result::kOk) {
      on_the_way_.push_back({now + *delay_ns_, std::string(space_.data(), arrived)});
      if (arrived < space_.size()) break;
    }
    if (on_the_way_.empty()) return result == Result::kClosed ? result : Result::kWouldBlock;
    if (on_the_way_.front().due > now) return Result::kWouldBlock;
    *bytes = 0;
    while (!on_the_way_.empty() && on_the_way_.front().due <= now && *bytes < into.size()) {
      std::string& first = on_the_way_.front().bytes;
      const size_t taken = std::min(first.size() - taken_, into.size() - *bytes);
      std::copy_n(first.data() + taken_, taken, into.data() + *bytes);
      *bytes += taken;
      taken_ += taken;
      if (taken_ < first.size()) break;
      on_the_way_.pop_front();
      taken_ = 0;
    }
    return Result::kOk;
  }
  absl::Status error() const override { return near_->error(); }

 private:
  struct Piece {
    MonoNs due;
    std::string bytes;
  };
  const std::unique_ptr<Transport> near_;
  const int64_t* const delay_ns_;
  std::array<char, 65'536> space_;
  std::deque<Piece> on_the_way_;
  size_t taken_ = 0;  // of the first piece
};

class FarConnector final : public Connector {
 public:
  FarConnector(std::unique_ptr<Connector> near, const int64_t* delay_ns)
      : near_(std::move(near)), delay_ns_(delay_ns) {}
  void Connect() override { near_->Connect(); }
  void Fence() override { near_->Fence(); }
  void Abandon() override { near_->Abandon(); }
  std::optional<absl::Status> Poll() override { return near_->Poll(); }
  Session Take() override {
    Session session = near_->Take();
    session.transport = std::make_unique<FarTransport>(std::move(session.transport), delay_ns_);
    return session;
  }

 private:
  const std::unique_ptr<Connector> near_;
  const int64_t* const delay_ns_;
};

}  // namespace tickbridge
