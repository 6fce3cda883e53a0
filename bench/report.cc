// SPDX-License-Identifier: Apache-2.0
#include "bench/report.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/svg_chart.h"

namespace tickbridge {
namespace {

constexpr double kNsPerMicro = 1000;
// Points of a percentile curve in each factor of ten of 1/(1−p).
constexpr int kPointsPerDecade = 12;
// More lines than this in one chart are not read any more.
constexpr size_t kLinesMax = 8;

constexpr std::string_view kStyle = R"(
:root{color-scheme:light}
body{font:15px/1.45 system-ui,"DejaVu Sans",sans-serif;color:#111;background:#fff;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2.2rem 0 .4rem}
p{max-width:46rem;margin:.4rem 0}code{font-size:.85em;overflow-wrap:anywhere}
figure{margin:1rem 0;break-inside:avoid}figcaption{font-weight:600;margin-bottom:.2rem}
svg{width:100%;height:auto}svg text{font:12px system-ui,"DejaVu Sans",sans-serif}
svg .x{text-anchor:middle}svg .y{text-anchor:end}svg .title{fill:#444}
.grid{stroke:#ddd;fill:none}.axis{stroke:#111;fill:none}.line{fill:none;stroke-width:1.8}.lead{stroke-width:.6;fill:none}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.85rem;margin:.5rem 0}
th,td{padding:.22rem .45rem;text-align:right;border-bottom:1px solid #ccc;white-space:nowrap}
th{border-bottom:1px solid #111;font-weight:600;vertical-align:bottom;white-space:normal}.text,th:first-child,td:first-child{text-align:left}
@media print{@page{margin:14mm}body{margin:0;max-width:none;padding:0;font-size:10pt}table{font-size:7.5pt}.wide{overflow:visible}
th,td{padding:.12rem .35rem}svg text{fill:#000}h2{break-after:avoid}tr{break-inside:avoid}}
)";

struct Measure {
  std::string_view key;    // of files
  std::string_view title;  // for people
  const Histogram* (*of)(const BenchRun&);
};
constexpr Measure kMeasures[] = {
    {"ack", "tick to acknowledgement", [](const BenchRun& run) -> const Histogram* { return run.ack.get(); }},
    {"staleness", "staleness of a write", [](const BenchRun& run) -> const Histogram* { return run.staleness.get(); }},
    {"visible-redis", "tick to seen in Redis",
     [](const BenchRun& run) -> const Histogram* { return run.visible_redis.get(); }},
    {"visible-table", "tick to seen in the shared table",
     [](const BenchRun& run) -> const Histogram* { return run.visible_table.get(); }},
    {"lag", "lag of the generator", [](const BenchRun& run) -> const Histogram* { return run.lag.get(); }},
};

bool HasSamples(const Histogram* histogram) { return histogram != nullptr && Summarize(*histogram).count != 0; }

// Below a tenth of a microsecond nothing is told apart: reading the clock takes as long.
double Micros(int64_t ns) { return std::max(static_cast<double>(ns), 100.0) / kNsPerMicro; }

ChartLine PercentileLine(std::string label, const Histogram& histogram) {
  ChartLine line{std::move(label), {}};
  const HistogramSummary summary = Summarize(histogram);
  const auto count = static_cast<double>(summary.count);
  for (int i = 0;; ++i) {
    const double x = std::pow(10, static_cast<double>(i) / kPointsPerDecade);
    if (x >= count) break;
    line.points.emplace_back(x, Micros(ValueAtPercentile(histogram, 100 * (1 - 1 / x))));
  }
  line.points.emplace_back(std::max(count, 1.0), Micros(summary.max));
  return line;
}

Chart PercentileChart(std::string title) {
  Chart chart;
  chart.title = std::move(title);
  chart.x_title = "percentile, on a scale of 1/(1−p): each step has a tenth of the ticks of the one before";
  chart.y_title = "µs from when a tick was due";
  chart.x_marks = {{1, "0"}, {2, "50 %"}};
  double x = 10;
  for (const char* mark : {"90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %", "99.99999 %"}) {
    chart.x_marks.emplace_back(x, mark);
    x *= 10;
  }
  return chart;
}

std::string PercentileCharts(const BenchReport& report) {
  std::string html;
  for (const Measure& measure : kMeasures) {
    Chart chart = PercentileChart(absl::StrCat("Percentiles: ", measure.title));
    if (measure.key == "ack" && report.baseline != nullptr) {
      chart.lines.push_back(PercentileLine("bare SETEX", *report.baseline));
    }
    for (const BenchRun& run : report.runs) {
      const Histogram* const histogram = measure.of(run);
      if (HasSamples(histogram) && chart.lines.size() < kLinesMax) {
        chart.lines.push_back(PercentileLine(run.label, *histogram));
      }
    }
    html += SvgChart(chart);
  }
  return html;
}

using Value = std::function<double(const BenchRun&)>;

ChartLine LoadLine(std::string label, const std::vector<const BenchRun*>& runs, const Value& x, const Value& y) {
  ChartLine line{std::move(label), {}};
  for (const BenchRun* const run : runs) {
    if (y(*run) > 0) line.points.emplace_back(x(*run), y(*run));
  }
  return line;
}

// Of runs that differ in one thing alone.
std::string LoadCharts(std::vector<const BenchRun*> runs, std::string_view x_title, std::string_view fixed,
                       const Value& x) {
  if (runs.size() < 2) return "";
  std::sort(runs.begin(), runs.end(), [&](const BenchRun* a, const BenchRun* b) { return x(*a) < x(*b); });
  const auto at = [](double percentile) {
    return [percentile](const BenchRun& run) { return Micros(ValueAtPercentile(*run.ack, percentile)); };
  };
  Chart latency;
  latency.title = absl::StrCat("Latency under load: tick to acknowledgement, ", fixed);
  latency.x_title = x_title;
  latency.y_title = "µs from when a tick was due";
  latency.lines = {LoadLine("p50", runs, x, at(50)), LoadLine("p99", runs, x, at(99)),
                   LoadLine("p99.9", runs, x, at(99.9)), LoadLine("max", runs, x, at(100))};
  Chart rates;
  rates.title = absl::StrCat("What was sent and what was written, ", fixed);
  rates.x_title = x_title;
  rates.y_title = "a second";
  rates.lines = {LoadLine("ticks sent", runs, x, [](const BenchRun& run) { return run.achieved_rate; }),
                 LoadLine("writes, by the server", runs, x, [](const BenchRun& run) { return run.writes_per_s(); })};
  Chart window;
  window.title = absl::StrCat("Staleness and window, ", fixed);
  window.x_title = x_title;
  window.y_title = "µs, and commands in flight";
  window.lines = {
      LoadLine("staleness p99, µs", runs, x,
               [](const BenchRun& run) { return Micros(ValueAtPercentile(*run.staleness, 99)); }),
      LoadLine("in flight, mean", runs, x, [](const BenchRun& run) { return run.in_flight_mean; }),
      LoadLine("in flight, most", runs, x, [](const BenchRun& run) { return static_cast<double>(run.in_flight_max); })};
  return SvgChart(latency) + SvgChart(rates) + SvgChart(window);
}

std::string AllLoadCharts(const BenchReport& report) {
  std::map<uint32_t, std::vector<const BenchRun*>> by_symbols;
  std::map<double, std::vector<const BenchRun*>> by_rate;
  for (const BenchRun& run : report.runs) {
    by_symbols[run.symbols].push_back(&run);
    by_rate[run.offered_rate].push_back(&run);
  }
  std::string html;
  for (const auto& [symbols, runs] : by_symbols) {
    html += LoadCharts(runs, "ticks a second offered", absl::StrCat(symbols, " symbols"),
                       [](const BenchRun& run) { return run.offered_rate; });
  }
  for (const auto& [rate, runs] : by_rate) {
    html += LoadCharts(runs, "symbols", absl::StrCat(AxisNumber(rate), " ticks/s"),
                       [](const BenchRun& run) { return static_cast<double>(run.symbols); });
  }
  return html;
}

std::string LatencyRow(std::string_view run, std::string_view what, const Histogram& histogram) {
  const HistogramSummary h = Summarize(histogram);
  const auto us = [](int64_t ns) { return absl::StrFormat("%.1f", static_cast<double>(ns) / kNsPerMicro); };
  return absl::StrCat("<tr><td>", HtmlText(run), "<td class=\"text\">", HtmlText(what), "<td>", us(h.p50), "<td>",
                      us(h.p90), "<td>", us(h.p99), "<td>", us(h.p999), "<td>", us(ValueAtPercentile(histogram, 99.99)),
                      "<td>", us(h.max), "<td>", h.count, "</tr>\n");
}

std::string LatencyTable(const BenchReport& report) {
  std::string html =
      "<h2>Latencies, µs from when a tick was due</h2><div class=\"wide\"><table><tr><th>run<th "
      "class=\"text\">what<th>p50<th>p90"
      "<th>p99<th>p99.9<th>p99.99<th>max<th>count</tr>\n";
  if (report.baseline != nullptr) html += LatencyRow("beside the first", "bare spinning SETEX", *report.baseline);
  for (const BenchRun& run : report.runs) {
    std::string_view label = run.label;
    for (const Measure& measure : kMeasures) {
      if (!HasSamples(measure.of(run))) continue;
      html += LatencyRow(label, measure.title, *measure.of(run));
      label = "";  // once for all of a run
    }
  }
  return html + "</table></div>\n";
}

// What should not have been, in words.
std::string Trouble(const BenchRun& run) {
  std::string text;
  const auto add = [&text](uint64_t count, std::string_view what) {
    if (count != 0) absl::StrAppend(&text, text.empty() ? "" : ", ", count, " ", what);
  };
  add(run.unacknowledged, "not acknowledged");
  add(run.rejected, "rejected");
  add(run.expired, "expired");
  add(run.failed, "failed");
  add(run.coarse, "told too long");
  add(run.unseen, "not seen");
  if (run.watcher_overrun) add(1, "reader that could not keep up");
  return text.empty() ? "none" : text;
}

std::string LoadTable(const BenchReport& report) {
  std::string html =
      "<h2>Load</h2><div class=\"wide\"><table><tr><th>run<th>ticks/s sent<th>writes/s<th>conflated"
      "<th>in flight, mean<th>in flight, most<th>bridge, CPU s/s<th>Redis, CPU s/s<th class=\"text\">trouble</tr>\n";
  for (const BenchRun& run : report.runs) {
    const double seconds = run.server_s > 0 ? run.server_s : 1;
    absl::StrAppendFormat(
        &html, "<tr><td>%s<td>%.0f<td>%.0f<td>%.2f %%<td>%.1f<td>%d<td>%.2f<td>%.2f<td class=\"text\">%s</tr>\n",
        HtmlText(run.label), run.achieved_rate, run.writes_per_s(), 100 * run.conflation(), run.in_flight_mean,
        run.in_flight_max, run.cpu_s / seconds, run.server_cpu_s / seconds, Trouble(run));
  }
  return html +
         "</table></div>\n<p>Writes as the server counted them. The bridge's CPU time has the generator's in it, and a "
         "runner that spins takes a whole CPU whatever it does.</p>\n";
}

absl::Status WriteFile(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  return file ? absl::OkStatus() : absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path.string()));
}

}  // namespace

std::string ReportHtml(const BenchReport& report) {
  return absl::StrCat(
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>tickbridge: latency</title><style>",
      kStyle, "</style>\n<h1>tickbridge: latency of every tick</h1>\n<p>", HtmlText(report.version), ". ",
      HtmlText(report.machine), ". Redis ", HtmlText(report.redis), ". Ticks ", HtmlText(report.feed),
      ".</p>\n<p><code>", HtmlText(report.command),
      "</code></p>\n<p>Open loop: ticks are sent when they are due, whatever the server does, and each latency counts "
      "from when the tick was due. A tick that a newer one superseded before it was written counts until the "
      "acknowledgement of the first write that covers it.</p>\n",
      AllLoadCharts(report), PercentileCharts(report), LatencyTable(report), LoadTable(report), "</html>\n");
}

absl::Status WriteReport(const BenchReport& report, const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return absl::UnavailableError(absl::StrCat("cannot make ", folder, ": ", error.message()));
  const std::filesystem::path base(folder);
  if (absl::Status status = WriteFile(base / "report.html", ReportHtml(report)); !status.ok()) return status;
  if (absl::Status status = WriteFile(base / "result.json", BenchJson(report) + "\n"); !status.ok()) return status;
  if (report.baseline != nullptr) {
    absl::Status status = WriteFile(base / "baseline.hgrm", PercentileText(*report.baseline, kNsPerMicro));
    if (!status.ok()) return status;
  }
  for (size_t i = 0; i < report.runs.size(); ++i) {
    for (const Measure& measure : kMeasures) {
      const Histogram* const histogram = measure.of(report.runs[i]);
      if (!HasSamples(histogram)) continue;
      const std::string name = absl::StrCat(i + 1, "-", measure.key, ".hgrm");
      if (absl::Status status = WriteFile(base / name, PercentileText(*histogram, kNsPerMicro)); !status.ok()) {
        return status;
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace tickbridge
