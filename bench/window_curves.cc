// SPDX-License-Identifier: Apache-2.0
// The window that finds itself, beside fixed ones, before servers of several kinds; and what the share leaves readers.
//
// Each point is a new connection of the sink, at share 1, with symbols that are always dirty (bench/live_sink.h). The
// first half of its time warms up, and is where the self-sizing window finds its size; the second is measured: writes a
// second as the server counted them, and the staleness of each write: from when the oldest tick that it covers was
// received to its acknowledgement. All points of a server in turn, several rounds, medians.
//
// The servers are one redis-server on CPU 0, the sink on CPU 1:
//   fast      that alone
//   slow      a process that never sleeps takes half of its CPU, a few milliseconds at a time
//   busy      a second client asks for one script of about 100 µs after the other
//   far1      each answer comes 1 ms later (tests/far_line.h)
//   far10     10 ms later
//   speed     a second of `fast`, a second of `slow`
//   distance  a second of `fast`, a second of `far10`
//
// With --share instead: a second client's GET, 1,000 a second on the server's CPU, beside the sink at each share.
//
// usage: window_curves [--server NAME] [--seconds 1] [--rounds 2] [--share] [--json] [--smoke]
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "bench/get_client.h"
#include "bench/live_sink.h"
#include "tests/far_line.h"
#include "tests/redis_server.h"

