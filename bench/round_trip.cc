// SPDX-License-Identifier: Apache-2.0
#include "bench/round_trip.h"

#include <pthread.h>
#include <sched.h>

#include <array>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/schedule.h"
#include "bench/session.h"
#include "core/clock.h"
#include "sink/resp.h"

namespace tickbridge {
namespace {

constexpr int64_t kAnswerWithinNs = 10 * kNsPerSec;

absl::Status RoundTrip(Transport* transport, std::string_view command, const Clock& clock, MonoNs begin) {
  std::array<char, 512> answer;
  size_t answered = 0;
  while (answered < 2 || answer[answered - 1] != '\n') {
    size_t bytes = 0;
    if (!command.empty() && transport->Write(command, &bytes) == Transport::Result::kOk) command.remove_prefix(bytes);
    const Transport::Result read = transport->Read(std::span(answer).subspan(answered), &bytes);
    if (read == Transport::Result::kOk) answered += bytes;
    if (read == Transport::Result::kClosed || clock.Now() - begin > kAnswerWithinNs) {
      return absl::UnavailableError("Redis stopped answering the bare round trips");
    }
  }
  if (answer[0] == '+') return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("Redis refused a bare SETEX: ", std::string_view(answer.data(), answered)));
}

absl::Status Run(const RedisTarget& target, const RoundTripOptions& options, Histogram* latency) {
  absl::StatusOr<std::unique_ptr<Transport>> transport = OpenTransport(target, "baseline");
  if (!transport.ok()) return transport.status();
  std::vector<std::string> commands(options.symbols);
  const std::string value(options.value_bytes, 'x');
  for (uint32_t i = 0; i < options.symbols; ++i) {
    resp::AppendCommand(&commands[i], {"SETEX", absl::StrCat("price:", BenchSymbolName(i), ":latest"), "5", value});
  }
  const std::unique_ptr<Clock> clock = MakeClock();
  const MonoNs start = clock->Now();
  const double interval_ns = 1e9 / options.rate;
  for (uint64_t i = 0;; ++i) {
    const auto due_ns = static_cast<int64_t>(static_cast<double>(i) * interval_ns);
    if (due_ns >= options.warmup_ns + options.for_ns) return absl::OkStatus();
    const MonoNs due = start + due_ns;
    MonoNs now;
    while ((now = clock->Now()) < due) {
    }
    absl::Status status = RoundTrip(transport->get(), commands[i % commands.size()], *clock, now);
    if (!status.ok()) return status;
    if (due_ns >= options.warmup_ns) latency->Record(clock->Now() - due);
  }
}

}  // namespace

absl::Status MeasureRoundTrips(const RedisTarget& target, const RoundTripOptions& options, Histogram* latency) {
  absl::Status status;
  // A thread of its own, so that the caller stays where it is.
  std::thread([&] {
    if (options.cpu >= 0) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(static_cast<size_t>(options.cpu), &one);
      pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
    }
    status = Run(target, options, latency);
  }).join();
  return status;
}

}  // namespace tickbridge
