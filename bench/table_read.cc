// SPDX-License-Identifier: Apache-2.0
// What a read of the shared table takes while another core writes that very symbol: each read is timed alone, by the
// time stamp counter, over a file and two mappings as in production. The writer is idle, makes 1 M merges a second, or
// makes them without pause; with each, what a merge costs the writer. `plain` repeats a seqlock read until it succeeds;
// `bounded` is TableReader::LoadQuote. What a reading of the counter costs is in every figure, and printed.
//
// usage: table_read [--reads 2000000] [--pause-ns 0] [--smoke]
// --pause-ns: how long the reader leaves the slot alone between two reads; 0 polls without pause.
#include <sched.h>
#include <unistd.h>
#include <x86intrin.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/latest_table.h"
#include "core/shared_table.h"
#include "core/symbol_table.h"
#include "sink/table_reader.h"

namespace tickbridge {
namespace {

constexpr uint32_t kCapacity = 1'024;

bool PinTo(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return ::sched_setaffinity(0, sizeof(set), &set) == 0;
}

// Loads before it are done, loads behind it have not begun.
uint64_t Ticks() {
  _mm_lfence();
  const uint64_t ticks = __rdtsc();
  _mm_lfence();
  return ticks;
}

double NsPerTick() {
  const MonoNs begin = SystemClock::ReadMonotonic();
  const uint64_t first = Ticks();
  while (SystemClock::ReadMonotonic() - begin < 50 * kNsPerMs) {
  }
  const uint64_t ticks = Ticks() - first;
  return static_cast<double>(SystemClock::ReadMonotonic() - begin) / static_cast<double>(ticks);
}

enum class Writing { kIdle, kMillion, kNoPause };

class Bench {
 public:
  Bench(uint64_t reads, int64_t pause_ns)
      : reads_(reads),
        ns_per_tick_(NsPerTick()),
        pause_ticks_(static_cast<uint64_t>(static_cast<double>(pause_ns) / ns_per_tick_)) {
    shared_ = *SharedTable::Open({path_, kCapacity, 1, {}});
    symbols_ = std::make_unique<SymbolTable>(kCapacity, shared_->symbols());
    table_ = std::make_unique<LatestTable>(shared_->table_options());
    shared_->GoLive(SystemClock::ReadMonotonic());
    id_ = symbols_->Insert("MNQZ5");
    table_->Claim(id_, OwnerId{1});
    for (int64_t i = 0; i < 10; ++i) Write(i);
    reader_ = TableReader::Open(path_);
  }
  ~Bench() { ::unlink(path_.c_str()); }

  double ns_per_tick() const { return ns_per_tick_; }

  // Values that can be told to belong together.
  void Write(int64_t i) {
    Tick tick;
    tick.Set(Field::kBid, {2'100'000 + i % 1'000'000, -2});
    tick.Set(Field::kAsk, {2'100'025 + i % 1'000'000, -2});
    tick.Set(Field::kBidSize, {i % 100, 0});
    tick.Set(Field::kAskSize, {i % 77, 0});
    tick.quote_time = VenueNs{1'700'000'000'000'000'000 + static_cast<uint64_t>(i)};
    table_->Merge(id_, tick, {MonoNs{i}, {}, SourceId{1}});
  }

  template <typename Load>
  bool Run(const char* reading, Writing writing, Load load) {
    std::atomic<bool> stop{false};
    std::atomic<bool> writes{false};
    double merge_ns = 0;
    std::thread writer([&] {
      PinTo(0);
      const auto step = static_cast<uint64_t>(1000 / ns_per_tick_);
      uint64_t merges = 0;
      uint64_t busy = 0;
      const uint64_t begin = __rdtsc();
      uint64_t next = begin;
      writes = true;
      while (!stop.load(std::memory_order_relaxed)) {
        if (writing == Writing::kIdle) {
          ::usleep(1000);
        } else if (writing == Writing::kNoPause) {
          for (int i = 0; i < 64; ++i) Write(++written_);
          merges += 64;
        } else {
          while (__rdtsc() < next) {
          }
          const uint64_t before = Ticks();
          Write(++written_);
          busy += Ticks() - before;
          ++merges;
          next += step;
        }
      }
      if (merges > 0) {
        const uint64_t took = writing == Writing::kNoPause ? __rdtsc() - begin : busy;
        merge_ns = static_cast<double>(took) * ns_per_tick_ / static_cast<double>(merges);
      }
    });
    while (!writes.load()) std::this_thread::yield();
    std::vector<uint32_t> took;
    took.reserve(reads_);
    Quote quote;
    uint64_t lost = 0;
    uint64_t newest = 0;
    bool sound = true;
    for (uint64_t i = 0; i < reads_; ++i) {
      const uint64_t begin = Ticks();
      const bool ok = load(&quote);
      const uint64_t end = Ticks();
      took.push_back(static_cast<uint32_t>(std::min<uint64_t>(end - begin, UINT32_MAX)));
      if (!ok) {
        ++lost;
      } else if (quote.Get(Field::kAsk).mantissa != quote.Get(Field::kBid).mantissa + 25 || quote.sequence < newest) {
        sound = false;
      }
      newest = std::max(newest, quote.sequence);
      for (const uint64_t until = end + pause_ticks_; pause_ticks_ != 0 && __rdtsc() < until;) _mm_pause();
    }
    stop = true;
    writer.join();
    std::sort(took.begin(), took.end());
    const auto at = [&](double part) {
      return static_cast<double>(took[static_cast<size_t>(part * static_cast<double>(took.size() - 1))]) * ns_per_tick_;
    };
    const char* const mode = writing == Writing::kIdle ? "idle" : writing == Writing::kMillion ? "1 M/s" : "no pause";
    std::printf("%-8s %-9s %8.0f %8.0f %8.0f %10.0f %8llu %12.1f%s\n", reading, mode, at(0.5), at(0.99), at(0.999),
                at(1), static_cast<unsigned long long>(lost), merge_ns, sound ? "" : "  TORN OR BACK IN TIME");
    return sound;
  }

