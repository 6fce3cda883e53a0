// SPDX-License-Identifier: Apache-2.0
// A line chart as inline SVG: both axes logarithmic, each line labelled at its end, told apart in black and white too.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tickbridge {

struct ChartLine {
  std::string label;
  std::vector<std::pair<double, double>> points;  // positive, x ascending
};

struct Chart {
  std::string title;
  std::string x_title;
  std::string y_title;
  // Where x has its marks; empty: at 1, 2 and 5 of each decade, or the decades where those are many.
  std::vector<std::pair<double, std::string>> x_marks;
  std::vector<ChartLine> lines;
};

// Empty if there is nothing to draw.
std::string SvgChart(const Chart& chart);

// A number as people write it on an axis: "20", "1.5k", "3M".
std::string AxisNumber(double value);
// As text in HTML.
std::string HtmlText(std::string_view text);

}  // namespace tickbridge
