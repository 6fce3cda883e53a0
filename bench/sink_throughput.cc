// SPDX-License-Identifier: Apache-2.0
// The sink alone against one server on a Unix socket, with 1,000 symbols that are always dirty, beside
// - a bare probe: a loop that writes pre-encoded SETEX commands and reads the answers, with as many in flight;
// - where the server has MSETEX, which the sink uses then, the same with MSETEX of 100 keys;
// - redis-benchmark -c 1 -P 1024, SETEX of a value as long.
// In turn in one run, several rounds; keys set as the server counted them; each as a ratio to the first probe; and the
// writer's CPU time. A sink spins, or, with idle = backoff, sleeps while the server works.
// With --tls the same through TLS on loopback TCP, without redis-benchmark.
//
// With --window the sink keeps so many in flight; without, it finds its own window.
//
// usage: sink_throughput [--server PATH] [--tls] [--window N] [--seconds 2] [--rounds 3] [--smoke]
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/bare_probe.h"
#include "bench/live_sink.h"
#include "sink/dial.h"
#include "tests/redis_server.h"

namespace tickbridge {
namespace {

constexpr uint32_t kWindow = 1'024;
constexpr size_t kBatchKeys = 100;

void BareProbe(const RedisTarget& target, const TlsContext* tls, const ProbeCommands& commands, Seconds duration) {
  const Line line = *Dial(target, tls, kNsPerSec, -1);
  const auto end = std::chrono::steady_clock::now() + duration;
  const ProbeResult result =
      RunProbe(line.transport.get(), commands, kWindow, [&] { return std::chrono::steady_clock::now() >= end; });
  if (!result.refused.empty()) std::fprintf(stderr, "%s", result.refused.c_str());
}

void RedisBenchmark(const std::string& socket, Seconds duration, double per_s) {
  const auto count = static_cast<uint64_t>(std::max(10'000.0, per_s * duration.count()));
  const std::string command =
      absl::StrCat("redis-benchmark -s ", socket, " -c 1 -P 1024 -q -n ", count, " SETEX price:S1000:latest 5 ",
                   std::string(kProbeValueBytes, 'x'), " >/dev/null 2>&1");
  if (std::system(command.c_str()) != 0) std::fprintf(stderr, "redis-benchmark failed\n");
}

// Of this process and of those that it waited for.
double CpuSeconds() {
  double seconds = 0;
  for (const int whose : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    ::getrusage(whose, &usage);
    for (const timeval& time : {usage.ru_utime, usage.ru_stime}) {
      seconds += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    }
  }
  return seconds;
}

// One writer, and what each round of it came to.
struct Row {
  template <typename Work>
  void Measure(const ServerCounts& server, Work work) {
    const uint64_t before = server.Sets();
    const double cpu_s = CpuSeconds();
    per_s.push_back(server.Measure(work));
    cpu_s_per_million.push_back((CpuSeconds() - cpu_s) * 1e6 / static_cast<double>(server.Sets() - before));
  }
  double Rate() const { return Median(per_s); }
  void Print(double limit) const {
    std::printf("%-34s %12.0f %8.3f %18.3f\n", name, Rate(), Rate() / limit, Median(cpu_s_per_million));
  }

  const char* name;
  std::vector<double> per_s = {};
  std::vector<double> cpu_s_per_million = {};
};

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

}  // namespace
}  // namespace tickbridge

int main(int argc, char** argv) {
  using namespace tickbridge;
  double seconds = 2;
  int rounds = 3;
  bool smoke = false;
  bool tls = false;
  uint32_t window = 0;
  std::string program = "redis-server";
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--smoke") smoke = true;
    if (option == "--tls") tls = true;
    if (option == "--server" && i + 1 < argc) program = argv[++i];
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
    redis = std::make_unique<RedisServer>(TlsArguments(cert, target.port), program);
    context = *TlsContext::Create(target.tls_options);
  } else {
    redis = std::make_unique<RedisServer>(std::vector<std::string>{}, program);
    target.kind = RedisTarget::Kind::kUnix;
    target.unix_path = redis->socket();
  }
  ::prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);  // as a runner does
  const bool two_cpus = ::sysconf(_SC_NPROCESSORS_ONLN) >= 2;
  if (two_cpus) {
    PinTo(0, redis->pid());
    PinTo(1, 0);
  }
  const ServerCounts server(redis->socket());
  const Seconds duration(seconds);
  std::vector<std::string> keys(kLiveSymbols);
  for (uint32_t i = 0; i < kLiveSymbols; ++i) keys[i] = absl::StrCat("price:", LiveSymbolName(i), ":latest");
  const ProbeCommands setex = ProbeSetex(keys);
  const ProbeCommands msetex = ProbeMsetex(keys, kBatchKeys);
  LiveSink spinning(LiveConnector(target), {.share = 1.0, .fixed_window = window});
  // Refused for its arguments where it is known.
  const bool batches = redis->Call({"MSETEX"}).find("unknown") == std::string::npos;
  Row probe{"bare probe, 1024 in flight"};
  Row batch_probe{"bare MSETEX probe, by 100"};
  Row sink{"tickbridge sink, share = 1.0"};
  Row sleeping{"the same, idle = backoff"};
  Row half{"share = 0.5, idle = backoff"};
  Row benchmark{"redis-benchmark -c 1 -P 1024"};
  for (int round = 0; round < rounds; ++round) {
    probe.Measure(server, [&] { BareProbe(target, context.get(), setex, duration); });
    if (batches) batch_probe.Measure(server, [&] { BareProbe(target, context.get(), msetex, duration); });
    sink.Measure(server, [&] { spinning.Run(duration); });
    if (!tls) benchmark.Measure(server, [&] { RedisBenchmark(redis->socket(), duration, probe.per_s.back() / 2); });
  }
  // Each sink ends the connections of the one before: they have the same name.
  const auto measure = [&](Row* row, double share) {
    LiveSink one(LiveConnector(target),
                 {.share = share, .fixed_window = share < 1 ? 0 : window, .idle = IdleMode::kBackoff});
    for (int round = 0; round < rounds; ++round) row->Measure(server, [&] { one.Run(duration); });
  };
  measure(&sleeping, 1.0);
  measure(&half, 0.5);
  if (tls) {
    std::remove((target.tls_options.ca).c_str());
    std::remove((target.tls_options.ca + ".key").c_str());
  }
  std::printf("Redis %s, %u symbols, value of %zu bytes, %d rounds of %.2f s, medians, %s\n",
              tls ? "through TLS on loopback" : "on a Unix socket", kLiveSymbols, kProbeValueBytes, rounds, seconds,
              two_cpus ? "Redis on CPU 0, writer on CPU 1" : "not pinned");
  std::printf("%-34s %12s %8s %18s\n", "writer", "keys/s", "ratio", "its CPU s/million");
  for (const Row* row : {&probe, &batch_probe, &sink, &sleeping, &half, &benchmark}) {
    if (!row->per_s.empty()) row->Print(probe.Rate());
  }
  if (batches) std::printf("tickbridge (share = 1.0) is %.2f x the MSETEX probe\n", sink.Rate() / batch_probe.Rate());
  if (!tls) std::printf("tickbridge (share = 1.0) is %.2f x redis-benchmark\n", sink.Rate() / benchmark.Rate());
  return sink.Rate() > 0 ? 0 : 1;
}
