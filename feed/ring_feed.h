// SPDX-License-Identifier: Apache-2.0
// Takes ticks and documents out of shared-memory rings (feed/ring.h), one source a ring.
//
// A ring's source is open while its publisher lives or records are left; it is alive while the publisher is heard of.
// Each record's place is given back after its merge, so that a bridge that is killed merges at most one of them again.
// Received: now, but for what lay in the ring while no bridge looked, and for what waited with the publisher while the
// ring was full: these have the time that their stamp says, so that no old price passes for a fresh one.
// What is no record: a rejected one, counted. Where even the next one's place is unknown, because somebody wrote over
// the ring, all that was published until then is given up (`resyncs`), and it goes on with what comes.
// Threading: a feed, turned by its runner; system calls are made by a RingWatch.
// Cost: no system call in a duty cycle; an idle ring costs one load.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/ingest.h"
#include "feed/decoder.h"
#include "feed/feed.h"
#include "feed/ring_watch.h"

namespace tickbridge {

class RingFeed final : public Feed {
 public:
  struct Options {
    std::string name = "shm";
    std::string path;    // name or path of one ring; or
    std::string folder;  // every "*.ring" in it
    int64_t liveness_timeout_ns = 2 * kNsPerSec;
    int records_per_cycle = 1024;  // of each ring
    bool own_thread = true;        // false: a test calls watch().Look()
  };

  // `ingest` outlives the feed. Errors: options that cannot be. A ring need not be there yet.
  static absl::StatusOr<std::unique_ptr<RingFeed>> Open(Options options, Ingest* ingest, CountersFile* counters);
  ~RingFeed() override;

  int DoWork() noexcept override;
  void OnClose() noexcept override;

  RingWatch& watch() { return watch_; }

 private:
  using Ring = RingWatch::Ring;

  RingFeed(Options options, RingWatch::Options watch, Ingest* ingest, CountersFile* counters);

  int Drain(Ring* ring, MonoNs now) noexcept;
  // One record. False where there was none to take.
  bool TakeNext(Ring* ring, MonoNs now) noexcept;
  template <RingRecordType kType>
  void TakeTick(Ring* ring, const RingReader::Record& record, MonoNs now) noexcept;
  // Of a number that was not seen before.
  void TakeFirstTick(Ring* ring, const RingReader::TickRecord& record) noexcept;
  void TakeReset(Ring* ring, uint32_t number) noexcept;
  // The name of a number, checked; "", with the rejection counted, where there is none.
  std::string NameOf(Ring* ring, uint32_t number) noexcept;
  void SetReceived(const Ring& ring, uint64_t position, uint32_t stamp, bool late, MonoNs now) noexcept;
  void Reject(RejectReason reason, const RingReader::Record& record) noexcept;
  void OpenSource(Ring* ring, MonoNs life) noexcept;
  void CloseSource(Ring* ring) noexcept;
  // Of a ring with nothing to read.
  void Rest(Ring* ring, MonoNs now) noexcept;
  void ShowCounts() noexcept;

  const Options options_;
  Ingest* const ingest_;
  const std::unique_ptr<LineDecoder> decoder_;
  std::vector<char> text_;  // of a document, with room behind it
  RingReader::TickRecord tick_;
  MonoNs received_;  // of the record before
  std::vector<Ring*> rings_;
  MonoNs shown_;
  Counter* const resyncs_;
  Gauge* const ring_count_;
  Gauge* const publisher_refused_;
  Gauge* const publisher_pending_;
  RingWatch watch_;  // last: its thread uses what is above
};

}  // namespace tickbridge
