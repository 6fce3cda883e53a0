// SPDX-License-Identifier: Apache-2.0
#include "bench/generator.h"

#include <utility>

namespace tickbridge {
namespace {

// Ticks of one duty cycle.
constexpr int kBatch = 256;
constexpr int kShadowBatch = 4096;
// How far a shadow runs ahead, so that no tick arrives before it was announced.
constexpr int64_t kAheadNs = 5 * kNsPerMs;
constexpr int64_t kBeatNs = 100 * kNsPerMs;

}  // namespace

void GeneratorFeed::OpenSource(MonoNs now) noexcept {
  if (source_ != kNoSource) return;
  source_ = ingest_->core().sources->Open(0, now);
  SourceOpened(now);
}

Generator::Generator(const Schedule::Options& schedule, Way way, Publisher* publisher, Ingest* ingest, AckMeter* meter,
                     std::vector<Watcher*> watchers)
    : GeneratorFeed(ingest, meter, std::move(watchers)), schedule_(schedule), way_(way), publisher_(publisher) {
  for (uint32_t i = 0; i < schedule.symbols; ++i) ingest->core().symbols->Insert(BenchSymbolName(i));
}

void Generator::Merge() noexcept {
  // As a ring does: by name the first time, and then by number.
  if (schedule_.number() == 1) return ingest_->OnTick(schedule_.name(), schedule_.tick());
  ingest_->OnTick(SymbolId{schedule_.symbol()}, schedule_.tick());
}

int Generator::DoWork() noexcept {
  const MonoNs begin = start();
  if (begin.value == 0) return 0;
  const MonoNs now = ingest_->core().clock->Now();
  Look(now);
  if (finished()) return 0;
  if (way_ == Way::kMerge) {
    OpenSource(now);
    ingest_->BeginBatch(source_, now);
  } else if (way_ == Way::kRing && now - beat_ > kBeatNs) {
    beat_ = now;
    publisher_->Heartbeat();
  }
  const int64_t reach_ns = now - begin + (way_ == Way::kShadow ? kAheadNs : 0);
  const int batch = way_ == Way::kShadow ? kShadowBatch : kBatch;
  int sent = 0;
  for (; sent < batch && !schedule_.done() && schedule_.due_ns() <= reach_ns; ++sent) {
    const MonoNs due = begin + schedule_.due_ns();
    Announce(schedule_.symbol(), due);
    if (way_ == Way::kMerge) Merge();
    if (way_ == Way::kRing) publisher_->Publish(schedule_.symbol(), schedule_.tick());
    if (way_ != Way::kShadow) Sent(due, now);
    schedule_.Advance();
  }
  if (schedule_.done()) Finish(now);
  return sent;
}

}  // namespace tickbridge
