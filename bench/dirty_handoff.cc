// SPDX-License-Identifier: Apache-2.0
// The hand-off from feed to sink: the queue of ids (core/dirty_queue.h) beside a two-level bitmap
// (bench/dirty_bitmap.h).
//
// turns:   one thread marks every symbol in random order, then takes all; no line travels between cores.
// threads: producers at a rate, open loop, on CPU 1, and the sink on CPU 0, as fast as it can. More producers than one
//          share that CPU: read their lines for what sharing words costs, not for what parallel feeds would gain.
//          `mark` is a producer's time in Mark; `take` the sink's for an id: take it, clear its mark, load its quote;
//          `empty` a taking that finds nothing; `wait` the time from Mark to the taking.
// order:   no threads and no clock: ticks come at random, and a sink takes one id a step. How long the oldest tick of a
//          value waits, in steps; rings and queue hand out the oldest first, a bitmap goes round.
// All three in turn in one run, three times, medians (order: once, since nothing in it varies). Each figure is printed
// as: rings, queue, bitmap.
//
// usage: dirty_handoff [turns|threads|order] [--smoke]
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/dirty_bitmap.h"
#include "bench/dirty_moodycamel.h"
#include "core/clock.h"
#include "core/dirty_queue.h"

namespace tickbridge {
namespace {

constexpr uint64_t kSeed = 42;
constexpr size_t kTakenAtOnce = 64;  // as the sink does
constexpr int kRounds = 3;
constexpr std::array<uint32_t, 6> kSymbolCounts = {1, 10, 100, 1'000, 10'000, 100'000};

bool smoke = false;

double NowNs() {
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double Percentile(std::vector<double>* values, double p) {
  if (values->empty()) return 0;
  const auto at = static_cast<size_t>(p * static_cast<double>(values->size() - 1));
  std::nth_element(values->begin(), values->begin() + static_cast<ptrdiff_t>(at), values->end());
  return (*values)[at];
}

std::vector<SymbolId> ShuffledIds(uint32_t symbols) {
  std::vector<SymbolId> ids;
  ids.reserve(symbols);
  for (uint32_t i = 0; i < symbols; ++i) ids.push_back(SymbolId{i});
  std::shuffle(ids.begin(), ids.end(), std::mt19937_64(kSeed));
  return ids;
}

Tick AnyTick() {
  Tick tick;
  tick.Set(Field::kBid, {2'100'000, -2});
  return tick;
}

void MergeAll(LatestTable* table) {
  for (uint32_t i = 0; i < table->capacity(); ++i) table->Merge(SymbolId{i}, AnyTick(), {});
}

void PinTo(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  ::sched_setaffinity(0, sizeof(set), &set);
}

// Named figures of one run; the same ones from every run of a table.
using Figures = std::vector<double>;

// Runs the three in turn, `rounds` times, and prints a line.
template <typename Run>
void Compare(const std::string& what, int rounds, const std::vector<const char*>& names, Run run) {
  std::array<std::vector<std::vector<double>>, 3> values;  // of each, by figure
  for (auto& of_one : values) of_one.resize(names.size());
  for (int round = 0; round < (smoke ? 1 : rounds); ++round) {
    const std::array figures = {
      run.template operator()<DirtyQueue>(),
      run.template operator()<DirtyMoodycamel>(),
      run.template operator()<DirtyBitmap>()
    };
    for (size_t one = 0; one < figures.size(); ++one) {
      for (size_t i = 0; i < names.size(); ++i) values[one][i].push_back(figures[one][i]);
    }
  }
  std::printf("%-30s", what.c_str());
  for (size_t i = 0; i < names.size(); ++i) {
    std::printf(" | %s", names[i]);
    for (const auto& of_one : values) std::printf(" %7.*f", Median(of_one[i]) < 1000 ? 1 : 0, Median(of_one[i]));
  }
  std::printf("\n");
  std::fflush(stdout);
}

// ---- turns ----

template <typename Handoff>
Figures Turns(uint32_t symbols) {
  LatestTable table({.capacity = symbols});
  MergeAll(&table);
  Handoff dirty(&table, 1, 1);
  const std::vector<SymbolId> order = ShuffledIds(symbols);
  std::array<SymbolId, kTakenAtOnce> ids;
  const uint32_t rounds = std::max(1U, (smoke ? 1'000U : 1'000'000U) / symbols);
  double mark_ns = 0;
  double take_ns = 0;
  uint64_t taken = 0;
  int64_t sum = 0;
  for (uint32_t round = 0; round < rounds; ++round) {
    const double begin = NowNs();
    for (const SymbolId id : order) dirty.Mark(0, id, MonoNs{1});
    const double marked = NowNs();
    while (const size_t count = dirty.Take(0, ids)) {
      for (size_t i = 0; i < count; ++i) {
        Quote quote;
        dirty.Begin(ids[i]);
        if (table.TryLoad(ids[i], &quote)) sum += quote.Get(Field::kBid).mantissa;
      }
      taken += count;
    }
    mark_ns += marked - begin;
    take_ns += NowNs() - marked;
  }
  const double marks = static_cast<double>(rounds) * symbols;
  if (static_cast<double>(taken) != marks || sum != static_cast<int64_t>(taken) * 2'100'000) {
    std::fprintf(stderr, "ids were lost\n");
    std::exit(1);
  }
  return {mark_ns / marks, take_ns / marks};
}

// ---- threads ----

struct Load {
  uint32_t symbols;
  uint32_t producers;
  double per_s;    // of all producers; 0: as fast as they can
  double work_ns;  // of the sink for each id, beside the hand-off
  double seconds;
};

template <typename Handoff>
Figures Threads(const Load& load) {
  LatestTable table({.capacity = load.symbols});
  MergeAll(&table);
  Handoff dirty(&table, load.producers, 1);
  std::atomic<uint32_t> producing{load.producers};
  std::vector<double> mark_ns(load.producers);
  const auto produce = [&](uint32_t me) {
    PinTo(1);
    // The symbols are dealt out, so that producers share the words of a bitmap.
    std::vector<SymbolId> ours;
    for (const SymbolId id : ShuffledIds(load.symbols)) {
      if (Index(id) % load.producers == me) ours.push_back(id);
    }
    const double begin = NowNs();
    const double end = begin + load.seconds * 1e9;
    uint64_t marks = 0;
    size_t at = 0;
    double in_marks = 0;
    double now = begin;
    const double interval_ns = load.per_s == 0 ? 0 : 1e9 * load.producers / load.per_s;
    // At a rate, the clock is read around every mark, and what that takes is taken off at the end.
    while (now < end) {
      if (interval_ns != 0) {
        const double due = begin + static_cast<double>(marks) * interval_ns;
        while (now < due) {
          if (load.producers > 1) std::this_thread::yield();
          now = NowNs();
        }
      }
      const uint32_t batch = interval_ns == 0 ? 256 : 1;
      const double before = NowNs();
      for (uint32_t i = 0; i < batch && !ours.empty(); ++i) {
        dirty.Mark(me, ours[at], MonoNs{static_cast<int64_t>(now)});
        at = at + 1 == ours.size() ? 0 : at + 1;
      }
      now = NowNs();
      in_marks += now - before;
      marks += batch;
    }
    mark_ns[me] = in_marks / static_cast<double>(marks);
    producing.fetch_sub(1, std::memory_order_release);
  };
  std::vector<std::thread> producers;
  for (uint32_t i = 0; i < load.producers; ++i) producers.emplace_back(produce, i);

  PinTo(0);
  std::array<SymbolId, kTakenAtOnce> ids;
  std::vector<double> waits;
  waits.reserve(1 << 20);
  double taking_ns = 0;
  double empty_ns = 0;
  uint64_t taken = 0;
  uint64_t empties = 0;
  int64_t sum = 0;
  for (bool last = false; !last;) {
    last = producing.load(std::memory_order_acquire) == 0;
    const double begin = NowNs();
    const size_t count = dirty.Take(0, ids);
    if (count == 0) {
      empty_ns += NowNs() - begin;
      ++empties;
      continue;
    }
    last = false;
    MonoNs oldest{INT64_MAX};
    for (size_t i = 0; i < count; ++i) {
      Quote quote;
      oldest = std::min(oldest, dirty.Begin(ids[i]));
      if (table.TryLoad(ids[i], &quote)) sum += quote.Get(Field::kBid).mantissa;
    }
    const double end = NowNs();
    taking_ns += end - begin;
    taken += count;
    const double rested = load.work_ns == 0 ? 0 : end + load.work_ns * static_cast<double>(count);
    while (NowNs() < rested) {
    }
    if (waits.size() < waits.capacity()) waits.push_back(end - static_cast<double>(oldest.value));
  }
  for (std::thread& producer : producers) producer.join();
  if (sum != static_cast<int64_t>(taken) * 2'100'000) std::fprintf(stderr, "a load failed\n");
  // What reading the clock takes.
  double clock_ns = NowNs();
  for (int i = 0; i < 1'000; ++i) NowNs();
  clock_ns = (NowNs() - clock_ns) / 1'001;
  double mark = 0;
  for (const double ns : mark_ns) mark += (ns - (load.per_s == 0 ? 0 : clock_ns)) / load.producers;
  return {mark, taking_ns / static_cast<double>(taken),
          empties == 0 ? 0 : empty_ns / static_cast<double>(empties) - clock_ns, Percentile(&waits, 0.5),
          Percentile(&waits, 0.99)};
}

// ---- order ----

// Ticks by a power law over the symbols, in Poisson times; the sink takes one id a step, a batch at a time, as a lane
// whose window has room for that many. `ticks_per_step`: the load; above 1 the sink cannot keep up without conflating.
template <typename Handoff>
Figures Order(uint32_t symbols, double ticks_per_step, double power, size_t batch) {
  LatestTable table({.capacity = symbols});
  Handoff dirty(&table, 1, 1);
  std::mt19937_64 random(kSeed);
  std::vector<double> weights(symbols);
  for (uint32_t i = 0; i < symbols; ++i) weights[i] = 1 / std::pow(i + 1, power);
  std::shuffle(weights.begin(), weights.end(), random);
  std::discrete_distribution<uint32_t> which(weights.begin(), weights.end());
  std::poisson_distribution<uint32_t> arrivals(ticks_per_step);
  std::vector<SymbolId> ids(batch);
  std::vector<double> waits;
  const int64_t steps = smoke ? 2'000 : std::max<int64_t>(500'000, int64_t{symbols} * 20);
  const int64_t warm = steps / 5;
  for (int64_t step = 1; step <= steps; ++step) {
    for (uint32_t left = arrivals(random); left != 0; --left) dirty.Mark(0, SymbolId{which(random)}, MonoNs{step});
    if (step % static_cast<int64_t>(batch) != 0) continue;
    const size_t count = dirty.Take(0, ids);
    for (size_t i = 0; i < count; ++i) {
      const MonoNs since = dirty.Begin(ids[i]);
      if (step > warm) waits.push_back(static_cast<double>(step - since.value));
    }
  }
  double sum = 0;
  for (const double wait : waits) sum += wait;
  return {sum / static_cast<double>(waits.size()), Percentile(&waits, 0.5), Percentile(&waits, 0.99),
          *std::max_element(waits.begin(), waits.end())};
}

void AllTurns() {
  std::puts("turns: ns an id; rings, queue, bitmap");
  for (const uint32_t symbols : kSymbolCounts) {
    Compare(absl::StrCat(symbols, " symbols"), kRounds, {"mark", "take"},
            [&]<typename Handoff>() { return Turns<Handoff>(symbols); });
  }
}

void AllThreads() {
  std::puts("threads: ns; rings, queue, bitmap");
  if (std::thread::hardware_concurrency() < 2) return std::puts("needs two CPUs"), void();
  for (const uint32_t producers : {1U, 2U}) {
    for (const uint32_t symbols : kSymbolCounts) {
      if (symbols < producers) continue;
      struct Pace {
        const char* name;
        double per_s;
        double work_ns;
      };
      // The last: as a sink does that has commands to encode and a server to wait for.
      for (const Pace& pace : {Pace{"1 k/s", 1e3, 0}, Pace{"100 k/s", 1e5, 0}, Pace{"1 M/s", 1e6, 0}, Pace{"max", 0, 0},
                               Pace{"max to 2 M/s", 0, 500}}) {
        const std::string what = absl::StrCat(producers, " x ", symbols, ", ", pace.name);
        const Load load{symbols, producers, pace.per_s, pace.work_ns, smoke ? 0.002 : 0.05};
        Compare(what, kRounds, {"mark", "take", "empty", "wait", "p99"},
                [&]<typename Handoff>() { return Threads<Handoff>(load); });
      }
    }
  }
}

void AllOrders() {
  std::puts("order: steps that the oldest tick of a value waits; rings, queue, bitmap");
  for (const uint32_t symbols : {100U, 1'000U, 10'000U}) {
    for (const double power : {0.0, 1.0}) {
      for (const double load : {0.5, 0.9, 1.1, 2.0, 10.0}) {
        const std::string what = absl::StrCat(symbols, power == 0 ? " even" : " 1/n", ", load ", load);
        Compare(what, 1, {"mean", "p50", "p99", "max"},
                [&]<typename Handoff>() { return Order<Handoff>(symbols, load, power, 1); });
      }
    }
  }
}

}  // namespace
}  // namespace tickbridge

int main(int argc, char** argv) {
  using namespace tickbridge;
  std::string_view only;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--smoke") == 0) {
      smoke = true;
    } else {
      only = argv[i];
    }
  }
#ifndef NDEBUG
  if (!smoke) {
    std::fprintf(stderr, "This is a build with assertions; use the release preset.\n");
    return 2;
  }
#endif
  if (only.empty() || only == "turns") AllTurns();
  if (only.empty() || only == "threads") AllThreads();
  if (only.empty() || only == "order") AllOrders();
  return 0;
}
