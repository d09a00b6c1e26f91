#include "launch/page/chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>

#include "launch/page/markup.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

// In units of the picture, which a phone shows nearly one to one.
constexpr double width = 420, plot_height = 220, left = 66, right = 14, top = 12, axis = 40, legend_row = 17;
constexpr double character = 6.4;
constexpr std::array<const char*, looks> dashes{"", "7 3", "2 3", "9 3 2 3", "5 2", "1 2", "12 4", "4 2 1 2"};

struct Scale {
  double low = 0, high = 1;
  bool logarithmic = false;
  double begin = 0, end = 1;  // in the picture

  double at(double value) const {
    const double share = logarithmic ? (std::log(value) - std::log(low)) / (std::log(high) - std::log(low))
                                     : (value - low) / (high - low);
    return begin + share * (end - begin);
  }
};

// About five round numbers; on a logarithmic scale 1, 2 and 5 of each decade while they are few.
std::vector<double> ticks(const Scale& scale) {
  std::vector<double> all;
  if (scale.logarithmic) {
    const double decades = std::log10(scale.high / scale.low);
    const int first = static_cast<int>(std::floor(std::log10(scale.low)));
    for (int power = first; power <= first + static_cast<int>(decades) + 1; ++power)
      for (const double step : {1.0, 2.0, 5.0}) {
        if (decades > 2.5 && step > 1) continue;
        const double value = step * std::pow(10, power);
        if (value >= scale.low * (1 - 1e-9) && value <= scale.high * (1 + 1e-9)) all.push_back(value);
      }
    if (all.size() >= 2) return all;
    all.clear();
  }
  const double rough = (scale.high - scale.low) / 5, power = std::pow(10, std::floor(std::log10(rough)));
  double distance = 10 * power;
  for (const double step : {5.0, 2.0, 1.0})
    if (step * power >= rough * (1 - 1e-9)) distance = step * power;
  for (double value = std::ceil(scale.low / distance - 1e-9) * distance; value <= scale.high * (1 + 1e-9) + 1e-300;
       value += distance)
    all.push_back(std::abs(value) < distance * 1e-9 ? 0 : value);
  return all;
}

// Each with as few digits, from three on, as tell all of them apart.
std::vector<std::string> labels(const std::vector<double>& ticks) {
  std::vector<std::string> all(ticks.size());
  for (int digits = 3; digits <= 8; ++digits) {
    std::ranges::transform(ticks, all.begin(), [&](double tick) { return significant(tick, digits); });
    if (std::set<std::string>(all.begin(), all.end()).size() == all.size()) break;
  }
  return all;
}

std::string tag(double x, double y, const std::string& anchor, const std::string& text, const std::string& more = "") {
  return message("<text x=\"", coordinate(x), "\" y=\"", coordinate(y), "\" text-anchor=\"", anchor, "\"", more, ">",
                 escaped(text), "</text>\n");
}

// A shape around a place, by look.
std::string marker(int look, double x, double y) {
  const auto place = [](double value) { return coordinate(value); };
  const std::string style = message(" class=\"mark s", look % looks, "\"/>\n");
  switch (look % 4) {
    case 0:
      return message("<circle cx=\"", place(x), "\" cy=\"", place(y), "\" r=\"3\"", style);
    case 1:
      return message("<rect x=\"", place(x - 2.8), "\" y=\"", place(y - 2.8), "\" width=\"5.6\" height=\"5.6\"", style);
    case 2:
      return message("<path d=\"M", place(x), " ", place(y - 3.6), "l3.5 6h-7z\"", style);
    default:
      return message("<path d=\"M", place(x), " ", place(y - 4), "l3.6 4l-3.6 4l-3.6 -4z\"", style);
  }
}

bool drawable(const ChartPoint& point, const Chart& chart) {
  return std::isfinite(point.x) && std::isfinite(point.y) && (!chart.log_x || point.x > 0) &&
         (!chart.log_y || point.y > 0);
}

