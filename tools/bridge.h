// SPDX-License-Identifier: Apache-2.0
// The bridge, put together: tables, feeds, lanes and the runners that turn them, as a Config says.
//
// Threading: all calls by one thread, the program's main thread. Everything is validated and opened before the first
// runner starts.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/clock.h"
#include "core/counters.h"
#include "core/histogram.h"
#include "core/ingest.h"
#include "core/restore.h"
#include "core/runner.h"
#include "core/shared_table.h"
#include "feed/feed.h"
#include "sink/lane.h"
#include "sink/own_connections.h"
#include "sink/redis_target.h"
#include "tools/config.h"
#include "tools/placement.h"

namespace tickbridge {

// What a run came to. `records` = accepted + rejected + control; accepted = written + conflated + expired + failed +
// pending. Exact whenever the pipeline is quiet. While it works, pending is all that has not ended yet; once it was
// stopped, the newest record of each key that was not delivered, and what that superseded is conflated.
struct Summary {
  uint64_t records = 0;
  uint64_t accepted = 0;
  std::array<uint64_t, kRejectReasonCount> rejected{};
  uint64_t control = 0;
  uint64_t symbols = 0;
  uint64_t documents = 0;
  uint64_t written = 0;
  uint64_t conflated = 0;
  uint64_t expired = 0;
  uint64_t failed = 0;
  uint64_t pending = 0;
  uint64_t writes = 0;
  uint64_t acks = 0;
  uint64_t resent = 0;
  uint64_t refreshed = 0;
  double elapsed_s = 0;
  HistogramSummary tick_to_ack_ns;
  HistogramSummary staleness_ns;

  uint64_t rejected_total() const;
  std::string Json() const;  // one object, one line
  std::string Text() const;  // for people, several lines
};

class Bridge {
 public:
  struct Options {
    Config config;
    RedisTarget target;
    bool replay = false;        // the feeds are recordings: their times are the clock
    std::string counters_path;  // empty: private memory, nobody else can look
    std::string table_path;     // of the shared table; the same
    // For a latency harness. Makes the feeds of type "made", which no configuration can name.
    std::function<std::unique_ptr<Feed>(const FeedConfig& feed, Ingest* ingest, CountersFile* counters)> make_feed;
    AckObserver* observer = nullptr;  // of what the lanes deliver; outlives the bridge
    Placement placement;              // of threads and memory: TakePlaces (tools/placement.h)
  };

  static absl::StatusOr<std::unique_ptr<Bridge>> Create(Options options);
  ~Bridge();

  absl::Status Start();
  // Feeds take nothing more from here on; what they took is still delivered.
  void StopFeeds();
  // True once they do so.
  bool feeds_stopped() const;
  // True once every lane has delivered all that it was given, also what counts as no record: a reset, or what another
  // server was to be told again. Call until it is; each call looks at what happened since the one before.
  bool Delivered();
  // Ends the runners. Values not yet acknowledged stay pending.
  void Stop();

  // Once a second or more often, while it runs: the clock's and the counters file's upkeep.
  void Maintain();

  Summary Summarize() const;
  bool feeds_done() const;           // every file and counted synth feed is in
  absl::Status feed_status() const;  // the first file that could not be read to its end
  // The error of a lane that was refused before it was ever connected, or whose place another bridge has taken; OK
  // otherwise.
  absl::Status refused() const;
  const std::vector<std::unique_ptr<Lane>>& lanes() const { return lanes_; }
  // The tables, for readers of this process.
  const Core& core() const { return core_; }

 private:
  class Gate;
  class RestoreAgent;
  class Waker;

  Bridge(Options options, std::unique_ptr<Clock> clock, std::unique_ptr<CountersFile> counters,
         std::unique_ptr<SharedTable> shared);
  absl::Status AddFeed(const FeedConfig& feed, uint32_t runner);
  absl::Status AddLane(uint32_t index, uint32_t runner);
  absl::Status Wire();
  // What the process has at its start, for the log and the counters.
  void TellMemory();
  // The number of the runner that turns an agent.
  uint32_t RunnerOf(const std::string& agent) const;

  const Options options_;
  std::unique_ptr<Clock> clock_;
  std::unique_ptr<CountersFile> counters_;
  std::unique_ptr<SharedTable> shared_;  // null: private memory
  std::unique_ptr<SymbolTable> symbols_;
  std::unique_ptr<LatestTable> table_;
  std::unique_ptr<DirtyQueue> dirty_;
  std::unique_ptr<SourceTable> sources_;
  std::unique_ptr<DocumentTable> documents_;
  std::unique_ptr<Restore> restore_;
  Core core_;
  std::vector<std::unique_ptr<Ingest>> ingests_;
  std::vector<std::unique_ptr<Feed>> feeds_;
  std::vector<std::unique_ptr<Gate>> gates_;
  std::shared_ptr<OwnConnections> own_connections_ = std::make_shared<OwnConnections>();
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<std::unique_ptr<RestoreAgent>> restore_agents_;
  std::vector<std::vector<Agent*>> agents_;  // by runner
  std::unique_ptr<Waker> waker_;
  std::vector<std::unique_ptr<Runner>> runners_;
  std::vector<Gauge*> cycle_max_;  // by runner
  Gauge* memory_resident_ = nullptr;
  Gauge* memory_huge_ = nullptr;
  Gauge* memory_locked_ = nullptr;
  std::vector<uint64_t> looked_at_;  // by lane: its cycles when Delivered found it busy
  MonoNs started_;
  MonoNs maintained_;
  bool stopped_ = false;
};

}  // namespace tickbridge
