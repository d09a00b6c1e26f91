#include "launch/stored_model/referral.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <sstream>

namespace interlock {
namespace {

constexpr int steps = 10;  // of a tenth

std::string escaped(const std::string& text) {
  std::string safe;
  for (const char letter : text) {
    if (letter == '&') {
      safe += "&amp;";
    } else if (letter == '<') {
      safe += "&lt;";
    } else {
      safe += letter;
    }
  }
  return safe;
}

// The picture's frame, in pixels.
struct Frame {
  double left = 60, top = 40, width = 520, height = 300, lowest = 0;
  double x(double referred) const { return left + width * referred / 0.9; }
  double y(double accuracy) const { return top + height * (1 - accuracy) / (1 - lowest); }
};

void draw_grid(std::ostream& svg, const Frame& frame) {
  for (int i = 0; i < steps; ++i)
    svg << "<text x=\"" << frame.x(i / 10.0) << "\" y=\"" << frame.top + frame.height + 18
        << "\" text-anchor=\"middle\">" << 10 * i << " %</text>\n";
  for (int i = 0; i <= 4; ++i) {
    const double accuracy = frame.lowest + (1 - frame.lowest) * i / 4, y = frame.y(accuracy);
    svg << "<line x1=\"" << frame.left << "\" x2=\"" << frame.left + frame.width << "\" y1=\"" << y << "\" y2=\"" << y
        << "\" stroke=\"#ddd\"/>\n<text x=\"" << frame.left - 8 << "\" y=\"" << y + 4 << "\" text-anchor=\"end\">"
        << accuracy << "</text>\n";
  }
  svg << "<text x=\"" << frame.left + frame.width / 2 << "\" y=\"" << frame.top + frame.height + 38
      << "\" text-anchor=\"middle\">share referred, the least certain first</text>\n";
}

}  // namespace

std::vector<ReferralPoint> referral_curve(std::vector<JudgedRow> rows) {
  std::ranges::stable_sort(rows, {}, &JudgedRow::uncertainty);
  // Of equal rows each is as right as their mean.
  std::vector<double> right(rows.size());
  for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    double sum = 0;
    for (; end < rows.size() && rows[end].uncertainty == rows[begin].uncertainty; ++end) sum += rows[end].right ? 1 : 0;
    std::fill(right.begin() + static_cast<std::ptrdiff_t>(begin), right.begin() + static_cast<std::ptrdiff_t>(end),
              sum / static_cast<double>(end - begin));
  }
  std::vector<ReferralPoint> curve;
  for (int i = 0; i < steps && !rows.empty(); ++i) {
    const double referred = i / 10.0;
    const auto kept = static_cast<size_t>(std::max(1.0, std::round((1 - referred) * static_cast<double>(rows.size()))));
    double sum = 0;
    for (size_t row = 0; row < kept; ++row) sum += right[row];
    curve.push_back({referred, sum / static_cast<double>(kept)});
  }
  return curve;
}

std::string referral_svg(const std::vector<ReferralLine>& lines, const std::string& title) {
  static constexpr std::array colours = {"#1f77b4", "#d62728", "#2ca02c"};
  double lowest = 1;
  for (const ReferralLine& line : lines)
    for (const ReferralPoint& point : line.points) lowest = std::min(lowest, point.accuracy);
  Frame frame;
  frame.lowest = std::min(0.9, std::floor(lowest * 10) / 10);
  std::ostringstream svg;
  svg << std::fixed << std::setprecision(2)
      << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"620\" height=\"400\" font-family=\"sans-serif\" "
         "font-size=\"12\">\n<rect width=\"620\" height=\"400\" fill=\"white\"/>\n<text x=\"60\" y=\"24\" "
         "font-size=\"14\">"
      << escaped(title) << "</text>\n";
  draw_grid(svg, frame);
  for (size_t i = 0; i < lines.size(); ++i) {
    const char* colour = colours[i % colours.size()];
    svg << "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"" << colour << "\" points=\"";
    for (const ReferralPoint& point : lines[i].points)
      svg << frame.x(point.referred) << "," << frame.y(point.accuracy) << " ";
    svg << "\"/>\n<text fill=\"" << colour << "\" x=\"" << frame.left + 10 << "\" y=\""
        << frame.top + frame.height - 10 - 16 * static_cast<double>(i) << "\">" << escaped(lines[i].name)
        << "</text>\n";
  }
  svg << "</svg>\n";
  return svg.str();
}

}  // namespace interlock
