// SPDX-License-Identifier: Apache-2.0
#include "sink/settlement.h"

namespace tickbridge {

LaneCounts::LaneCounts(CountersFile* counters, const std::string& prefix) {
  counters->AlignGroup();
  const auto add = [&](const char* name) { return counters->AddCounter(prefix + name); };
  written = add("written");
  conflated = add("conflated");
  expired = add("expired");
  failed = add("failed");
  writes = add("writes");
  acks = add("acks");
  resent = add("resent");
  refreshed = add("refreshed");
  published = add("published");
  beacons = add("beacons");
  errors = add("errors");
  connects = add("connects");
  reconnects = add("reconnects");
  bytes_out = add("bytes_out");
  bytes_in = add("bytes_in");
  tick_to_ack_ns = counters->AddHistogram(prefix + "tick_to_ack_ns");
  staleness_ns = counters->AddHistogram(prefix + "staleness_ns");
}

}  // namespace tickbridge
