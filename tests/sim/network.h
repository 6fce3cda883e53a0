// SPDX-License-Identifier: Apache-2.0
// A network between a lane and a simulated server, that may do to bytes all that networks do: hold them, split them
// anywhere, cut off one side or both, and deliver what was given up long ago.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "sink/handshake.h"
#include "sink/transport.h"
#include "tests/sim/clock.h"
#include "tests/sim/random.h"
#include "tests/sim/server.h"

namespace tickbridge::sim {

// Bytes on their way in one direction, in order.
class Pipe {
 public:
  void Send(std::string bytes, MonoNs arrives) {
    if (!parts_.empty()) arrives = std::max(arrives, parts_.back().arrives);
    size_ += bytes.size();
    parts_.push_back({arrives, std::move(bytes)});
  }
  // Up to `max` bytes of what has arrived.
  std::string Take(MonoNs now, size_t max);
  void Delay(int64_t ns) {
    for (Part& part : parts_) part.arrives = part.arrives + ns;
  }
  void Drop() {
    parts_.clear();
    size_ = 0;
  }
  size_t size() const { return size_; }

 private:
  struct Part {
    MonoNs arrives;
    std::string bytes;
  };
  std::deque<Part> parts_;
  size_t size_ = 0;
};

struct Link {
  Server::ClientId client = 0;  // 0: the server does not know it (any more)
  Pipe to_server;
  Pipe to_client;
  bool client_open = true;     // the lane's side still holds it
  bool reset = false;          // the lane's side is told that it is gone
  MonoNs silent_until;         // until then neither side hears anything, nor that it does not
  bool server_closed = false;  // the server closed it: the lane reads what is left, and then the end
};

class Network {
 public:
  struct Faults {
    double partial = 0.1;       // a read or write moves only some of the bytes
    double would_block = 0.02;  // … or none
    int64_t latency_ns_max = 50'000;
    double connect_fails = 0;
    double garbage = 0;  // a reply has nonsense behind it
  };

  Network(Server* server, const SimClock* clock, Random* random) : server_(server), clock_(clock), random_(random) {}

  Faults faults;
  // The server neither reads nor answers.
  bool server_stalled = false;
  bool server_down = false;

  // A new connection; null if there is no server to take it.
  std::shared_ptr<Link> Connect();
  // Moves bytes between links and server.
  void Step();

  // What a network or an operator may do to links.
  void ResetSome(bool deliver_late);
  void SilenceSome(int64_t ns);
  void DelaySome(int64_t ns);
  void KillSomeClient();
  // All connections end; what is on its way is lost with them.
  void ServerGone();

  // Called in the middle of a lane's reads and writes: what other threads do meanwhile.
  std::function<void()> meanwhile = [] {};

  MonoNs Arrival() { return clock_->Now() + random_->Between(1'000, faults.latency_ns_max); }
  Random* random() { return random_; }
  const SimClock* clock() const { return clock_; }
  size_t bytes_on_the_way() const;

 private:
  std::shared_ptr<Link> Pick();

  Server* const server_;
  const SimClock* const clock_;
  Random* const random_;
  std::vector<std::shared_ptr<Link>> links_;
};

class SimTransport final : public Transport {
 public:
  SimTransport(std::shared_ptr<Link> link, Network* network) : link_(std::move(link)), network_(network) {}
  ~SimTransport() override { link_->client_open = false; }
  Result Read(std::span<char> into, size_t* bytes) noexcept override;
  Result Write(std::span<const char> from, size_t* bytes) noexcept override;

 private:
  static constexpr size_t kSocketBytes = 256 << 10;
  const std::shared_ptr<Link> link_;
  Network* const network_;
};

// The connector without its thread: the real handshake, stepped by the world.
class SimConnector final : public Connector {
 public:
  SimConnector(Network* network, Handshake::Options hello) : network_(network), hello_(std::move(hello)) {}
  void Connect() override;
  void Fence() override;
  void Abandon() override;
  std::optional<absl::Status> Poll() override;
  Session Take() override;
  void Step();

 private:
  void Fail(std::string_view why);

  Network* const network_;
  const Handshake::Options hello_;
  std::optional<MonoNs> connects_at_;
  MonoNs gives_up_at_;
  std::unique_ptr<SimTransport> transport_;
  std::unique_ptr<Handshake> handshake_;
  bool turning_ = false;
  std::optional<absl::Status> outcome_;
};

}  // namespace tickbridge::sim
