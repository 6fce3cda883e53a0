// SPDX-License-Identifier: Apache-2.0
// Counters, states and histograms of one bridge in one mapped file, so that `stats` and others read them without
// touching the hot threads.
//
// Layout (version 1, this machine's byte order): a header of 4096 bytes; a directory of fixed entries {kind, name,
// offset}; and the values at their offsets: counter and gauge 8 bytes, text 256, histogram sizeof(Histogram). Entries
// are only ever added. A reader checks every offset against the size of the file: nothing in it is trusted.
// The boot id in the header tells a living writer from a process of an earlier boot that had the same pid.
// Threading: Add… by any thread (a mutex); each value is written by one thread; all may be read by anyone.
// Progress: Add and Set of a value are wait-free; reading a text gives up after some tries, so that a writer that died
//   in the middle of one stops nobody.
// Cost: a Counter's Add is a load, an add and a store; no lock prefix, no system call.
// Memory order: an entry is published by the release (2) of the header's count, which a reader acquires (1). Values are
//   independent of each other: relaxed is enough, but for texts, which are small seqlocks.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/histogram.h"
#include "core/types.h"

namespace tickbridge {

struct Counter {
  std::atomic<uint64_t> value;
  // One writer, so a load and a store do what a read-modify-write would, without its lock prefix.
  void Add(uint64_t n = 1) noexcept { value.store(Get() + n, std::memory_order_relaxed); }
  uint64_t Get() const noexcept { return value.load(std::memory_order_relaxed); }
};

struct Gauge {
  std::atomic<int64_t> value;
  void Set(int64_t v) noexcept { value.store(v, std::memory_order_relaxed); }
  int64_t Get() const noexcept { return value.load(std::memory_order_relaxed); }
};

// A short text; longer ones are cut. One writer.
struct TextCell {
  static constexpr size_t kBytesMax = 248;
  std::atomic<uint64_t> version;
  std::array<std::atomic<uint64_t>, kBytesMax / 8> words;  // zero-padded
  void Set(std::string_view text) noexcept;
  // Empty where a write overlapped again and again.
  std::string Get() const;
};

class CountersFile {
 public:
  enum class Kind : uint32_t { kNone, kCounter, kGauge, kText, kHistogram };
  static constexpr size_t kFileBytes = size_t{8} << 20;

  // One value as a reader finds it.
  struct Entry {
    Kind kind = Kind::kNone;
    std::string name;
    uint64_t counter = 0;
    int64_t gauge = 0;
    std::string text;
    const Histogram* histogram = nullptr;  // lives as long as the file is open
  };

  // Makes the file anew, mode 0640, and holds its lock (`<path>.lock`) while this lives: a second bridge with the same
  // path is refused (kAlreadyExists), and told which process has it. It appears under its name complete, in place of
  // one that a dead bridge left. Both are removed by the destructor. An empty path is private memory.
  // Errors: kPermissionDenied, with what to do, where the lock is of a user whose files are not for us.
  static absl::StatusOr<std::unique_ptr<CountersFile>> Create(const std::string& path);
  // Of another process, read-only: kNotFound if there is none, kFailedPrecondition if it is something else. Add… and
  // Beat are not for such a one.
  static absl::StatusOr<std::unique_ptr<CountersFile>> OpenReadOnly(const std::string& path);
  ~CountersFile();

  // Values start at zero. They live as long as the file. CHECK-fails when the file is full: its size is a limit of
  // ours.
  Counter* AddCounter(std::string_view name);
  Gauge* AddGauge(std::string_view name);
  TextCell* AddText(std::string_view name);
  Histogram* AddHistogram(std::string_view name);
  // The next value begins a cache line, so that two writers never share one.
  void AlignGroup();

  // All entries, in the order they were added. A file that is not what it should be yields what can be read.
  std::vector<Entry> Entries() const;

  int64_t pid() const;
  UnixNs started() const;
  // Whether the process that made the file is still there. It may hang nevertheless: see last_beat. Across PID
  // namespaces only last_beat says anything.
  bool WriterIsAlive() const;
  // Written about once a second by the bridge.
  void Beat(MonoNs now) noexcept;
  MonoNs last_beat() const noexcept;

 private:
  struct Header;
  struct DirectoryEntry;

  CountersFile() = default;
  absl::Status Lock(const std::string& path);
  void* Add(Kind kind, std::string_view name, size_t bytes, size_t alignment);
  Header* header() const;
  DirectoryEntry* directory() const;

  std::string path_;  // empty: nothing to remove
  std::string lock_path_;
  int lock_fd_ = -1;
  char* base_ = nullptr;
  size_t bytes_ = 0;
  std::mutex mutex_;
  size_t next_offset_ = 0;
};

}  // namespace tickbridge
