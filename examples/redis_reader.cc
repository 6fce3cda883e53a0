// SPDX-License-Identifier: Apache-2.0
// A strategy on another host: the latest quotes through a near cache, one line for each change.
//
// usage: redis_reader URL SECONDS SYMBOL…      (the password, if any, in REDIS_PASSWORD)
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/decimal.h"
#include "sink/redis_reader.h"

namespace {

using tickbridge::MonoNs;
using tickbridge::Quote;
using tickbridge::QuoteState;
using tickbridge::RedisReader;
using tickbridge::SymbolId;
using tickbridge::SystemClock;

const char* Text(QuoteState state) {
  switch (state) {
    case QuoteState::kCurrent:
      return "current";
    case QuoteState::kHeld:
      return "held";
    case QuoteState::kExpired:
      return "expired";
    case QuoteState::kNeverSeen:
      return "never seen";
    case QuoteState::kInvalid:
      return "invalid";
    case QuoteState::kUnknown:
      return "unknown";
  }
  return "";
}

QuoteState Print(const RedisReader& reader, const std::string& symbol, SymbolId id, MonoNs now) {
  const Quote* quote = nullptr;
  const QuoteState state = reader.Get(id, now, &quote);
  std::printf("%s %s", symbol.c_str(), Text(state));
  if (quote != nullptr && quote->Has(tickbridge::Field::kLast)) {
    char last[tickbridge::kMaxDecimalChars + tickbridge::kDecimalPrintScratch];
    const char* const end = tickbridge::PrintPrice(last, quote->Get(tickbridge::Field::kLast));
    std::printf(" Last %.*s", static_cast<int>(end - last), last);
  }
  if (const auto age_ns = reader.AgeNs(id, now); quote != nullptr && age_ns.has_value()) {
    std::printf(" %.3f s old", static_cast<double>(*age_ns) / 1e9);
  }
  std::printf("\n");
  return state;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: redis_reader URL SECONDS SYMBOL...\n");
    return 2;
  }
  const auto target = tickbridge::ResolveRedisTarget(argv[1], "");
  if (!target.ok()) {
    std::fprintf(stderr, "%s\n", target.status().ToString().c_str());
    return 2;
  }
  const std::vector<std::string> symbols(argv + 3, argv + argc);
  auto made = RedisReader::Create({.target = *target}, symbols);
  if (!made.ok()) {
    std::fprintf(stderr, "%s\n", made.status().ToString().c_str());
    return 2;
  }
  RedisReader& reader = **made;

  std::vector<QuoteState> shown(symbols.size(), QuoteState::kUnknown);
  const MonoNs end = SystemClock::ReadMonotonic() + std::atoll(argv[2]) * tickbridge::kNsPerSec;
  bool said_mode = false;
  while (SystemClock::ReadMonotonic() < end) {
    const RedisReader::Outcome outcome = reader.Poll(tickbridge::kNsPerMs);
    if (outcome == RedisReader::Outcome::kCurrent && !said_mode) {
      const bool tracking = reader.mode() == RedisReader::Mode::kTracking;
      std::printf("%s %s\n", tracking ? "tracking" : "polling", reader.status().ToString().c_str());
    }
    said_mode = outcome == RedisReader::Outcome::kCurrent || (said_mode && outcome == RedisReader::Outcome::kPending);

    const MonoNs now = SystemClock::ReadMonotonic();
    for (const SymbolId id : reader.changed()) shown[Index(id)] = Print(reader, symbols[Index(id)], id, now);
    // What runs out by itself, or cannot be known any more, is no change in Redis.
    for (uint32_t i = 0; i < symbols.size(); ++i) {
      const Quote* quote = nullptr;
      if (reader.Get(SymbolId{i}, now, &quote) != shown[i]) shown[i] = Print(reader, symbols[i], SymbolId{i}, now);
    }
    std::fflush(stdout);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // where a strategy does its work
  }
  return 0;
}