class Drawing {
 public:
  explicit Drawing(const Chart& chart) : chart_(chart) {
    for (Series series : chart.series) {
      std::erase_if(series.points, [&](const ChartPoint& point) { return !drawable(point, chart); });
      if (!series.points.empty()) series_.push_back(std::move(series));
    }
    if (!series_.empty()) fit();
  }
  bool empty() const { return series_.empty(); }

  std::string svg() const {
    const double height = top + plot_height + axis + legend_row * legend_rows() + 4;
    std::string out =
        message("<svg viewBox=\"0 0 ", coordinate(width), " ", coordinate(height), "\" role=\"img\"><title>",
                escaped(chart_.title), "</title><desc>", escaped(words()), "</desc>\n", axes());
    for (const Series& series : series_) out += band(series);
    for (const Series& series : series_) out += curve(series);
    return out + legend() + "</svg>";
  }

 private:
  void fit() {
    double low_x = std::numeric_limits<double>::infinity(), high_x = -low_x, low_y = low_x, high_y = -low_x;
    for (const Series& series : series_)
      for (const ChartPoint& point : series.points) {
        low_x = std::min(low_x, point.x);
        high_x = std::max(high_x, point.x);
        const bool banded = point.low <= point.high && std::isfinite(point.low) && std::isfinite(point.high);
        low_y = std::min(low_y, banded && (!chart_.log_y || point.low > 0) ? std::min(point.low, point.y) : point.y);
        high_y = std::max(high_y, banded ? std::max(point.high, point.y) : point.y);
      }
    x_ = widened(low_x, high_x, chart_.log_x);
    y_ = widened(low_y, high_y, chart_.log_y);
    x_.begin = left;
    x_.end = width - right;
    y_.begin = top + plot_height;
    y_.end = top;
  }
  static Scale widened(double low, double high, bool logarithmic) {
    if (logarithmic) {
      const double room = high > low ? std::pow(high / low, 0.05) : 1.2;
      return {low / room, high * room, true};
    }
    const double room = high > low ? 0.05 * (high - low) : std::max(1e-12, 0.1 * std::abs(high));
    return {low >= 0 ? std::max(0.0, low - room) : low - room, high + room, false};
  }

  std::string axes() const {
    std::string out;
    const std::vector<double> levels = ticks(y_), places = ticks(x_);
    const std::vector<std::string> level_labels = labels(levels), place_labels = labels(places);
    for (size_t i = 0; i < levels.size(); ++i) {
      const double y = y_.at(levels[i]);
      out += message("<line class=\"grid\" x1=\"", coordinate(left), "\" x2=\"", coordinate(width - right), "\" y1=\"",
                     coordinate(y), "\" y2=\"", coordinate(y), "\"/>\n");
      out += tag(left - 6, y + 4, "end", level_labels[i]);
    }
    double free_from = 0;
    for (size_t i = 0; i < places.size(); ++i) {
      const double x = x_.at(places[i]), half = character * static_cast<double>(place_labels[i].size()) / 2;
      out += message("<line class=\"grid\" x1=\"", coordinate(x), "\" x2=\"", coordinate(x), "\" y1=\"",
                     coordinate(top), "\" y2=\"", coordinate(top + plot_height), "\"/>\n");
      if (x - half < free_from || x + half > width) continue;
      out += tag(x, top + plot_height + 15, "middle", place_labels[i]);
      free_from = x + half + 6;
    }
    out += tag((left + width - right) / 2, top + plot_height + 32, "middle", chart_.x_label, " class=\"axis\"");
    const double middle = top + plot_height / 2;
    return out + tag(12, middle, "middle", chart_.y_label,
                     message(" class=\"axis\" transform=\"rotate(-90 12 ", coordinate(middle), ")\""));
  }

