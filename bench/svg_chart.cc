// SPDX-License-Identifier: Apache-2.0
#include "bench/svg_chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tickbridge {
namespace {

// In units of the view box.
constexpr double kWidth = 760;
constexpr double kHeight = 380;
constexpr double kLeft = 64;
constexpr double kRight = 190;  // room for the labels of the lines
constexpr double kTop = 16;
constexpr double kBottom = 52;
constexpr double kLabelHeight = 15;
constexpr size_t kTinyMarks = 9;  // more marks than that: decades only

struct Style {
  std::string_view colour;
  std::string_view dash;
};
// Dark enough for paper, and by the dashes different without colour.
constexpr std::array<Style, 8> kStyles = {{{"#0b5394", ""},
                                           {"#b45309", "7 3"},
                                           {"#166534", "2 3"},
                                           {"#9d174d", "10 3 2 3"},
                                           {"#4c1d95", "4 2"},
                                           {"#374151", "1 2"},
                                           {"#0e7490", "12 4"},
                                           {"#7f1d1d", "6 2 1 2 1 2"}}};

struct Range {
  double low = 0;
  double high = 0;
  bool empty = true;

  void Take(double value) {
    low = empty ? value : std::min(low, value);
    high = empty ? value : std::max(high, value);
    empty = false;
  }
  // The place of a value, from 0 to 1.
  double Part(double value) const {
    return std::log(high) > std::log(low) ? (std::log(value) - std::log(low)) / (std::log(high) - std::log(low)) : 0.5;
  }
};

std::vector<std::pair<double, std::string>> Marks(const Range& range) {
  std::vector<std::pair<double, std::string>> marks;
  for (const bool fine : {true, false}) {
    marks.clear();
    const int last = static_cast<int>(std::floor(std::log10(range.high * 1.001)));
    for (int power = static_cast<int>(std::floor(std::log10(range.low))); power <= last; ++power) {
      for (const double step : {1.0, 2.0, 5.0}) {
        const double value = std::pow(10, power) * step;
        if ((fine || step == 1.0) && value >= range.low * 0.999 && value <= range.high * 1.001) {
          marks.emplace_back(value, AxisNumber(value));
        }
      }
    }
    if (marks.size() <= kTinyMarks) break;
  }
  return marks;
}

// The nearest 1, 2 or 5 of a decade below, or above, so that an axis begins and ends at a mark.
double Round(double value, bool up) {
  const double decade = std::pow(10, std::floor(std::log10(value)));
  constexpr std::array<double, 4> kSteps = {1, 2, 5, 10};
  if (up) {
    for (const double step : kSteps) {
      if (decade * step >= value * 0.999) return decade * step;
    }
  }
  for (size_t i = kSteps.size(); i-- > 0;) {
    if (decade * kSteps[i] <= value * 1.001) return decade * kSteps[i];
  }
  return value;
}

class Drawing {
 public:
  explicit Drawing(const Chart& chart) : chart_(chart) {
    for (const ChartLine& line : chart.lines) {
      for (const auto& [x, y] : line.points) {
        x_.Take(x);
        y_.Take(y);
      }
    }
  }

  std::string Draw() {
    if (x_.empty) return "";
    y_.low = Round(y_.low, false);
    y_.high = Round(y_.high, true);
    absl::StrAppendFormat(&out_, "<figure><figcaption>%s</figcaption><svg viewBox=\"0 0 %g %g\" role=\"img\">\n",
                          HtmlText(chart_.title), kWidth, kHeight);
    DrawAxes();
    DrawLines();
    return out_ + "</svg></figure>\n";
  }

 private:
  double X(double x) const { return kLeft + x_.Part(x) * (kWidth - kLeft - kRight); }
  double Y(double y) const { return kHeight - kBottom - y_.Part(y) * (kHeight - kTop - kBottom); }