namespace tickbridge {
namespace {

constexpr int kServerCpu = 0;
constexpr int kSinkCpu = 1;
constexpr int64_t kChangeNs = kNsPerSec;
constexpr double kEnough = 0.97;  // of the best throughput

// Beyond that a point says more of the machine than of the window. (The server's own answer to INFO is waited for.)
constexpr double kLostMax = 0.05;

enum class Burden : uint8_t { kNone, kBusyLoop, kScripts };

struct ServerKind {
  std::string_view name;
  Burden burden = Burden::kNone;
  int64_t delay_ns = 0;
  bool changes = false;
  uint32_t window_max = 8'192;
};

constexpr ServerKind kServers[] = {
    {"fast"},
    {"slow", Burden::kBusyLoop},
    {"busy", Burden::kScripts},
    {"far1", Burden::kNone, kNsPerMs},
    {"far10", Burden::kNone, 10 * kNsPerMs, false, 32'768},
    {"speed", Burden::kBusyLoop, 0, true},
    {"distance", Burden::kNone, 10 * kNsPerMs, true, 32'768},
};

struct Options {
  std::string_view server;  // empty: all
  double seconds = 1;       // of a point
  int rounds = 2;
  bool share = false;
  bool json = false;
  bool smoke = false;
};

// A process beside us on the server's CPU, that can be held and let go; ended with the object.
class Companion {
 public:
  template <typename Work>
  explicit Companion(Work work) : pid_(::fork()) {
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::sysconf(_SC_NPROCESSORS_ONLN) >= 2) PinTo(kServerCpu, 0);
    work();
    ::_exit(0);
  }
  Companion(const Companion&) = delete;
  Companion& operator=(const Companion&) = delete;
  ~Companion() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    Wait();
  }
  void Hold(bool held) const { ::kill(pid_, held ? SIGSTOP : SIGCONT); }
  // Until it has ended by itself.
  void Wait() {
    if (pid_ >= 0) ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_;
};

[[noreturn]] void NeverSleep() {
  for (volatile uint64_t turns = 0;;) turns = turns + 1;
}

void AskForScripts(const std::string& socket) {
  redisContext* const context = redisConnectUnix(socket.c_str());
  const auto run = [&](int64_t turns) {
    const MonoNs begin = SystemClock::ReadMonotonic();
    freeReplyObject(
        redisCommand(context, "EVAL %s 0 %lld", "for i = 1, tonumber(ARGV[1]) do end", static_cast<long long>(turns)));
    return SystemClock::ReadMonotonic() - begin;
  };
  constexpr int64_t kTried = 10'000'000;
  const int64_t turns = kTried * 100 * kNsPerUs / std::max<int64_t>(run(kTried), 1);
  while (context->err == 0) run(turns);
}

// The server of one kind, and the line to it.
class Stage {
 public:
  Stage(const ServerKind& kind, const RedisServer& redis) : kind_(kind), redis_(redis), counts_(redis.socket()) {
    if (kind.burden == Burden::kBusyLoop) companion_ = std::make_unique<Companion>(NeverSleep);
    if (kind.burden == Burden::kScripts) {
      companion_ = std::make_unique<Companion>([&] { AskForScripts(redis.socket()); });
    }
    Look(0);
  }

  std::unique_ptr<Connector> Line() const {
    RedisTarget target;
    target.kind = RedisTarget::Kind::kUnix;
    target.unix_path = redis_.socket();
    std::unique_ptr<Connector> near = LiveConnector(target);
    if (kind_.delay_ns == 0) return near;
    return std::make_unique<FarConnector>(std::move(near), &delay_ns_);
  }
  // Is as it is to be so long after the start of a point.
  void Look(int64_t since_ns) {
    const bool hard = !kind_.changes || since_ns / kChangeNs % 2 == 1;
    delay_ns_ = hard ? kind_.delay_ns : 0;
    if (companion_ != nullptr && hard == held_) companion_->Hold(held_ = !hard);
  }
  const ServerKind& kind() const { return kind_; }
  const ServerCounts& counts() const { return counts_; }

 private:
  const ServerKind kind_;
  const RedisServer& redis_;
  const ServerCounts counts_;
  std::unique_ptr<Companion> companion_;
  bool held_ = false;
  int64_t delay_ns_ = 0;
};

// Of the calling thread.
double CpuSeconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// What one window, or one share, came to; a value each round.
struct Point {
  uint32_t window = 0;        // 0: the one that finds itself
  std::vector<double> per_s;  // writes
  std::vector<double> p50_us;
  std::vector<double> p99_us;
  std::vector<double> windows;  // as looked at in the measured time, of all rounds
  std::vector<double> lost;     // the part of the time in which the sink had no CPU
};

constexpr Seconds kSlice{0.001};

// Turns the sink for `duration`, and the stage with it, `since` the start of the point.
template <typename EachSlice>
void Turn(LiveSink* sink, Stage* stage, Seconds since, Seconds duration, EachSlice each) {
  const auto begin = std::chrono::steady_clock::now();
  Seconds passed{0};
  while (passed < duration) {
    stage->Look(static_cast<int64_t>((since + passed).count() * 1e9));
    sink->Run(std::min(kSlice, duration - passed));
    each();
    passed = std::chrono::steady_clock::now() - begin;
  }
}

void RunPoint(Stage* stage, Seconds duration, Point* point) {
  stage->Look(0);
  LiveSink sink(stage->Line(),
                {.share = 1.0, .fixed_window = point->window, .max_in_flight = stage->kind().window_max});
  const Seconds half = duration / 2;
  Turn(&sink, stage, Seconds{0}, half, [] {});
  sink.staleness()->Reset();
  const double cpu_s = CpuSeconds();
  const MonoNs begin = SystemClock::ReadMonotonic();
  point->per_s.push_back(stage->counts().Measure([&] {
    Turn(&sink, stage, half, half, [&] { point->windows.push_back(static_cast<double>(sink.lane().window())); });
  }));
  const double took_s = static_cast<double>(SystemClock::ReadMonotonic() - begin) / 1e9;
  point->lost.push_back(1 - (CpuSeconds() - cpu_s) / took_s);
  const HistogramSummary staleness = Summarize(*sink.staleness());
  point->p50_us.push_back(static_cast<double>(staleness.p50) / 1e3);
  point->p99_us.push_back(static_cast<double>(staleness.p99) / 1e3);
}

// The fixed windows that a server is tried with, and the one that finds itself (0).
std::vector<Point> PointsOf(const ServerKind& kind, bool smoke) {
  std::vector<Point> points;
  const uint32_t factor = smoke ? 32 : kind.changes ? 4 : 2;
  for (uint32_t window = 16; window <= kind.window_max; window *= factor) {
    points.emplace_back().window = window;
  }
  points.emplace_back();
  return points;
}

void PrintCurve(const ServerKind& kind, const std::vector<Point>& points, bool json) {
  const auto best = std::max_element(points.begin(), points.end() - 1,
                                     [](const Point& a, const Point& b) { return Median(a.per_s) < Median(b.per_s); });
  const double best_per_s = Median(best->per_s);
  const auto enough = std::find_if(points.begin(), points.end(),
                                   [&](const Point& point) { return Median(point.per_s) >= kEnough * best_per_s; });
  const Point& itself = points.back();
  std::vector<double> windows = itself.windows;
  std::sort(windows.begin(), windows.end());
  if (json) {
    for (const Point& point : points) {
      std::printf(
          "{\"server\":\"%s\",\"window\":%u,\"writes_per_s\":%.0f,\"ratio\":%.3f,\"staleness_p50_us\":%.0f,"
          "\"staleness_p99_us\":%.0f,\"window_median\":%.0f,\"window_min\":%.0f,\"window_max\":%.0f}\n",
          kind.name.data(), point.window, Median(point.per_s), Median(point.per_s) / best_per_s, Median(point.p50_us),
          Median(point.p99_us), Median(point.windows), *std::min_element(point.windows.begin(), point.windows.end()),
          *std::max_element(point.windows.begin(), point.windows.end()));
    }
    return;
  }
  std::printf("%s\n%-28s %10s %8s %14s %10s\n", kind.name.data(), "window", "writes/s", "ratio", "staleness p50",
              "p99 µs");
  for (const Point& point : points) {
    const std::string label =
        point.window != 0 ? absl::StrCat(point.window)
                          : absl::StrCat("itself: ", Median(windows), " (", windows.front(), "–", windows.back(), ")");
    std::printf("%-28s %10.0f %8.3f %14.0f %10.0f\n", label.c_str(), Median(point.per_s),
                Median(point.per_s) / best_per_s, Median(point.p50_us), Median(point.p99_us));
  }
  std::printf("the smallest that reaches %.2f of the best: %u; to that one's staleness, its own: %.2f p50, %.2f p99\n",
              kEnough, enough->window, Median(itself.p50_us) / Median(enough->p50_us),
              Median(itself.p99_us) / Median(enough->p99_us));
}

void RunCurves(const Options& options, const RedisServer& redis) {
  for (const ServerKind& kind : kServers) {
    if (!options.server.empty() && options.server != kind.name) continue;
    std::vector<Point> points = PointsOf(kind, options.smoke);
    // A whole period of both warms up, and one is measured.
    const Seconds duration(options.seconds * (kind.changes && !options.smoke ? 4.0 * kChangeNs / kNsPerSec : 1.0));
    Stage stage(kind, redis);
    for (int round = 0; round < options.rounds; ++round) {
      for (Point& point : points) RunPoint(&stage, duration, &point);
    }
    PrintCurve(kind, points, options.json);
    std::fflush(stdout);
  }
}

// A histogram that a forked process writes, too.
struct SharedHistogram {
  SharedHistogram() {
    void* const bytes = ::mmap(nullptr, sizeof(Histogram), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) throw std::bad_alloc();
    histogram = new (bytes) Histogram;
  }
  SharedHistogram(const SharedHistogram&) = delete;
  SharedHistogram& operator=(const SharedHistogram&) = delete;
  ~SharedHistogram() { ::munmap(histogram, sizeof(Histogram)); }
  Histogram* histogram;
};

// A second client's GETs for as long as `work` takes, from `work`'s first moments on.
template <typename Work>
HistogramSummary GetsBeside(const RedisServer& redis, Seconds duration, Work work) {
  constexpr double kRate = 1'000;
  const SharedHistogram latency;
  Companion reader([&] {
    std::vector<std::string> keys(kLiveSymbols);
    for (uint32_t i = 0; i < kLiveSymbols; ++i) keys[i] = absl::StrCat("price:", LiveSymbolName(i), ":latest");
    redisContext* const context = redisConnectUnix(redis.socket().c_str());
    MeasureGets(context, keys, SystemClock::ReadMonotonic(), duration.count(), kRate, latency.histogram);
  });
  work();
  reader.Wait();
  return Summarize(*latency.histogram);
}

void RunShares(const Options& options, const RedisServer& redis) {
  constexpr double kShares[] = {0, 1.0, 0.9, 0.75, 0.5, 0.25, 0.1};  // 0: no sink
  std::vector<Point> points(std::size(kShares));
  const Seconds duration(options.seconds);
  for (int round = 0; round < options.rounds; ++round) {
    for (size_t i = 0; i < points.size(); ++i) {
      Stage stage({"fast"}, redis);
      HistogramSummary gets;
      if (kShares[i] == 0) {
        gets = GetsBeside(redis, duration, [&] { std::this_thread::sleep_for(duration); });
        points[i].per_s.push_back(0);
      } else {
        LiveSink sink(stage.Line(), {.share = kShares[i]});
        sink.Run(duration / 4);
        gets = GetsBeside(redis, duration,
                          [&] { points[i].per_s.push_back(stage.counts().Measure([&] { sink.Run(duration); })); });
      }
      points[i].p50_us.push_back(static_cast<double>(gets.p50) / 1e3);
      points[i].p99_us.push_back(static_cast<double>(gets.p99) / 1e3);
    }
  }
  const double full = Median(points[1].per_s);
  const double idle_p50 = Median(points[0].p50_us);
  const double idle_p99 = Median(points[0].p99_us);
  if (!options.json) {
    std::printf("%-8s %10s %12s %12s %8s %12s %8s\n", "share", "writes/s", "of share 1", "GET p50 µs", "x idle",
                "GET p99 µs", "x idle");
  }
  for (size_t i = 0; i < points.size(); ++i) {
    const double per_s = Median(points[i].per_s);
    const double p50 = Median(points[i].p50_us);
    const double p99 = Median(points[i].p99_us);
    if (options.json) {
      std::printf("{\"share\":%.2f,\"writes_per_s\":%.0f,\"get_p50_us\":%.1f,\"get_p99_us\":%.1f}\n", kShares[i], per_s,
                  p50, p99);
      continue;
    }
    const std::string label = i == 0 ? "no sink" : absl::StrCat(kShares[i]);
    std::printf("%-8s %10.0f %12.2f %12.1f %8.2f %12.1f %8.2f\n", label.c_str(), per_s, per_s / full, p50,
                p50 / idle_p50, p99, p99 / idle_p99);
  }
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--smoke") {
      options.smoke = true;
    } else if (option == "--json") {
      options.json = true;
    } else if (option == "--share") {
      options.share = true;
    } else if (option == "--server" && i + 1 < argc) {
      options.server = argv[++i];
    } else if (option == "--seconds" && i + 1 < argc) {
      options.seconds = std::atof(argv[++i]);
    } else if (option == "--rounds" && i + 1 < argc) {
      options.rounds = std::atoi(argv[++i]);
    } else {
      std::fprintf(stderr, "window_curves: what is %s? See the head of bench/window_curves.cc.\n", argv[i]);
      return 2;
    }
  }
  if (options.smoke) {
    options.seconds = 0.02;
    options.rounds = 1;
  }
#ifndef NDEBUG
  if (!options.smoke) {
    std::fprintf(stderr, "This is a build with assertions; use the release preset.\n");
    return 2;
  }
#endif
  const RedisServer redis;
  const bool two_cpus = ::sysconf(_SC_NPROCESSORS_ONLN) >= 2;
  if (two_cpus) {
    PinTo(kServerCpu, redis.pid());
    PinTo(kSinkCpu, 0);
  }
  if (!options.json) {
    std::printf("Redis on a Unix socket, %u symbols always dirty, %d rounds, medians, %s\n\n", kLiveSymbols,
                options.rounds, two_cpus ? "Redis on CPU 0, sink on CPU 1" : "not pinned");
  }
  if (options.share || options.smoke) RunShares(options, redis);
  if (!options.share) RunCurves(options, redis);
  return 0;
}

}  // namespace
}  // namespace tickbridge

int main(int argc, char** argv) { return tickbridge::Main(argc, argv); }