  // The writer alone.
  double AloneNs() {
    constexpr int kMerges = 5'000'000;
    PinTo(0);
    const uint64_t begin = Ticks();
    for (int i = 0; i < kMerges; ++i) Write(++written_);
    return static_cast<double>(Ticks() - begin) * ns_per_tick_ / kMerges;
  }

  bool Plain(Quote* quote) const {
    for (int i = 0; i < 1'000'000; ++i) {
      if (reader_->TryLoad(id_, quote) == TableReader::Load::kOk) return true;
    }
    return false;
  }
  bool Bounded(Quote* quote) const { return reader_->LoadQuote(id_, quote) == TableReader::Load::kOk; }

 private:
  const uint64_t reads_;
  const double ns_per_tick_;
  const uint64_t pause_ticks_;
  const std::string path_ = "/dev/shm/tickbridge-table-read." + std::to_string(::getpid());
  std::unique_ptr<SharedTable> shared_;
  std::unique_ptr<SymbolTable> symbols_;
  std::unique_ptr<LatestTable> table_;
  std::unique_ptr<TableReader> reader_;
  SymbolId id_{};
  int64_t written_ = 10;
};

std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown CPU";
}

}  // namespace
}  // namespace tickbridge

int main(int argc, char** argv) {
  using namespace tickbridge;
  uint64_t reads = 2'000'000;
  int64_t pause_ns = 0;
  bool smoke = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--smoke") smoke = true;
    if (option == "--reads" && i + 1 < argc) reads = std::strtoull(argv[++i], nullptr, 10);
    if (option == "--pause-ns" && i + 1 < argc) pause_ns = std::strtoll(argv[++i], nullptr, 10);
  }
  if (smoke) reads = 2'000;
  reads = std::max<uint64_t>(reads, 1);
#ifndef NDEBUG
  if (!smoke) {
    std::fprintf(stderr, "This is a build with assertions; use the release preset.\n");
    return 2;
  }
#endif
  const bool apart = ::sysconf(_SC_NPROCESSORS_ONLN) >= 2;
  if (!apart && !smoke) {
    std::fprintf(stderr, "This needs two CPUs.\n");
    return 2;
  }
  Bench bench(reads, pause_ns);
  const double alone_ns = bench.AloneNs();
  PinTo(apart ? 1 : 0);
  std::vector<uint64_t> empty(10'001);
  for (uint64_t& ticks : empty) ticks = Ticks();
  for (size_t i = empty.size() - 1; i > 0; --i) empty[i] -= empty[i - 1];
  std::nth_element(empty.begin() + 1, empty.begin() + 5'000, empty.end());
  std::printf("%s, g++ %s, writer on CPU 0, reader on CPU %d, %llu reads each, %lld ns between two\n",
              CpuName().c_str(), __VERSION__, apart ? 1 : 0, static_cast<unsigned long long>(reads),
              static_cast<long long>(pause_ns));
  std::printf("command: table_read --reads %llu --pause-ns %lld; two readings of the counter take %.0f ns\n",
              static_cast<unsigned long long>(reads), static_cast<long long>(pause_ns),
              static_cast<double>(empty[5'000]) * bench.ns_per_tick());
  std::printf("a merge with nobody reading: %.1f ns\n", alone_ns);
  std::printf("%-8s %-9s %8s %8s %8s %10s %8s %12s\n", "read", "writer", "p50 ns", "p99", "p99.9", "max", "lost",
              "ns per merge");
  bool sound = true;
  for (const Writing writing : {Writing::kIdle, Writing::kMillion, Writing::kNoPause}) {
    sound &= bench.Run("plain", writing, [&](Quote* quote) { return bench.Plain(quote); });
    sound &= bench.Run("bounded", writing, [&](Quote* quote) { return bench.Bounded(quote); });
  }
  return sound ? 0 : 1;
}
