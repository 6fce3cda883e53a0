// SPDX-License-Identifier: Apache-2.0
// The hand-off from feed to sink: an id is queued once, nothing allocates, and no final update is ever lost.
//
// The last is a stress with two threads, whose goal and method stand beside it. It has been seen to fail with each of
// the shortcuts that suggest themselves in Mark and Begin (a load first, a plain store). Its seed is printed;
// TICKBRIDGE_TEST_SEED repeats one.
#include "core/dirty_queue.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "tests/alloc_counter.h"

namespace tickbridge {
namespace {

uint64_t Seed() {
  const char* const given = std::getenv("TICKBRIDGE_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "seed " << seed << "\n";
  return seed;
}

// A few nanoseconds a step, and kind to the other thread of the core.
void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Spins until `condition`; yields now and then, for machines with fewer cores than threads.
template <typename Condition>
void SpinUntil(Condition condition) {
  for (uint32_t spins = 1; !condition(); ++spins) {
    if (spins % 512 == 0) std::this_thread::yield();
    Pause();
  }
}

std::vector<SymbolId> TakeAll(DirtyQueue* queue, uint32_t lane) {
  std::vector<SymbolId> all;
  std::array<SymbolId, 7> ids;
  while (const size_t count = queue->Take(lane, ids)) all.insert(all.end(), ids.begin(), ids.begin() + count);
  return all;
}

Tick BidTick(int64_t bid) {
  Tick tick;
  tick.Set(Field::kBid, {bid, 0});
  return tick;
}

TEST(DirtyQueue, AnIdIsQueuedOnceUntilBegun) {
  LatestTable table({.capacity = 8});
  DirtyQueue queue(&table, 1, 1);
  const SymbolId id{5};
  EXPECT_TRUE(TakeAll(&queue, 0).empty());
  queue.Mark(0, id, MonoNs{10});
  queue.Mark(0, id, MonoNs{20});
  queue.Mark(0, id, MonoNs{30});
  EXPECT_EQ(queue.SizeApprox(0), 1u);
  EXPECT_EQ(TakeAll(&queue, 0), std::vector{id});
  queue.Mark(0, id, MonoNs{40});
  EXPECT_TRUE(TakeAll(&queue, 0).empty()) << "taken, not begun: its slot will yet be read";
  EXPECT_EQ(queue.Begin(id), MonoNs{10}) << "the oldest tick that the taking covers";
  queue.Mark(0, id, MonoNs{50});
  EXPECT_EQ(TakeAll(&queue, 0), std::vector{id});
  EXPECT_EQ(queue.Begin(id), MonoNs{50});
}

TEST(DirtyQueue, TakesNoMoreThanAsked) {
  LatestTable table({.capacity = 8});
  DirtyQueue queue(&table, 1, 1);
  for (uint32_t i = 0; i < 8; ++i) queue.Mark(0, SymbolId{i}, MonoNs{1});
  std::array<SymbolId, 3> ids;
  EXPECT_EQ(queue.Take(0, ids), 3u);
  EXPECT_EQ(queue.SizeApprox(0), 5u);
  EXPECT_EQ(TakeAll(&queue, 0).size(), 5u);
}

TEST(DirtyQueue, EachIdHasOneLane) {
  constexpr uint32_t kSymbols = 100;
  LatestTable table({.capacity = kSymbols});
  DirtyQueue queue(&table, 2, 3);
  EXPECT_EQ(queue.lanes(), 3u);
  for (uint32_t i = 0; i < kSymbols; ++i) queue.Mark(i % 2, SymbolId{i}, MonoNs{1});
  std::vector<int> seen(kSymbols);
  for (uint32_t lane = 0; lane < 3; ++lane) {
    for (const SymbolId id : TakeAll(&queue, lane)) {
      EXPECT_EQ(queue.LaneOf(id), lane);
      ++seen[Index(id)];
    }
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), kSymbols);
}

// Random marks by several producers, and takings, against a model that is a set of ids. Along the way every producer
// fills the whole queue, also with blocks that are partly used: none of it may allocate.
TEST(DirtyQueue, RandomMarksAndTakingsAgreeWithASetAndDoNotAllocate) {
  constexpr uint32_t kSymbols = 3'000;  // several blocks of the queue
  constexpr uint32_t kProducers = 3;
  constexpr uint32_t kLanes = 2;
  std::mt19937_64 random(Seed());
  LatestTable table({.capacity = kSymbols});
  DirtyQueue queue(&table, kProducers, kLanes);
  std::vector<char> queued(kSymbols);
  std::vector<SymbolId> ids(kSymbols);
  size_t size = 0;
  size_t wrong = 0;
  const auto mark = [&](uint32_t producer, uint32_t id) {
    queue.Mark(producer, SymbolId{id}, MonoNs{1});
    size += queued[id] == 0;
    queued[id] = 1;
  };
  const auto take_of = [&](uint32_t lane, size_t max) {
    const size_t count = queue.Take(lane, std::span(ids).first(max));
    for (size_t i = 0; i < count; ++i) {
      wrong += queued[Index(ids[i])] != 1 || queue.LaneOf(ids[i]) != lane;
      queued[Index(ids[i])] = 0;
      queue.Begin(ids[i]);
    }
    size -= count;
    return count;
  };
  const auto take = [&](size_t max) { return take_of(static_cast<uint32_t>(random() % kLanes), max); };
  const uint64_t allocations_before = test::allocations;
  for (int round = 0; round < 600; ++round) {
    switch (random() % 4) {
      case 0: {  // one producer fills it all, after whatever is in it
        const auto producer = static_cast<uint32_t>(random() % kProducers);
        for (uint32_t id = 0; id < kSymbols; ++id) mark(producer, id);
        break;
      }
      case 1:
        while (size != 0) take(kSymbols);
        break;
      default:
        for (uint64_t left = random() % 4'000; left != 0; --left) {
          mark(static_cast<uint32_t>(random() % kProducers), static_cast<uint32_t>(random() % kSymbols));
          if (random() % 3 == 0) take(random() % 5);
        }
    }
  }
  const uint64_t allocations = test::allocations - allocations_before;
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    while (take_of(lane, kSymbols) != 0) {
    }
  }
  EXPECT_EQ(size, 0u);
  EXPECT_EQ(wrong, 0u);
  if (!test::kAllocCounterWorks) GTEST_SKIP() << "allocations are not counted in this build";
  EXPECT_EQ(allocations, 0u);
}

TEST(DirtyQueue, TheAllocationCounterCounts) {
  if (!test::kAllocCounterWorks) GTEST_SKIP() << "allocations are not counted in this build";
  // Called as functions: a compiler may leave out a new-expression, or a malloc whose result it knows to be unused.
  const uint64_t before = test::allocations;
  void* volatile memory = ::operator new(10);
  const uint64_t after_new = test::allocations;
  ::operator delete(memory);
  memory = std::malloc(10);
  const uint64_t after_malloc = test::allocations;
  std::free(memory);
  EXPECT_EQ(after_new, before + 1);
  EXPECT_EQ(after_malloc, before + 2);
}

// Goal: with two producers and two lanes, nothing is lost and nothing comes twice. Method: two writers tick symbols of
// their own by turns; one sink takes both lanes. When the writers are done and the lanes empty, the sink's last reading
// of each symbol is the writer's last.
TEST(DirtyQueue, TwoProducersAndTwoLanesConverge) {
  constexpr uint32_t kSymbols = 64;
  constexpr int64_t kRounds = 1'000'000;
  LatestTable table({.capacity = kSymbols});
  DirtyQueue queue(&table, 3, 2);  // the sink is a producer, too: it marks again what it could not read
  std::atomic<int> writing{2};
  const auto write = [&](uint32_t me) {
    for (int64_t round = 1; round <= kRounds; ++round) {
      const SymbolId id{static_cast<uint32_t>(round * 7 % (kSymbols / 2)) * 2 + me};
      table.Merge(id, BidTick(round), {MonoNs{round}, UnixMs{1}, kNoSource});
      queue.Mark(me, id, MonoNs{round});
    }
    writing.fetch_sub(1, std::memory_order_release);
  };
  std::vector<std::thread> writers;
  for (uint32_t i = 0; i < 2; ++i) writers.emplace_back(write, i);

  std::array<int64_t, kSymbols> seen{};
  std::array<SymbolId, 16> ids;
  size_t went_back = 0;
  size_t later_than_value = 0;
  bool more = true;
  while (more) {
    const bool last = writing.load(std::memory_order_acquire) == 0;
    more = !last;
    for (uint32_t lane = 0; lane < 2; ++lane) {
      const size_t count = queue.Take(lane, ids);
      more |= count != 0;
      for (size_t i = 0; i < count; ++i) {
        const MonoNs since = queue.Begin(ids[i]);
        Quote quote;
        if (!table.TryLoad(ids[i], &quote)) {
          queue.Mark(2, ids[i], since);
          continue;
        }
        const int64_t bid = quote.Get(Field::kBid).mantissa;
        went_back += bid < seen[Index(ids[i])];
        later_than_value += since.value > bid;
        seen[Index(ids[i])] = bid;
      }
    }
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(went_back, 0u);
  EXPECT_EQ(later_than_value, 0u) << "a taking covers a tick from after what is read";
  for (uint32_t id = 0; id < kSymbols; ++id) {
    Quote quote;
    ASSERT_TRUE(table.TryLoad(SymbolId{id}, &quote));
    EXPECT_EQ(seen[id], quote.Get(Field::kBid).mantissa) << id;
  }
}

// Memory that is in no cache. A store to it waits in the core's store buffer for as long as memory takes, and every
// later store behind it (x86 commits them in order), while later loads go ahead.
class ColdMemory {
 public:
  explicit ColdMemory(uint64_t seed) : random_(seed), words_(kBytes / sizeof(uint64_t)) {}
  void Store(uint32_t times) {
    for (; times != 0; --times) {
      static_cast<volatile uint64_t*>(words_.data())[random_() % words_.size()] = 1;
    }
  }

 private:
  static constexpr size_t kBytes = size_t{64} << 20;
  std::minstd_rand random_;
  std::vector<uint64_t> words_;
};

// Keeps the calling thread on the nth of the CPUs that it may use, as long as this lives. On a busy machine the
// scheduler may leave two threads that wait for each other on one CPU for seconds, and then they never race.
class Pinned {
 public:
  explicit Pinned(int nth) {
    if (::pthread_getaffinity_np(::pthread_self(), sizeof(before_), &before_) != 0 || CPU_COUNT(&before_) < 2) return;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &before_) || nth-- != 0) continue;
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      pinned_ = ::pthread_setaffinity_np(::pthread_self(), sizeof(one), &one) == 0;
      return;
    }
  }
  ~Pinned() {
    if (pinned_) ::pthread_setaffinity_np(::pthread_self(), sizeof(before_), &before_);
  }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

 private:
  cpu_set_t before_;
  bool pinned_ = false;
};

