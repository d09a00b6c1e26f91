#pragma once
// Curves and points over two axes as SVG for a page: colours follow the page's light or dark theme, and every series
// has a dash and a marker of its own, so that it reads in print and for colour-blind eyes.

#include <string>
#include <vector>

namespace interlock {

struct ChartPoint {
  double x = 0, y = 0;
  double low = 0, high = 0;  // of the band; low > high: none
  std::string label = "";    // shown beside a point
};

struct Series {
  std::string name;
  int look = 0;  // colour, dash and marker: the same thing looks the same in every picture of a page
  std::vector<ChartPoint> points;
  bool line = true;     // false: points alone
  bool markers = true;  // on points of a line
};

struct Chart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  bool log_x = false, log_y = false;
  std::string note = "";  // below the picture
};

// A figure with its caption; its text alternative says where every series begins and ends. A series without finite
// points is left out; "" when nothing is left.
std::string figure_of(const Chart& chart);

inline constexpr int looks = 8;  // that differ; further ones begin anew

}  // namespace interlock
