// SPDX-License-Identifier: Apache-2.0
#include "bench/report.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>

#include "bench/svg_chart.h"

namespace tickbridge {
namespace {

BenchRun SampleRun(double rate) {
  BenchRun run;
  run.label = "10k ticks/s <1000> symbols";
  run.offered_rate = run.achieved_rate = rate;
  run.symbols = 1'000;
  run.server_s = 1;
  run.server_writes = 9'000;
  for (int64_t i = 1; i <= 20'000; ++i) {
    run.ack->Record(i * 100);
    run.staleness->Record(i * 90);
  }
  run.ticks = run.sent = 20'000;
  return run;
}

BenchReport SampleReport() {
  BenchReport report;
  report.version = "tickbridge \"1\"";
  report.runs.push_back(SampleRun(1'000));
  report.runs.push_back(SampleRun(10'000));
  return report;
}

std::string Read(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Folder {
  Folder() {
    char pattern[] = "/tmp/tb-report-XXXXXX";
    path = ::mkdtemp(pattern);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

// As HdrHistogram's plotter reads it: a heading, an empty line, four columns with growing values, percentiles and
// counts, a last line at 1.0 without the fourth (or with "inf"), and three lines of footer.
TEST(Report, PercentileFilesHaveHdrHistogramsForm) {
  Folder folder;
  const BenchReport report = SampleReport();
  ASSERT_TRUE(WriteReport(report, folder.path).ok());
  std::istringstream lines(Read(folder.path / "1-ack.hgrm"));
  std::string line;
  std::getline(lines, line);
  EXPECT_TRUE(std::regex_match(line, std::regex(R"(\s*Value\s+Percentile\s+TotalCount\s+1/\(1-Percentile\))"))) << line;
  std::getline(lines, line);
  EXPECT_EQ(line, "");
  const std::regex row(R"(\s*(\d+\.\d{3})\s+([01]\.\d{12})\s+(\d+)(\s+(\d+\.\d\d|inf))?)");
  double value = -1;
  double percentile = -1;
  double count = 0;
  while (std::getline(lines, line) && line[0] != '#') {
    std::smatch match;
    ASSERT_TRUE(std::regex_match(line, match, row)) << line;
    EXPECT_GE(std::stod(match[1]), value);
    EXPECT_GT(std::stod(match[2]), percentile);
    EXPECT_GE(std::stod(match[3]), count);
    value = std::stod(match[1]);
    percentile = std::stod(match[2]);
    count = std::stod(match[3]);
    if (percentile == 1) continue;
    EXPECT_NEAR(std::stod(match[4]), 1 / (1 - percentile), 0.01 / (1 - percentile)) << line;
  }
  EXPECT_EQ(percentile, 1.0);
  EXPECT_EQ(count, 20'000);
  EXPECT_EQ(value, 2'000) << "in microseconds";
  const std::regex mean(R"(#\[Mean\s+=\s+\d+\.\d+, StdDeviation\s+=\s+\d+\.\d+\])");
  const std::regex max(R"(#\[Max\s+=\s+\d+\.\d+, Total count\s+=\s+\d+\])");
  const std::regex buckets(R"(#\[Buckets\s+=\s+\d+, SubBuckets\s+=\s+\d+\])");
  EXPECT_TRUE(std::regex_match(line, mean)) << line;
  std::getline(lines, line);
  EXPECT_TRUE(std::regex_match(line, max)) << line;
  std::getline(lines, line);
  EXPECT_TRUE(std::regex_match(line, buckets)) << line;
}

TEST(Report, HtmlNeedsNothingButItself) {
  const std::string html = ReportHtml(SampleReport());
  for (const char* outside : {"<script", "http:", "https:", "src=", "<link", "@import", "url("}) {
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
  }
  EXPECT_NE(html.find("@media print"), std::string::npos);
  EXPECT_NE(html.find("&lt;1000&gt;"), std::string::npos) << "text is escaped";
  EXPECT_EQ(html.find("<1000>"), std::string::npos);
  EXPECT_EQ(html.find("nan"), std::string::npos);
}

TEST(Report, OneOfAKindMakesNoLoadCurve) {
  BenchReport report = SampleReport();
  EXPECT_NE(ReportHtml(report).find("Latency under load"), std::string::npos);
  report.runs.pop_back();
  EXPECT_EQ(ReportHtml(report).find("Latency under load"), std::string::npos);
}

TEST(BenchRun, RoundsAddUp) {
  BenchRun run = SampleRun(1'000);
  run.Add(SampleRun(3'000));
  run.Add(SampleRun(5'000));
  EXPECT_EQ(Summarize(*run.ack).count, 60'000U);
  EXPECT_EQ(Summarize(*run.ack).max, 2'000'000);
  EXPECT_EQ(run.ticks, 60'000U);
  EXPECT_DOUBLE_EQ(run.achieved_rate, 3'000);
}

TEST(SvgChart, DrawsNothingFromNothing) { EXPECT_EQ(SvgChart(Chart{}), ""); }

TEST(SvgChart, OneFlatPointIsNoDivisionByZero) {
  Chart chart;
  chart.lines = {{"a", {{1, 5}}}};
  const std::string svg = SvgChart(chart);
  EXPECT_NE(svg.find("<path class=\"line\""), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

}  // namespace
}  // namespace tickbridge
