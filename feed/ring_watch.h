// SPDX-License-Identifier: Apache-2.0
// Finds rings, opens them, and watches whether their publishers live: what needs system calls, on a thread of its own.
//
// Watched is one ring, or every "*.ring" of a folder, also those that come later. An error (no permission, another
// bridge has it, another version, truncated) is logged once for as long as it stays the same, and tried again.
// Threading: the thread is this class's; Start and the destructor by the thread that made it; TakeArrivals by the
// feed's
//   runner. A Ring is the runner's from its arrival until it sets `done`, but for what is said to be the watch's.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/types.h"
#include "feed/ring.h"
#include "feed/ring_file.h"

namespace tickbridge {

class RingWatch {
 public:
  struct Options {
    std::string feed;    // name, for the log
    std::string path;    // of one ring; or
    std::string folder;  // of many
    int64_t interval_ns = 20 * kNsPerMs;
  };

  struct Ring {
    explicit Ring(std::unique_ptr<RingFile> opened)
        : file(std::move(opened)),
          reader(&file->header(), file->data(), file->layout().data_bytes),
          last_look{file->header().consumer_looked_mono_ns.load(std::memory_order_relaxed)},
          ids(file->layout().symbol_capacity, kNoSymbol) {}

    const std::unique_ptr<RingFile> file;
    // Of the runner.
    RingReader reader;
    SourceId source = kNoSource;
    MonoNs last_look;          // when it was looked at last, also by an earlier bridge; 0: never
    uint64_t backlog_end = 0;  // what lies before this position was published at some time since `backlog_begin`
    MonoNs backlog_begin;
    int64_t beat_seen_ns = 0;
    MonoNs last_life;
    bool finished = false;      // replaced or lost, and nothing left in it
    std::vector<SymbolId> ids;  // by number
    // Of the watch.
    std::atomic<bool> publisher_is_there{false};
    std::atomic<bool> replaced{false};  // superseded, or its path names another file, or none and no publisher
    // Set by the runner when it will not touch the ring again.
    std::atomic<bool> done{false};
  };

  explicit RingWatch(Options options) : options_(std::move(options)) {}
  ~RingWatch();
  RingWatch(const RingWatch&) = delete;
  RingWatch& operator=(const RingWatch&) = delete;

  void Start();
  // Appends the rings that were opened since. Never waits.
  void TakeArrivals(std::vector<Ring*>* rings) noexcept {
    if (arrived_.load(std::memory_order_acquire)) TakeNow(rings);
  }
  // One round of what the thread does. For tests, which then do not Start it.
  void Look();

 private:
  void Run() noexcept;
  void TakeNow(std::vector<Ring*>* rings) noexcept;
  void LookAt(const std::string& path, Ring* ring);
  void Try(const std::string& path);
  void Complain(const std::string& path, const std::string& message);
  std::vector<std::string> Paths();

  const Options options_;
  // Of the thread.
  std::map<std::string, std::unique_ptr<Ring>> rings_;
  std::map<std::string, std::string> complaints_;  // the last one of each path
  // Shared.
  std::atomic<bool> arrived_{false};
  std::mutex mutex_;
  std::vector<Ring*> arrivals_;
  bool stopping_ = false;
  std::condition_variable stop_;
  std::thread thread_;
};

}  // namespace tickbridge
