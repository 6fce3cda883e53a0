// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/network.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tickbridge::sim {

std::string Pipe::Take(MonoNs now, size_t max) {
  std::string taken;
  while (!parts_.empty() && parts_.front().arrives <= now && taken.size() < max) {
    Part& part = parts_.front();
    const size_t some = std::min(part.bytes.size(), max - taken.size());
    taken.append(part.bytes, 0, some);
    part.bytes.erase(0, some);
    size_ -= some;
    if (part.bytes.empty()) parts_.pop_front();
  }
  return taken;
}

std::shared_ptr<Link> Network::Connect() {
  if (server_down || random_->Chance(faults.connect_fails)) return nullptr;
  auto link = std::make_shared<Link>();
  link->client = server_->Accept();
  links_.push_back(link);
  return link;
}

void Network::Step() {
  const MonoNs now = clock_->Now();
  for (const std::shared_ptr<Link>& link : links_) {
    if (link->client != 0 && !server_->Has(link->client)) {
      // Killed: what the server had read or had coming is lost, what it had answered still arrives.
      link->client = 0;
      link->server_closed = true;
      link->to_server.Drop();
    }
    if (link->client == 0 || server_stalled) continue;
    if (now < link->silent_until) continue;
    const std::string bytes =
        link->to_server.Take(now, random_->Chance(faults.partial) ? random_->Below(40) + 1 : 65536);
    std::string replies = server_->Receive(link->client, bytes, random_->Below(300) + 1);
    if (!replies.empty() && random_->Chance(faults.garbage)) replies += "what is this\r\n";
    if (!replies.empty() && !link->reset) link->to_client.Send(std::move(replies), Arrival());
    const bool finished = !link->client_open && link->to_server.size() == 0 && !server_->HasWork(link->client);
    if (finished && server_->Has(link->client)) {
      server_->Disconnect(link->client);
      link->client = 0;
    }
  }
  std::erase_if(links_, [](const std::shared_ptr<Link>& link) { return link->client == 0 && !link->client_open; });
}

std::shared_ptr<Link> Network::Pick() { return links_.empty() ? nullptr : links_[random_->Below(links_.size())]; }

void Network::ResetSome(bool deliver_late) {
  const std::shared_ptr<Link> link = Pick();
  if (link == nullptr) return;
  link->reset = true;
  link->to_client.Drop();
  if (deliver_late) {
    link->to_server.Delay(random_->Between(0, 4 * kNsPerSec));
  } else {
    link->to_server.Drop();
  }
}

void Network::SilenceSome(int64_t ns) {
  if (const std::shared_ptr<Link> link = Pick()) link->silent_until = clock_->Now() + ns;
}

void Network::DelaySome(int64_t ns) {
  if (const std::shared_ptr<Link> link = Pick()) {
    link->to_server.Delay(ns);
    if (random_->Chance(0.5)) link->to_client.Delay(ns);
  }
}

void Network::KillSomeClient() {
  if (const std::shared_ptr<Link> link = Pick(); link != nullptr && link->client != 0)
    server_->Disconnect(link->client);
}

void Network::ServerGone() {
  for (const std::shared_ptr<Link>& link : links_) {
    link->client = 0;
    link->server_closed = true;
    link->to_server.Drop();
  }
}

size_t Network::bytes_on_the_way() const {
  size_t bytes = 0;
  for (const std::shared_ptr<Link>& link : links_) bytes += link->to_server.size() + link->to_client.size();
  return bytes;
}

Transport::Result SimTransport::Read(std::span<char> into, size_t* bytes) noexcept {
  *bytes = 0;
  network_->meanwhile();
  Random& random = *network_->random();
  if (link_->reset) return Result::kClosed;
  if (random.Chance(network_->faults.would_block)) return Result::kWouldBlock;
  const size_t max = random.Chance(network_->faults.partial) ? random.Below(7) + 1 : into.size();
  const MonoNs now = network_->clock()->Now();
  const std::string taken = now < link_->silent_until ? "" : link_->to_client.Take(now, std::min(max, into.size()));
  if (taken.empty())
    return link_->server_closed && link_->to_client.size() == 0 ? Result::kClosed : Result::kWouldBlock;
  std::memcpy(into.data(), taken.data(), taken.size());
  *bytes = taken.size();
  return Result::kOk;
}

Transport::Result SimTransport::Write(std::span<const char> from, size_t* bytes) noexcept {
  *bytes = 0;
  network_->meanwhile();
  Random& random = *network_->random();
  if (link_->reset || link_->server_closed) return Result::kClosed;
  if (link_->to_server.size() >= kSocketBytes || random.Chance(network_->faults.would_block))
    return Result::kWouldBlock;
  size_t some = std::min(from.size(), kSocketBytes - link_->to_server.size());
  if (random.Chance(network_->faults.partial)) some = random.Below(some) + 1;
  link_->to_server.Send({from.data(), some}, network_->Arrival());
  *bytes = some;
  return Result::kOk;
}

void SimConnector::Connect() {
  Abandon();
  connects_at_ = network_->clock()->Now() + network_->random()->Between(10'000, 2'000'000);
}

void SimConnector::Fence() {
  handshake_->Fence();
  gives_up_at_ = network_->clock()->Now() + 10 * kNsPerSec;
  turning_ = true;
}

void SimConnector::Abandon() {
  connects_at_.reset();
  outcome_.reset();
  handshake_.reset();
  transport_.reset();
  turning_ = false;
}

std::optional<absl::Status> SimConnector::Poll() { return std::exchange(outcome_, std::nullopt); }

Session SimConnector::Take() {
  Session session{std::move(transport_), handshake_->server()};
  handshake_.reset();
  return session;
}

void SimConnector::Fail(std::string_view why) {
  Abandon();
  outcome_ = absl::UnavailableError(why);
}

void SimConnector::Step() {
  const MonoNs now = network_->clock()->Now();
  if (connects_at_.has_value()) {
    if (now < *connects_at_) return;
    connects_at_.reset();
    std::shared_ptr<Link> link = network_->Connect();
    if (link == nullptr) return Fail("connection refused");
    transport_ = std::make_unique<SimTransport>(std::move(link), network_);
    handshake_ = std::make_unique<Handshake>(hello_, transport_.get(), network_->clock());
    handshake_->Greet();
    gives_up_at_ = now + 5 * kNsPerSec;
    turning_ = true;
  }
  if (!turning_) return;
  if (std::optional<absl::Status> outcome = handshake_->Step()) {
    turning_ = false;
    if (!outcome->ok()) {
      handshake_.reset();
      transport_.reset();
    }
    outcome_ = std::move(outcome);
  } else if (now > gives_up_at_) {
    Fail("no answer to the handshake");
  }
}

}  // namespace tickbridge::sim
