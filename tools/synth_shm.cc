// SPDX-License-Identifier: Apache-2.0
// `tickbridge synth --shm`: the synthetic market as a feed handler would send it, at its own pace, into a ring.
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/clock.h"
#include "feed/publisher.h"
#include "feed/synth.h"
#include "tools/commands.h"
#include "tools/json.h"
#include "tools/output.h"
#include "tools/session.h"
#include "tools/signals.h"

namespace tickbridge {
namespace {

// Between two looks at the clock; what is due by then is sent at once.
constexpr int64_t kPauseNs = 100 * kNsPerUs;

absl::Status StatusOf(const RingError& error) {
  return error.code == RingErrorCode::kInvalid ? absl::InvalidArgumentError(error.message)
                                               : absl::UnavailableError(error.message);
}

}  // namespace

int SynthIntoRing(const GlobalOptions& global, const SynthOptions& options) {
  Publisher::Options ring;
  ring.file.ring = options.shm;
  if (options.symbols > ring.file.max_symbols) ring.file.max_symbols = options.symbols;
  RingError error;
  const std::unique_ptr<Publisher> publisher = Publisher::Open(ring, &error);
  if (publisher == nullptr) return ExplainStart(StatusOf(error));
  SynthMarket::Options market_options;
  market_options.symbols = options.symbols;
  market_options.seed = options.seed;
  market_options.rate = options.rate;
  SynthMarket market(market_options);
  std::vector<Publisher::Number> numbers;
  for (uint32_t i = 0; i < market.symbols(); ++i) {
    numbers.push_back(publisher->Declare(market.SymbolName(i)));
    if (numbers.back() == Publisher::kNoNumber) {
      return ExplainStart(absl::ResourceExhaustedError(
          absl::StrCat("ring ", publisher->path(), ": has no place for more symbols; remove it, or use another name")));
    }
  }

  StopSignals stop;
  const SystemClock clock;
  const MonoNs start = SystemClock::ReadMonotonic();
  const auto end_ns = static_cast<int64_t>(options.seconds * 1e9);  // 0: by count
  Tick tick;
  uint32_t symbol;
  market.Next(&tick, &symbol);
  uint64_t ticks = 0;
  bool lost = false;
  for (bool done = false; !done && !lost && !stop.Wait(kPauseNs);) {
    const int64_t due_ns = SystemClock::ReadMonotonic() - start;
    const VenueNs now = VenueNsFromMs(ToUnixMs(clock.UnixNow()).value);
    while (!done && market.elapsed_ns() <= due_ns) {
      tick.quote_time = tick.trade_time = now;
      lost = publisher->Publish(numbers[symbol], tick) == Publisher::Result::kLost || lost;
      done = ++ticks == options.count && options.count != 0;
      market.Next(&tick, &symbol);
      done = done || (end_ns != 0 && market.elapsed_ns() >= end_ns);
    }
    lost = publisher->Heartbeat() == Publisher::Result::kLost || lost;
  }
  if (lost) {
    return ExplainStart(absl::DataLossError(absl::StrCat(
        "ring ", publisher->path(), ": was truncated, or another publisher has put its own in its place")));
  }
  const Publisher::Counts counts = publisher->counts();
  const std::string text =
      global.json ? absl::StrCat("{\"ring\":", JsonString(publisher->path()), ",\"ticks\":", ticks,
                                 ",\"published\":", counts.published, ",\"refused\":", counts.refused,
                                 ",\"late\":", counts.late, ",\"conflated\":", counts.conflated,
                                 ",\"pending\":", counts.pending, "}\n")
                  : absl::StrCat(publisher->path(), ": ", ticks, " ticks of ", options.symbols, " symbols, of which ",
                                 counts.refused, " found the ring full and ", counts.pending, " symbols still wait\n");
  return PrintOrExplain(text) ? kExitOk : kExitFailed;
}

}  // namespace tickbridge