// Goal: the final update of a symbol always reaches the sink.
// Method: a writer ticks one slot in bursts of one to four with random pauses; a sink takes, begins and reads as the
// design has it. After each burst comes a quiet point: the writer says that it waits, the sink says back when, having
// heard that, it found the queue empty, and then what it read last must be what was written last. A lost mark is mended
// by the next tick, so the quiet points are as many as can be, and the handshake has no sleeps. Both threads store to
// cold memory just before their critical step, half of the time: that holds their stores back, which makes wide the
// narrow race of "my store, then my load" on both sides. An exchange waits for those stores, and so is right.
TEST(DirtyQueue, NeverLosesTheFinalUpdate) {
  constexpr int64_t kTicks = 10'000'000;
  constexpr auto kTimeMax = std::chrono::seconds(10);  // for slow and busy machines
  LatestTable table({.capacity = 1});
  DirtyQueue queue(&table, 2, 1);
  constexpr SymbolId id{0};
  const uint64_t seed = Seed();
  struct alignas(64) Word {
    std::atomic<int64_t> value{0};
  };
  Word quiet;    // number of the quiet point that the writer waits at
  Word drained;  // the last quiet point that the sink found the queue empty after
  Word read;     // what the sink read last
  constexpr int64_t kStop = -1;

  std::thread sink([&] {
    const Pinned pinned(1);
    ColdMemory cold(seed + 1);
    std::minstd_rand random(static_cast<uint32_t>(seed) + 2);
    std::array<SymbolId, 4> ids;
    Quote quote;
    int64_t answered = 0;
    uint32_t idle = 0;
    for (;;) {
      const int64_t asked = quiet.value.load(std::memory_order_acquire);
      if (asked == kStop) return;
      const size_t count = queue.Take(0, ids);
      idle = count != 0 ? 0 : idle + 1;
      if (idle % 1'024 == 1'023) std::this_thread::yield();  // the writer may wait for this very core
      for (size_t i = 0; i < count; ++i) {
        const auto dice = static_cast<uint32_t>(random());
        if ((dice & 1) != 0) cold.Store(1 + (dice >> 1) % 2);
        const MonoNs since = queue.Begin(ids[i]);
        if (table.TryLoad(ids[i], &quote)) {
          read.value.store(quote.Get(Field::kBid).mantissa, std::memory_order_relaxed);  // released by `drained`
        } else {
          queue.Mark(1, ids[i], since);
        }
      }
      if (count == 0 && asked != answered) {
        answered = asked;
        drained.value.store(asked, std::memory_order_release);
      }
    }
  });

  const Pinned pinned(0);
  ColdMemory cold(seed);
  std::minstd_rand random(static_cast<uint32_t>(seed) + 1);
  const TickContext context{MonoNs{1}, UnixMs{1}, kNoSource};
  Tick tick = BidTick(0);
  const auto begun = std::chrono::steady_clock::now();
  int64_t ticks = 0;
  int64_t point = 0;
  int64_t lost = 0;
  while (lost == 0 && ticks < kTicks && (point % 64 != 0 || std::chrono::steady_clock::now() - begun < kTimeMax)) {
    const auto dice = static_cast<uint32_t>(random());
    for (uint32_t burst = 1 + dice % 4;;) {
      tick.Set(Field::kBid, {++ticks, 0});
      if ((dice & 16) != 0) cold.Store(1);
      table.Merge(id, tick, context);
      queue.Mark(0, id, MonoNs{ticks});
      if (--burst == 0) break;
      for (uint32_t pause = static_cast<uint32_t>(random()) >> 4 & (dice >> 5 & 15); pause != 0; --pause) Pause();
    }
    quiet.value.store(++point, std::memory_order_release);
    SpinUntil([&] { return drained.value.load(std::memory_order_acquire) == point; });
    lost = read.value.load(std::memory_order_relaxed) != ticks;  // acquired by `drained`
  }
  const auto took = std::chrono::steady_clock::now() - begun;
  quiet.value.store(kStop, std::memory_order_release);
  sink.join();
  std::cout << ticks << " ticks, " << point << " quiet points in "
            << std::chrono::duration_cast<std::chrono::milliseconds>(took).count() << " ms\n";
  EXPECT_EQ(lost, 0) << "tick " << ticks << " never came; the sink read " << read.value.load();
  EXPECT_GE(point, 1'000);
}

}  // namespace
}  // namespace tickbridge
