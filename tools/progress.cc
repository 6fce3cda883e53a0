// SPDX-License-Identifier: Apache-2.0
#include "tools/progress.h"

#include <unistd.h>

#include <cstdio>

namespace tickbridge {
namespace {
constexpr int64_t kIntervalNs = kNsPerSec / 2;
}

Progress::Progress(const Bridge* bridge)
    : bridge_(bridge), on_terminal_(::isatty(STDERR_FILENO) == 1), drawn_at_(SystemClock::ReadMonotonic()) {}

Progress::~Progress() { Break(); }

void Progress::Break() {
  if (drawn_) std::fputc('\n', stderr);
  drawn_ = false;
}

void Progress::Update() {
  const MonoNs now = SystemClock::ReadMonotonic();
  if (!on_terminal_ || now - drawn_at_ < kIntervalNs) return;
  const double seconds = static_cast<double>(now - drawn_at_) / kNsPerSec;
  const Summary summary = bridge_->Summarize();
  const double in = static_cast<double>(summary.records - records_) / seconds;
  const double out = static_cast<double>(summary.writes - writes_) / seconds;
  const uint64_t ended = summary.written + summary.conflated;
  const double conflated = ended == 0 ? 0 : 100.0 * static_cast<double>(summary.conflated) / static_cast<double>(ended);
  std::fprintf(stderr, "\r\x1b[K%.0f records/s  %.0f writes/s  %.1f %% conflated  tick to ack p99 %.0f µs  %s", in, out,
               conflated, static_cast<double>(summary.tick_to_ack_ns.p99) / 1000,
               std::string(LaneStateName(bridge_->lanes()[0]->state())).c_str());
  std::fflush(stderr);
  records_ = summary.records;
  writes_ = summary.writes;
  drawn_at_ = now;
  drawn_ = true;
}

}  // namespace tickbridge
