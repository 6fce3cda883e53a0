// SPDX-License-Identifier: Apache-2.0
// Runs simulated worlds, one a seed, until time is up or a promise is broken. A seed that failed fails again.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

#include "core/log.h"
#include "tests/sim/world.h"

namespace {

struct Arguments {
  uint64_t first_seed = 1;
  uint64_t seeds = 100;
  double seconds = 0;  // 0: as long as the seeds take
  bool trace = false;
};

constexpr char kUsage[] =
    "usage: sim [--seed N|fresh] [--seeds COUNT] [--seconds S] [--trace]\n"
    "  --seed     of the first world (1); fresh: a random one, printed\n"
    "  --seeds    how many worlds, of consecutive seeds (100)\n"
    "  --seconds  go on with further seeds until so many have passed\n"
    "  --trace    print what happens\n";

Arguments Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--trace") {
      arguments.trace = true;
      continue;
    }
    if (i + 1 == argc) {
      std::fputs(kUsage, stderr);
      std::exit(2);
    }
    const char* const value = argv[++i];
    if (name == "--seed") {
      arguments.first_seed =
          std::strcmp(value, "fresh") == 0 ? std::random_device{}() : std::strtoull(value, nullptr, 10);
    } else if (name == "--seeds") {
      arguments.seeds = std::strtoull(value, nullptr, 10);
    } else if (name == "--seconds") {
      arguments.seconds = std::strtod(value, nullptr);
    } else {
      std::fputs(kUsage, stderr);
      std::exit(2);
    }
  }
  return arguments;
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = Parse(argc, argv);
  if (arguments.trace) {
    tickbridge::SetLogHandler([](tickbridge::LogLevel, std::string_view line) {
      std::fprintf(stderr, "             log: %.*s\n", static_cast<int>(line.size()), line.data());
    });
  }
  const auto began = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(); };
  tickbridge::sim::World::Tally total;
  uint64_t done = 0;
  for (; arguments.seconds > 0 ? elapsed() < arguments.seconds : done < arguments.seeds; ++done) {
    const uint64_t seed = arguments.first_seed + done;
    tickbridge::sim::World world(seed, arguments.trace);
    const std::string violation = world.Run(3);
    if (!violation.empty()) {
      std::printf("seed %llu after %llu worlds, %.1f s: %s\n", static_cast<unsigned long long>(seed),
                  static_cast<unsigned long long>(done + 1), elapsed(), violation.c_str());
      return 1;
    }
    const auto& tally = world.tally();
    total.ticks += tally.ticks;
    total.documents += tally.documents;
    total.changes += tally.changes;
    total.faults += tally.faults;
    total.reconnects += tally.reconnects;
    total.restarts += tally.restarts;
    total.expired += tally.expired;
    total.resent += tally.resent;
  }
  const auto n = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(
      "%llu worlds from seed %llu in %.1f s: %llu ticks, %llu documents, %llu changes of keys, %llu faults, "
      "%llu restarts of the bridge, %llu reconnects, %llu resent, %llu expired: every promise held\n",
      n(done), n(arguments.first_seed), elapsed(), n(total.ticks), n(total.documents), n(total.changes),
      n(total.faults), n(total.restarts), n(total.reconnects), n(total.resent), n(total.expired));
  return 0;
}
