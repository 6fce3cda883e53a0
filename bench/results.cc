// SPDX-License-Identifier: Apache-2.0
#include "bench/results.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tickbridge {
namespace {

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

std::string HistogramJson(const Histogram* histogram) {
  if (histogram == nullptr) return "null";
  const HistogramSummary h = Summarize(*histogram);
  return absl::StrFormat("{\"count\":%d,\"p50\":%d,\"p90\":%d,\"p99\":%d,\"p999\":%d,\"p9999\":%d,\"max\":%d}", h.count,
                         h.p50, h.p90, h.p99, h.p999, ValueAtPercentile(*histogram, 99.99), h.max);
}

std::string RunJson(const BenchRun& run) {
  return absl::StrCat(
      "{\"offered_rate\":", run.offered_rate, ",\"achieved_rate\":", absl::StrFormat("%.1f", run.achieved_rate),
      ",\"symbols\":", run.symbols, ",\"measured_s\":", run.measured_s, ",\"sent\":", run.sent,
      ",\"ticks\":", run.ticks, ",\"unmeasured\":", run.unmeasured, ",\"unacknowledged\":", run.unacknowledged,
      ",\"coarse\":", run.coarse, ",\"rejected\":", run.rejected, ",\"writes\":", run.writes,
      ",\"conflated\":", run.conflated, ",\"expired\":", run.expired, ",\"failed\":", run.failed,
      ",\"resent\":", run.resent, ",\"conflation\":", absl::StrFormat("%.6f", run.conflation()),
      ",\"in_flight_mean\":", absl::StrFormat("%.2f", run.in_flight_mean), ",\"in_flight_max\":", run.in_flight_max,
      ",\"cpu_s\":", absl::StrFormat("%.6f", run.cpu_s), ",\"server_s\":", absl::StrFormat("%.6f", run.server_s),
      ",\"server_writes\":", run.server_writes, ",\"server_cpu_s\":", absl::StrFormat("%.6f", run.server_cpu_s),
      ",\"ack_ns\":", HistogramJson(run.ack.get()), ",\"staleness_ns\":", HistogramJson(run.staleness.get()),
      ",\"visible_redis_ns\":", HistogramJson(run.visible_redis.get()),
      ",\"visible_table_ns\":", HistogramJson(run.visible_table.get()), ",\"unseen\":", run.unseen,
      ",\"watcher_overrun\":", run.watcher_overrun ? "true" : "false", ",\"lag_ns\":", HistogramJson(run.lag.get()),
      "}");
}

std::string Micros(int64_t ns) { return absl::StrFormat("%.1f", static_cast<double>(ns) / 1000); }

void AppendRow(std::string* text, std::string_view name, const Histogram* histogram) {
  if (histogram == nullptr) return;
  const HistogramSummary h = Summarize(*histogram);
  if (h.count == 0) return;
  absl::StrAppendFormat(text, "  %-22s %10s %10s %10s %10s %10s %12d\n", name, Micros(h.p50), Micros(h.p90),
                        Micros(h.p99), Micros(h.p999), Micros(h.max), h.count);
}

std::string Ratio(int64_t value, int64_t base) {
  return base > 0 ? absl::StrFormat("%.2f", static_cast<double>(value) / static_cast<double>(base)) : "?";
}

void Merge(const HistogramPtr& from, HistogramPtr* to) {
  if (from == nullptr) return;
  if (*to == nullptr) *to = std::make_unique<Histogram>();
  for (size_t bucket = 0; bucket < Histogram::kBuckets; ++bucket) {
    (*to)->RecordN(std::min(Histogram::HighestOf(bucket), from->max()), from->CountAt(bucket));
  }
}

}  // namespace

