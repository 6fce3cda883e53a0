// SPDX-License-Identifier: Apache-2.0
// The sink alone against one Redis on a Unix socket, with 1,000 symbols that are always dirty, beside
// - a bare probe: a loop that writes pre-encoded SETEX commands and reads the answers, with as many in flight;
// - redis-benchmark -c 1 -P 1024, SETEX of a value as long.
// In turn in one run, several rounds; throughput as the server counted it; each as a ratio to the probe.
// With --tls the same through TLS on loopback TCP, without redis-benchmark.
//
// With --window the sink keeps so many in flight; without, it finds its own window.
//
// usage: sink_throughput [--tls] [--window N] [--seconds 2] [--rounds 3] [--smoke]
#include <hiredis/hiredis.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/clock.h"
#include "sink/dial.h"
#include "sink/lane.h"
#include "sink/redis_connector.h"
#include "sink/resp.h"
#include "tests/redis_server.h"

namespace tickbridge {
namespace {

constexpr uint32_t kSymbols = 1'000;
constexpr uint32_t kWindow = 1'024;
// 115 bytes with the default members: as long as the example of the design.
constexpr size_t kValueBytes = 115;

using Seconds = std::chrono::duration<double>;

struct Server {
  explicit Server(const std::string& socket) : context(redisConnectUnix(socket.c_str())) {}
  ~Server() { redisFree(context); }
  std::string Info(const char* section) const {
    auto* reply = static_cast<redisReply*>(redisCommand(context, "INFO %s", section));
    std::string text(reply->str, reply->len);
    freeReplyObject(reply);
    return text;
  }
  // Sets carried out so far: SETEX, and PSETEX for values that were late.
  uint64_t Sets() const {
    const std::string stats = Info("commandstats");
    uint64_t calls = 0;
    for (const char* name : {"cmdstat_setex:calls=", "cmdstat_psetex:calls="}) {
      const size_t at = stats.find(name);
      if (at != std::string::npos) calls += std::strtoull(stats.c_str() + at + std::strlen(name), nullptr, 10);
    }
    return calls;
  }
  redisContext* context;
};

// Runs `work` and says how many sets a second the server carried out meanwhile.
template <typename Work>
double Measure(const Server& server, Work work) {
  const uint64_t before = server.Sets();
  const auto begin = std::chrono::steady_clock::now();
  work();
  const Seconds took = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(server.Sets() - before) / took.count();
}

Tick SampleTick(int64_t i) {
  Tick tick;
  tick.Set(Field::kLast, {2'100'025 + i % 9, -2});
  tick.Set(Field::kBid, {2'100'012, -2});
  tick.Set(Field::kAsk, {2'100'051, -2});
  tick.Set(Field::kVolume, {12'345 + i % 9, 0});
  tick.Set(Field::kHigh, {2'110'025, -2});
  tick.Set(Field::kLow, {2'095'025, -2});
  tick.quote_time = tick.trade_time = VenueNsFromMs(1'700'000'000'000 + i);
  return tick;
}

std::string SymbolName(uint32_t i) { return absl::StrCat("S", 1000 + i); }

class Sink {
 public:
  Sink(const RedisTarget& target, double share, uint32_t fixed_window = 0) : classes_(DefaultKeyClasses()) {
    counters_ = *CountersFile::Create("");
    core_ = {clock_.get(), &symbols_, &table_, &dirty_, &documents_, &sources_, &classes_};
    RedisConnector::Options connect;
    connect.target = target;
    connect.client_name = "tickbridge:bench:0";
    Lane::Options options;
    options.share = share;
    options.max_in_flight = fixed_window != 0 ? fixed_window : limits::kInFlightDefault;
    options.fixed_window = fixed_window != 0;
    lane_ = std::make_unique<Lane>(core_, options, *RedisConnector::Create(connect), counters_.get());
    for (uint32_t i = 0; i < kSymbols; ++i) symbols_.Insert(SymbolName(i));
    while (lane_->state() != Lane::State::kUp) lane_->DoWork();
  }

  // The sink with symbols that are always dirty: whatever it takes is marked again before its next duty cycle, by the
  // same exchange that a feed would make.
  void Run(Seconds duration) {
    const auto end = std::chrono::steady_clock::now() + duration;
    int64_t i = 0;
    TickContext context;
    uint64_t cycles = 0;
    for (uint32_t s = 0; s < kSymbols; ++s) Touch(s, ++i, &context);
    uint64_t seen = lane_->counts().writes->Get();
    uint32_t next = 0;
    while (++cycles % 64 != 0 || std::chrono::steady_clock::now() < end) {
      lane_->DoWork();
      const uint64_t writes = lane_->counts().writes->Get();
      context.received = clock_->Now();
      for (; seen < writes; ++seen) {
        Touch(next, ++i, &context);
        next = next + 1 == kSymbols ? 0 : next + 1;
      }
    }
  }

 private:
  void Touch(uint32_t symbol, int64_t i, TickContext* context) {
    if (context->received.value == 0) context->received = clock_->Now();
    table_.Merge(SymbolId{symbol}, SampleTick(i), *context);
    dirty_.Mark(0, SymbolId{symbol}, context->received);
  }

  std::unique_ptr<Clock> clock_ = MakeClock();
  std::vector<KeyClass> classes_;
  std::unique_ptr<CountersFile> counters_;
  SymbolTable symbols_{kSymbols};
  LatestTable table_{{kSymbols, 0}};
  DirtyQueue dirty_{&table_, 1, 1};
  SourceTable sources_;
  DocumentTable documents_{16, 1, &sources_};
  Core core_;
  std::unique_ptr<Lane> lane_;
};

// The least that a writer can do: bytes that were encoded before, one write and one read at a time.
void BareProbe(const RedisTarget& target, const TlsContext* tls, Seconds duration) {
  const Line line = *Dial(target, tls, kNsPerSec, -1);
  std::string commands;
  std::vector<size_t> ends;
  const std::string value(kValueBytes, 'x');
  for (uint32_t i = 0; i < kSymbols; ++i) {
    resp::AppendCommand(&commands, {"SETEX", absl::StrCat("price:", SymbolName(i), ":latest"), "5", value});
    ends.push_back(commands.size());
  }
  const auto end = std::chrono::steady_clock::now() + duration;
  size_t next = 0;  // command that is next to be begun
  size_t sent = 0;  // bytes of the round that are out
  size_t in_flight = 0;
  size_t answered_bytes = 0;
  uint64_t cycles = 0;
  std::array<char, 65'536> replies;
  constexpr size_t kBatch = 256;
  while (++cycles % 64 != 0 || std::chrono::steady_clock::now() < end) {
    size_t moved = 0;
    if (in_flight < kWindow) {
      const size_t until = std::min({next + kBatch, next + kWindow - in_flight, ends.size()});
      const std::string_view bytes = std::string_view(commands).substr(sent, ends[until - 1] - sent);
      if (!bytes.empty() && line.transport->Write(bytes, &moved) == Transport::Result::kOk) {
        sent += moved;
        const size_t begun = next;
        while (next < ends.size() && ends[next] <= sent) ++next;
        in_flight += next - begun;
        if (next == ends.size()) next = sent = 0;
      }
    }
    if (line.transport->Read(replies, &moved) == Transport::Result::kOk) {
      answered_bytes += moved;
      const size_t answers = answered_bytes / 5;  // "+OK\r\n"
      answered_bytes %= 5;
      in_flight -= std::min(answers, in_flight);
    }
  }
}

void RedisBenchmark(const std::string& socket, Seconds duration, double per_s) {
  const auto count = static_cast<uint64_t>(std::max(10'000.0, per_s * duration.count()));
  const std::string command =
      absl::StrCat("redis-benchmark -s ", socket, " -c 1 -P 1024 -q -n ", count, " SETEX price:S1000:latest 5 ",
                   std::string(kValueBytes, 'x'), " >/dev/null 2>&1");
  if (std::system(command.c_str()) != 0) std::fprintf(stderr, "redis-benchmark failed\n");
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// A server on loopback with a certificate of its own making, at `cert`.
RedisTarget TlsTarget(const std::string& cert) {
  const std::string command = absl::StrCat(
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost "
      "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout ",
      cert, ".key -out ", cert, " 2>/dev/null");
  if (std::system(command.c_str()) != 0) std::fprintf(stderr, "openssl failed\n");
  RedisTarget target;
  target.port = static_cast<uint16_t>(20'000 + ::getpid() % 10'000);
  target.tls = true;
  target.tls_options.ca = cert;
  return target;
}

std::vector<std::string> TlsArguments(const std::string& cert, uint16_t port) {
  return {"--tls-port",
          absl::StrCat(port),
          "--tls-cert-file",
          cert,
          "--tls-key-file",
          cert + ".key",
          "--tls-ca-cert-file",
          cert,
          "--tls-auth-clients",
          "no",
          "--bind",
          "127.0.0.1"};
}

void PinTo(int cpu, pid_t pid) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  ::sched_setaffinity(pid, sizeof(set), &set);
}

}  // namespace
}  // namespace tickbridge

int main(int argc, char** argv) {
  using namespace tickbridge;
  double seconds = 2;
  int rounds = 3;
  bool smoke = false;
  bool tls = false;
  uint32_t window = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--smoke") smoke = true;
    if (option == "--tls") tls = true;
    if (option == "--window" && i + 1 < argc) window = static_cast<uint32_t>(std::atoi(argv[++i]));
    if (option == "--seconds" && i + 1 < argc) seconds = std::atof(argv[++i]);
    if (option == "--rounds" && i + 1 < argc) rounds = std::atoi(argv[++i]);
  }
  if (smoke) {
    seconds = 0.05;
    rounds = 1;
  }
#ifndef NDEBUG
  if (!smoke) {
    std::fprintf(stderr, "This is a build with assertions; use the release preset.\n");
    return 2;
  }
#endif
  const char* const folder = std::getenv("TMPDIR") != nullptr ? std::getenv("TMPDIR") : "/tmp";
  std::unique_ptr<RedisServer> redis;
  RedisTarget target;
  std::shared_ptr<TlsContext> context;
  if (tls) {
    const std::string cert = absl::StrCat(folder, "/sink_throughput.", ::getpid());
    target = TlsTarget(cert);
    redis = std::make_unique<RedisServer>(TlsArguments(cert, target.port));
    context = *TlsContext::Create(target.tls_options);
  } else {
    redis = std::make_unique<RedisServer>();
    target.kind = RedisTarget::Kind::kUnix;
    target.unix_path = redis->socket();
  }
  const bool two_cpus = ::sysconf(_SC_NPROCESSORS_ONLN) >= 2;
  if (two_cpus) {
    PinTo(0, redis->pid());
    PinTo(1, 0);
  }
  const Server server(redis->socket());
  const Seconds duration(seconds);
  std::vector<double> probe;
  std::vector<double> sink;
  std::vector<double> half;
  std::vector<double> benchmark;
  Sink full(target, 1.0, window);
  for (int round = 0; round < rounds; ++round) {
    probe.push_back(Measure(server, [&] { BareProbe(target, context.get(), duration); }));
    sink.push_back(Measure(server, [&] { full.Run(duration); }));
    if (!tls)
      benchmark.push_back(Measure(server, [&] { RedisBenchmark(redis->socket(), duration, probe.back() / 2); }));
  }
  Sink shared(target, 0.5);
  for (int round = 0; round < rounds; ++round) half.push_back(Measure(server, [&] { shared.Run(duration); }));
  if (tls) {
    std::remove((target.tls_options.ca).c_str());
    std::remove((target.tls_options.ca + ".key").c_str());
  }
  const double limit = Median(probe);
  std::printf("Redis %s, %u symbols, value of %zu bytes, %d rounds of %.2f s, medians, %s\n",
              tls ? "through TLS on loopback" : "on a Unix socket", kSymbols, kValueBytes, rounds, seconds,
              two_cpus ? "Redis on CPU 0, writer on CPU 1" : "not pinned");
  std::printf("%-34s %12s %8s\n", "writer", "SETEX/s", "ratio");
  const auto row = [&](const char* name, double rate) {
    std::printf("%-34s %12.0f %8.3f\n", name, rate, rate / limit);
  };
  row("bare probe, 1024 in flight", limit);
  row("tickbridge sink, share = 1.0", Median(sink));
  row("tickbridge sink, share = 0.5", Median(half));
  if (tls) return Median(sink) > 0 ? 0 : 1;
  row("redis-benchmark -c 1 -P 1024", Median(benchmark));
  std::printf("tickbridge (share = 1.0) is %.2f x redis-benchmark\n", Median(sink) / Median(benchmark));
  return Median(sink) > 0 ? 0 : 1;
}
