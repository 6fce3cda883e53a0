// SPDX-License-Identifier: Apache-2.0
// One client of bench/compare: writes for some time as its mode says, or reads, and prints one JSON object.
//
// usage: compare_client MODE SOCKET SECONDS [--batch N] [--window N] [--rate N] [--delay SECONDS] [--cpu N]
//   probe        pre-encoded SETEX, up to N in flight, written a quarter of them at a time: the limit
//   msetex       pre-encoded MSETEX of --batch keys, --window keys in flight: the limit of servers that have it
//   one          hiredis, one SETEX at a time
//   pipeline     hiredis, redisAppendCommandArgv of --batch SETEX, then their answers
//   get          GET of random keys, --rate a second; from when each was due if the one before was late
#include <hiredis/hiredis.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/bare_probe.h"
#include "bench/get_client.h"
#include "bench/schedule.h"
#include "core/clock.h"
#include "core/histogram.h"
#include "sink/dial.h"

namespace tickbridge {
namespace {

constexpr uint32_t kSymbols = 1'000;

struct Options {
  std::string mode;
  std::string socket;
  double seconds = 1;
  size_t batch = 100;
  size_t window = 1'024;
  double rate = 1'000;
  double delay_s = 0;
  int cpu = -1;
};

std::vector<std::string> Keys() {
  std::vector<std::string> keys(kSymbols);
  for (uint32_t i = 0; i < kSymbols; ++i) keys[i] = absl::StrCat("price:", BenchSymbolName(i), ":latest");
  return keys;
}

MonoNs Now() { return SystemClock::ReadMonotonic(); }

double CpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

[[noreturn]] void Fail(std::string_view what) {
  std::fprintf(stderr, "compare_client: %s\n", std::string(what).c_str());
  std::exit(1);
}

// Times a writer's work, and says what it came to. `latency`: of a round trip; null where there is none.
class Timing {
 public:
  explicit Timing(double seconds) : until_(begin_ + static_cast<int64_t>(seconds * 1e9)) {}
  bool Over() const { return Now() >= until_; }
  void Print(uint64_t writes, const Histogram* latency) const {
    const double elapsed_s = static_cast<double>(Now() - begin_) / 1e9;
    const HistogramSummary h = latency != nullptr ? Summarize(*latency) : HistogramSummary{};
    std::printf("{\"writes\":%llu,\"elapsed_s\":%.6f,\"cpu_s\":%.6f,\"p50_ns\":%lld,\"p99_ns\":%lld,\"count\":%llu}\n",
                static_cast<unsigned long long>(writes), elapsed_s, CpuSeconds() - cpu_s_,
                static_cast<long long>(h.p50), static_cast<long long>(h.p99), static_cast<unsigned long long>(h.count));
  }

 private:
  const double cpu_s_ = CpuSeconds();
  const MonoNs begin_ = Now();
  const MonoNs until_;
};

void Probe(const Options& options, const ProbeCommands& commands) {
  RedisTarget target;
  target.kind = RedisTarget::Kind::kUnix;
  target.unix_path = options.socket;
  auto line = Dial(target, nullptr, kNsPerSec, -1);
  if (!line.ok()) Fail(line.status().message());
  const Timing timing(options.seconds);
  const ProbeResult result = RunProbe(line->transport.get(), commands, options.window, [&] { return timing.Over(); });
  if (!result.refused.empty()) Fail(result.refused);
  timing.Print(result.writes, nullptr);
}

struct ContextDeleter {
  void operator()(redisContext* context) const { redisFree(context); }
};
using Context = std::unique_ptr<redisContext, ContextDeleter>;

Context Connect(const Options& options) {
  Context context(redisConnectUnix(options.socket.c_str()));
  if (context == nullptr || context->err != 0) Fail("cannot connect");
  return context;
}

void CheckOk(void* raw) {
  auto* const reply = static_cast<redisReply*>(raw);
  if (reply == nullptr || reply->type == REDIS_REPLY_ERROR) Fail(reply == nullptr ? "no answer" : reply->str);
  freeReplyObject(reply);
}

// As hiredis is used: a command's words one by one, its buffer, its replies.
void Hiredis(const Options& options, size_t batch) {
  const Context context = Connect(options);
  const std::string value(kProbeValueBytes, 'x');
  const std::vector<std::string> keys = Keys();
  Histogram latency;
  uint64_t writes = 0;
  const Timing timing(options.seconds);
  while (!timing.Over()) {
    const MonoNs begin = Now();
    for (size_t i = 0; i < batch; ++i) {
      const std::string& key = keys[(writes + i) % kSymbols];
      const std::array<const char*, 4> words = {"SETEX", key.c_str(), "5", value.c_str()};
      const std::array<size_t, 4> sizes = {5, key.size(), 1, value.size()};
      if (batch == 1) {
        CheckOk(redisCommandArgv(context.get(), 4, const_cast<const char**>(words.data()), sizes.data()));
      } else {
        redisAppendCommandArgv(context.get(), 4, const_cast<const char**>(words.data()), sizes.data());
      }
    }
    for (size_t i = 0; batch > 1 && i < batch; ++i) {
      void* reply = nullptr;
      if (redisGetReply(context.get(), &reply) != REDIS_OK) Fail("connection lost");
      CheckOk(reply);
    }
    writes += batch;
    latency.Record(Now() - begin);
  }
  timing.Print(writes, &latency);
}

void Get(const Options& options) {
  const Context context = Connect(options);
  const std::vector<std::string> keys = Keys();
  Histogram latency;
  const MonoNs begin = Now() + static_cast<int64_t>(options.delay_s * 1e9);
  if (!MeasureGets(context.get(), keys, begin, options.seconds, options.rate, &latency)) Fail("no answer to GET");
  const HistogramSummary h = Summarize(latency);
  std::printf("{\"p50_ns\":%lld,\"p99_ns\":%lld,\"max_ns\":%lld,\"count\":%llu}\n", static_cast<long long>(h.p50),
              static_cast<long long>(h.p99), static_cast<long long>(h.max), static_cast<unsigned long long>(h.count));
}

int Main(int argc, char** argv) {
  if (argc < 4) Fail("usage: compare_client MODE SOCKET SECONDS [options]");
  Options options;
  options.mode = argv[1];
  options.socket = argv[2];
  options.seconds = std::atof(argv[3]);
  for (int i = 4; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const double value = std::atof(argv[i + 1]);
    if (name == "--batch") options.batch = static_cast<size_t>(value);
    if (name == "--window") options.window = static_cast<size_t>(value);
    if (name == "--rate") options.rate = value;
    if (name == "--delay") options.delay_s = value;
    if (name == "--cpu") options.cpu = static_cast<int>(value);
  }
  if (options.cpu >= 0) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(options.cpu), &one);
    ::sched_setaffinity(0, sizeof(one), &one);
  }
  if (options.mode == "probe") {
    Probe(options, ProbeSetex(Keys()));
  } else if (options.mode == "msetex") {
    Probe(options, ProbeMsetex(Keys(), options.batch));
  } else if (options.mode == "one") {
    Hiredis(options, 1);
  } else if (options.mode == "pipeline") {
    Hiredis(options, options.batch);
  } else if (options.mode == "get") {
    Get(options);
  } else {
    Fail("no such mode");
  }
  return 0;
}

}  // namespace
}  // namespace tickbridge

int main(int argc, char** argv) { return tickbridge::Main(argc, argv); }