  void DrawAxes() {
    const double floor = kHeight - kBottom;
    const double right = kWidth - kRight;
    for (const auto& [value, label] : Marks(y_)) {
      absl::StrAppendFormat(&out_,
                            "<path class=\"grid\" d=\"M%g %.1fH%g\"/><text x=\"%g\" y=\"%.1f\" class=\"y\">%s</text>\n",
                            kLeft, Y(value), right, kLeft - 6, Y(value) + 4, HtmlText(label));
    }
    for (const auto& [value, label] : chart_.x_marks.empty() ? Marks(x_) : chart_.x_marks) {
      if (value < x_.low * 0.999 || value > x_.high * 1.001) continue;
      absl::StrAppendFormat(&out_,
                            "<path class=\"grid\" d=\"M%.1f %gV%g\"/><text x=\"%.1f\" y=\"%g\" class=\"x\">%s</text>\n",
                            X(value), kTop, floor, X(value), floor + 18, HtmlText(label));
    }
    absl::StrAppendFormat(&out_, "<path class=\"axis\" d=\"M%g %gV%gH%g\"/>\n", kLeft, kTop, floor, right);
    absl::StrAppendFormat(&out_, "<text x=\"%g\" y=\"%g\" class=\"x title\">%s</text>\n", (kLeft + right) / 2,
                          kHeight - 12, HtmlText(chart_.x_title));
    absl::StrAppendFormat(&out_, "<text transform=\"translate(14 %g) rotate(-90)\" class=\"x title\">%s</text>\n",
                          (kTop + floor) / 2, HtmlText(chart_.y_title));
  }

  void DrawLines() {
    struct Label {
      double x, end_y, y;
      size_t line;
    };
    std::vector<Label> labels;
    for (size_t i = 0; i < chart_.lines.size(); ++i) {
      const ChartLine& line = chart_.lines[i];
      if (line.points.empty()) continue;
      std::string path;
      for (const auto& [x, y] : line.points) {
        absl::StrAppendFormat(&path, "%s%.1f %.1f", path.empty() ? "M" : "L", X(x), Y(y));
      }
      const Style& style = kStyles[i % kStyles.size()];
      absl::StrAppendFormat(&out_, "<path class=\"line\" stroke=\"%s\" stroke-dasharray=\"%s\" d=\"%s\"/>\n",
                            style.colour, style.dash, path);
      const auto& [x, y] = line.points.back();
      labels.push_back({X(x), Y(y), Y(y), i});
    }
    // Labels that would overlap are pushed apart, the lowest first upwards.
    std::sort(labels.begin(), labels.end(), [](const Label& a, const Label& b) { return a.end_y > b.end_y; });
    double above = kHeight - kBottom + kLabelHeight;
    for (Label& label : labels) above = label.y = std::min(label.y, above - kLabelHeight);
    double below = kTop - kLabelHeight;
    for (size_t i = labels.size(); i-- > 0;) below = labels[i].y = std::max(labels[i].y, below + kLabelHeight);
    for (const Label& label : labels) {
      const Style& style = kStyles[label.line % kStyles.size()];
      const double at = kWidth - kRight + 14;
      absl::StrAppendFormat(&out_, "<path class=\"lead\" stroke=\"%s\" d=\"M%.1f %.1fL%.1f %.1f\"/>", style.colour,
                            label.x + 1, label.end_y, at - 3, label.y);
      absl::StrAppendFormat(&out_, "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">%s</text>\n", at, label.y + 4, style.colour,
                            HtmlText(chart_.lines[label.line].label));
    }
  }

  const Chart& chart_;
  Range x_;
  Range y_;
  std::string out_;
};

}  // namespace

std::string SvgChart(const Chart& chart) { return Drawing(chart).Draw(); }

std::string AxisNumber(double value) {
  if (value >= 1e9) return absl::StrFormat("%gG", value / 1e9);
  if (value >= 1e6) return absl::StrFormat("%gM", value / 1e6);
  if (value >= 1e3) return absl::StrFormat("%gk", value / 1e3);
  return absl::StrFormat("%g", value);
}

std::string HtmlText(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace tickbridge