  std::string band(const Series& series) const {
    std::string there, back;
    for (const ChartPoint& point : series.points) {
      if (point.low > point.high || (chart_.log_y && point.low <= 0)) continue;
      there += message(there.empty() ? "M" : "L", coordinate(x_.at(point.x)), " ", coordinate(y_.at(point.high)));
      back = message("L", coordinate(x_.at(point.x)), " ", coordinate(y_.at(point.low))) + back;
    }
    if (there.empty()) return "";
    if (!series.line) {  // a bar through each point
      std::string out;
      for (const ChartPoint& point : series.points)
        if (point.low <= point.high)
          out += message("<line class=\"s", series.look % looks, "\" x1=\"", coordinate(x_.at(point.x)), "\" x2=\"",
                         coordinate(x_.at(point.x)), "\" y1=\"", coordinate(y_.at(point.low)), "\" y2=\"",
                         coordinate(y_.at(point.high)), "\"/>\n");
      return out;
    }
    return message("<path class=\"band s", series.look % looks, "\" d=\"", there, back, "z\"/>\n");
  }

  std::string curve(const Series& series) const {
    std::string out, path;
    for (const ChartPoint& point : series.points)
      path += message(path.empty() ? "M" : "L", coordinate(x_.at(point.x)), " ", coordinate(y_.at(point.y)));
    if (series.line && series.points.size() > 1) out += line(series.look, path);
    const size_t every = series.line ? std::max<size_t>(1, series.points.size() / 6) : 1;
    for (size_t i = 0; i < series.points.size(); ++i) {
      const double x = x_.at(series.points[i].x), y = y_.at(series.points[i].y);
      if (!series.line || (series.markers && (i + 1 == series.points.size() || i % every == every / 2)))
        out += marker(series.look, x, y);
      if (series.points[i].label.empty()) continue;
      const bool turned = x + 8 + character * static_cast<double>(series.points[i].label.size()) > width;
      out += tag(turned ? x - 7 : x + 7, y - 5, turned ? "end" : "start", series.points[i].label);
    }
    return out;
  }
  // Dashes tell curves apart; one alone needs none.
  std::string line(int look, const std::string& path) const {
    const char* dash = series_.size() > 1 ? dashes[static_cast<size_t>(look % looks)] : "";
    return message("<path class=\"line s", look % looks, "\" stroke-dasharray=\"", dash, "\" d=\"", path, "\"/>\n");
  }

  // Names flow into rows; a picture of one unnamed series has none.
  struct Entry {
    const Series* series;
    double x;
    int row;
  };
  std::vector<Entry> entries() const {
    std::vector<Entry> all;
    double x = left;
    int row = 0;
    for (const Series& series : series_) {
      if (series.name.empty()) continue;
      const double wide = 34 + character * static_cast<double>(series.name.size()) + 12;
      if (x > left && x + wide > width) {
        x = left;
        ++row;
      }
      all.push_back({&series, x, row});
      x += wide;
    }
    return all;
  }
  int legend_rows() const {
    const auto all = entries();
    return all.empty() ? 0 : all.back().row + 1;
  }
  std::string legend() const {
    std::string out;
    for (const auto& [series, x, row] : entries()) {
      const double y = top + plot_height + axis + legend_row * row + 8;
      const double x_end = x + 26;
      if (series->line)
        out += line(series->look, message("M", coordinate(x), " ", coordinate(y), "H", coordinate(x_end)));
      out += marker(series->look, x + 13, y) + tag(x + 32, y + 4, "start", series->name);
    }
    return out;
  }

  std::string words() const {
    std::string out = message(chart_.y_label, " against ", chart_.x_label, ".");
    for (const Series& series : series_) {
      const ChartPoint &first = series.points.front(), &last = series.points.back();
      out += message(" ", series.name.empty() ? "The curve" : series.name, ": ", significant(first.y, 4), " at ",
                     significant(first.x), first.label.empty() ? "" : " (" + first.label + ")");
      if (series.points.size() > 1)
        out +=
            message(series.points.size() > 2 ? " to " : " and ", significant(last.y, 4), " at ", significant(last.x));
      out += ".";
    }
    return out;
  }

  const Chart& chart_;
  std::vector<Series> series_;
  Scale x_, y_;
};

}  // namespace

std::string figure_of(const Chart& chart) {
  const Drawing drawing(chart);
  if (drawing.empty()) return "";
  return message("<figure><figcaption>", escaped(chart.title), "</figcaption>", drawing.svg(),
                 chart.note.empty() ? "" : "<p class=\"note\">" + escaped(chart.note) + "</p>", "</figure>\n");
}

}  // namespace interlock
