#include "launch/page/bar_picture.h"

#include <algorithm>
#include <numeric>

#include "launch/page/markup.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr double width = 420, top = 6, row_height = 20, row_gap = 6, legend_row = 20, character = 6.4, right = 58;
constexpr size_t hatches = 4;  // of page.cpp

}  // namespace

std::string figure_of(const BarPicture& picture) {
  if (picture.rows.empty()) return "";
  size_t longest = 0;
  double most = 0;
  for (const BarRow& row : picture.rows) {
    longest = std::max(longest, row.name.size());
    most = std::max(most, std::accumulate(row.parts.begin(), row.parts.end(), 0.0));
  }
  const double left = std::min(170.0, 10 + character * static_cast<double>(longest));
  const double scale = most > 0 ? (width - left - right) / most : 0;
  double y = top;
  std::string bars, words;
  for (const BarRow& row : picture.rows) {
    bars += message("<text x=\"", coordinate(left - 6), "\" y=\"", coordinate(y + 14), "\" text-anchor=\"end\">",
                    escaped(row.name), "</text>\n");
    double x = left;
    words += row.name + ":";
    for (size_t i = 0; i < row.parts.size(); ++i) {
      const double wide = row.parts[i] * scale;
      words += message(i == 0 ? " " : ", ", picture.parts[i], " ", percent(row.parts[i]));
      if (wide <= 0) continue;
      bars +=
          message("<rect class=\"part\" fill=\"url(#part", i % hatches, ")\" x=\"", coordinate(x), "\" y=\"",
                  coordinate(y), "\" width=\"", coordinate(wide), "\" height=\"", coordinate(row_height), "\"><title>",
                  escaped(row.name), ": ", escaped(picture.parts[i]), " ", percent(row.parts[i]), "</title></rect>\n");
      x += wide;
    }
    if (!row.parts.empty())
      bars += message("<text x=\"", coordinate(x + 5), "\" y=\"", coordinate(y + 14), "\">", percent(row.parts.front()),
                      "</text>\n");
    words += ". ";
    y += row_height + row_gap;
  }
  double x = left;
  y += 6;
  for (size_t i = 0; i < picture.parts.size(); ++i) {
    const double wide = 30 + character * static_cast<double>(picture.parts[i].size());
    if (x > left && x + wide > width) {
      x = left;
      y += legend_row;
    }
    bars += message("<rect class=\"part\" fill=\"url(#part", i % hatches, ")\" x=\"", coordinate(x), "\" y=\"",
                    coordinate(y), "\" width=\"16\" height=\"13\"/><text x=\"", coordinate(x + 21), "\" y=\"",
                    coordinate(y + 11), "\">", escaped(picture.parts[i]), "</text>\n");
    x += wide;
  }
  return message("<figure><figcaption>", escaped(picture.title), "</figcaption><svg viewBox=\"0 0 ", coordinate(width),
                 " ", coordinate(y + legend_row), "\" role=\"img\"><title>", escaped(picture.title), "</title><desc>",
                 escaped(words), "</desc>\n", bars, "</svg>",
                 picture.note.empty() ? "" : "<p class=\"note\">" + escaped(picture.note) + "</p>", "</figure>\n");
}

}  // namespace interlock