void BenchRun::Add(const BenchRun& other) {
  const double rounds = static_cast<double>(++rounds_added);
  const auto mean = [rounds](double* value, double another) { *value += (another - *value) / (rounds + 1); };
  mean(&achieved_rate, other.achieved_rate);
  mean(&in_flight_mean, other.in_flight_mean);
  in_flight_max = std::max(in_flight_max, other.in_flight_max);
  measured_s += other.measured_s;
  ticks += other.ticks;
  unmeasured += other.unmeasured;
  unacknowledged += other.unacknowledged;
  sent += other.sent;
  coarse += other.coarse;
  rejected += other.rejected;
  writes += other.writes;
  conflated += other.conflated;
  expired += other.expired;
  failed += other.failed;
  resent += other.resent;
  cpu_s += other.cpu_s;
  server_s += other.server_s;
  server_writes += other.server_writes;
  server_cpu_s += other.server_cpu_s;
  unseen += other.unseen;
  watcher_overrun = watcher_overrun || other.watcher_overrun;
  Merge(other.ack, &ack);
  Merge(other.staleness, &staleness);
  Merge(other.visible_redis, &visible_redis);
  Merge(other.visible_table, &visible_table);
  Merge(other.lag, &lag);
}

std::string BenchJson(const BenchReport& report) {
  std::string runs;
  for (const BenchRun& run : report.runs) absl::StrAppend(&runs, runs.empty() ? "" : ",", RunJson(run));
  std::string ratio = "null";
  if (report.baseline != nullptr && !report.runs.empty()) {
    const HistogramSummary bare = Summarize(*report.baseline);
    const HistogramSummary ack = Summarize(*report.runs.front().ack);
    ratio = absl::StrCat("{\"p50\":", Ratio(ack.p50, bare.p50), ",\"p99\":", Ratio(ack.p99, bare.p99), "}");
  }
  return absl::StrCat("{\"version\":", Quoted(report.version), ",\"machine\":", Quoted(report.machine),
                      ",\"redis\":", Quoted(report.redis), ",\"feed\":", Quoted(report.feed),
                      ",\"command\":", Quoted(report.command),
                      ",\"baseline_ns\":", HistogramJson(report.baseline.get()), ",\"ack_to_baseline\":", ratio,
                      ",\"runs\":[", runs, "]}");
}

std::string BenchText(const BenchReport& report) {
  std::string text =
      absl::StrCat(report.version, "\n", report.machine, "; Redis ", report.redis, "; ticks ", report.feed, "\n");
  constexpr const char* kHead = "  %-22s %10s %10s %10s %10s %10s %12s\n";
  for (const BenchRun& run : report.runs) {
    absl::StrAppendFormat(&text, "\n%s: %.0f ticks/s sent, %.0f writes/s, %.1f %% conflated, window %.1f (max %d)\n",
                          run.label, run.achieved_rate, run.writes_per_s(), 100 * run.conflation(), run.in_flight_mean,
                          run.in_flight_max);
    absl::StrAppendFormat(&text, kHead, "us from the due time", "p50", "p90", "p99", "p99.9", "max", "count");
    AppendRow(&text, "tick to ack", run.ack.get());
    AppendRow(&text, "staleness of a write", run.staleness.get());
    AppendRow(&text, "tick to seen in Redis", run.visible_redis.get());
    AppendRow(&text, "tick to seen in table", run.visible_table.get());
    AppendRow(&text, "generator's lag", run.lag.get());
    absl::StrAppendFormat(&text, "  CPU: bridge %.2f s, Redis %.2f s in %.2f s\n", run.cpu_s, run.server_cpu_s,
                          run.server_s);
    if (run.unacknowledged + run.rejected + run.expired + run.failed + run.coarse + run.unseen != 0) {
      absl::StrAppendFormat(&text, "  %d not acknowledged, %d rejected, %d expired, %d failed, %d coarse, %d unseen\n",
                            run.unacknowledged, run.rejected, run.expired, run.failed, run.coarse, run.unseen);
    }
    if (run.watcher_overrun) absl::StrAppend(&text, "  the watcher could not keep up: what was seen is not complete\n");
  }
  if (report.baseline != nullptr && !report.runs.empty()) {
    const HistogramSummary bare = Summarize(*report.baseline);
    const HistogramSummary ack = Summarize(*report.runs.front().ack);
    absl::StrAppend(&text, "\n");
    AppendRow(&text, "bare spinning SETEX", report.baseline.get());
    absl::StrAppend(&text, "  tick to ack is ", Ratio(ack.p50, bare.p50), " × that at p50, ", Ratio(ack.p99, bare.p99),
                    " × at p99\n");
  }
  return text;
}

}  // namespace tickbridge
