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

}  // namespace

void GeneratorFeed::OpenSource(MonoNs now) noexcept {
  if (source_ != kNoSource) return;
  source_ = ingest_->core().sources->Open(0, now);
  SourceOpened(now);
}

Generator::Generator(const Schedule::Options& schedule, bool shadow, Ingest* ingest, AckMeter* meter,
                     std::vector<Watcher*> watchers)
    : GeneratorFeed(ingest, meter, std::move(watchers)), schedule_(schedule), shadow_(shadow) {
  for (uint32_t i = 0; i < schedule.symbols; ++i) ingest->core().symbols->Insert(BenchSymbolName(i));
}

int Generator::DoWork() noexcept {
  const MonoNs begin = start();
  if (begin.value == 0) return 0;
  const MonoNs now = ingest_->core().clock->Now();
  Look(now);
  if (finished()) return 0;
  if (!shadow_) {
    OpenSource(now);
    ingest_->BeginBatch(source_, now);
  }
  const int64_t reach_ns = now - begin + (shadow_ ? kAheadNs : 0);
  const int batch = shadow_ ? kShadowBatch : kBatch;
  int sent = 0;
  for (; sent < batch && !schedule_.done() && schedule_.due_ns() <= reach_ns; ++sent) {
    const MonoNs due = begin + schedule_.due_ns();
    Announce(schedule_.symbol(), due);
    if (!shadow_) {
      ingest_->OnTick(schedule_.name(), schedule_.tick());
      Sent(due, now);
    }
    schedule_.Advance();
  }
  if (schedule_.done()) Finish(now);
  return sent;
}

}  // namespace tickbridge
