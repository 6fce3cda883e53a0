// SPDX-License-Identifier: Apache-2.0
// `tickbridge synth`: a seeded synthetic market as NDJSON. The same options give the same bytes.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "feed/synth.h"
#include "tools/commands.h"
#include "tools/json.h"
#include "tools/output.h"
#include "tools/session.h"

namespace tickbridge {
namespace {

constexpr size_t kWriteBytes = 256 << 10;

}  // namespace

int CommandSynth(const GlobalOptions& global, const SynthOptions& options) {
  if (!LoadConfigOrExplain(global).has_value()) return kExitUsage;
  if (!options.shm.empty()) return SynthIntoRing(global, options);
  SynthMarket::Options market_options;
  market_options.symbols = options.symbols;
  market_options.seed = options.seed;
  market_options.rate = options.rate;
  market_options.start_unix_ms = options.start_ms;
  SynthMarket market(market_options);
  const uint64_t count = options.count == 0 ? std::numeric_limits<uint64_t>::max() : options.count;
  const double end_ns = options.seconds == 0 ? std::numeric_limits<double>::infinity() : options.seconds * 1e9;

  const bool to_stdout = options.out == "-";
  const auto failed = [&] {
    return ExplainStart(
        absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", to_stdout ? "to stdout" : options.out)));
  };
  std::FILE* const out = to_stdout ? stdout : std::fopen(options.out.c_str(), "wbe");
  if (out == nullptr) return failed();
  const auto close = [to_stdout](std::FILE* file) { return to_stdout ? 0 : std::fclose(file); };
  std::unique_ptr<std::FILE, decltype(close)> closing(out, close);

  std::string text;
  uint64_t ticks = 0;
  uint64_t bytes = 0;
  for (bool done = false; !done;) {
    const size_t before = text.size();
    market.AppendNdjson(&text);
    if (static_cast<double>(market.elapsed_ns()) >= end_ns) {
      text.resize(before);
      done = true;
    } else {
      done = ++ticks >= count;
    }
    if (!done && text.size() < kWriteBytes) continue;
    if (std::fwrite(text.data(), 1, text.size(), out) != text.size()) return failed();
    bytes += text.size();
    text.clear();
  }
  if (std::fflush(out) != 0) return failed();
  if (close(closing.release()) != 0) return failed();
  if (to_stdout) return kExitOk;
  const double seconds = static_cast<double>(market.elapsed_ns()) / 1e9;
  return PrintOrExplain(global.json ? absl::StrCat("{\"path\":", JsonString(options.out), ",\"ticks\":", ticks,
                                                   ",\"bytes\":", bytes, ",\"symbols\":", options.symbols,
                                                   ",\"seconds\":", seconds, "}\n")
                                    : absl::StrCat(options.out, ": ", ticks, " ticks of ", options.symbols,
                                                   " symbols over ", seconds, " s, ", bytes, " bytes\n"))
             ? kExitOk
             : kExitFailed;
}

}  // namespace tickbridge
