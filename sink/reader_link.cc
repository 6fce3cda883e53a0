// SPDX-License-Identifier: Apache-2.0
#include "sink/reader_link.h"

#include <algorithm>

namespace tickbridge {

absl::StatusOr<std::unique_ptr<ReaderLink>> ReaderLink::Create(Options options) {
  std::unique_ptr<ReaderLink> link(new ReaderLink);
  link->options_ = std::move(options);
  std::vector<RedisTarget> targets = link->options_.replicas;
  targets.push_back(link->options_.primary);
  for (RedisTarget& target : targets) {
    absl::StatusOr<Place> place = link->MakePlace(std::move(target));
    if (!place.ok()) return place.status();
    link->places_.push_back(*std::move(place));
  }
  if (link->options_.discover_replicas) link->at_ = link->places_.size() - 1;
  return link;
}

absl::StatusOr<ReaderLink::Place> ReaderLink::MakePlace(RedisTarget target) const {
  RedisConnector::Options how;
  how.target = target;
  how.timeout_ns = options_.connect_timeout_ns;
  absl::StatusOr<std::unique_ptr<RedisConnector>> connector = RedisConnector::Create(std::move(how));
  if (!connector.ok()) return connector.status();
  return Place{std::move(target), *std::move(connector)};
}

std::optional<absl::StatusOr<Session>> ReaderLink::Poll(MonoNs now) {
  RedisConnector& connector = *places_[at_].connector;
  if (state_ == State::kWaiting && now >= retry_at_) {
    connector.Connect();
    state_ = State::kConnecting;
  }
  if (state_ != State::kConnecting) return std::nullopt;
  std::optional<absl::Status> outcome = connector.Poll();
  if (!outcome.has_value()) return std::nullopt;
  if (!outcome->ok()) {
    OnLost(*outcome, now);
    return *std::move(outcome);
  }
  state_ = State::kConnected;
  return connector.Take();
}

void ReaderLink::OnLost(const absl::Status& why, MonoNs now) {
  const bool refused = absl::IsPermissionDenied(why) || absl::IsFailedPrecondition(why);
  state_ = State::kWaiting;
  retry_at_ = now + (refused ? kBackOffNsMax : back_off_ns_);
  back_off_ns_ = std::min(2 * back_off_ns_, kBackOffNsMax);
  at_ = (at_ + 1) % places_.size();
}

bool ReaderLink::discovers(MonoNs now) const noexcept {
  return options_.discover_replicas && !at_replica() && now >= discover_at_;
}

bool ReaderLink::OnReplicas(const std::vector<std::pair<std::string, uint16_t>>& found, MonoNs now) {
  discover_at_ = now + kDiscoverNs;
  std::vector<Place> places;
  for (const auto& [host, port] : found) {
    if (places.size() == kReplicasMax) break;
    // As the primary is, but for the address: user, password, database, TLS.
    RedisTarget target = options_.primary;
    target.kind = RedisTarget::Kind::kTcp;
    target.unix_path.clear();
    target.host = host;
    target.port = port;
    absl::StatusOr<Place> place = MakePlace(std::move(target));
    if (place.ok()) places.push_back(*std::move(place));
  }
  if (places.empty()) return false;
  places.push_back(std::move(places_.back()));
  places_ = std::move(places);
  at_ = 0;
  state_ = State::kWaiting;
  retry_at_ = now;
  return true;
}

}  // namespace tickbridge
