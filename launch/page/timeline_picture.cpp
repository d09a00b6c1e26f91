#include "launch/page/timeline_picture.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "launch/page/markup.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr double width = 1000, right = 16, row_height = 24, row_gap = 5, group_gap = 26, character = 6.6, axis = 34;
constexpr double narrowest = 0.6;  // of a bar that is drawn

struct Kind {
  char letter;
  const char* meaning;
};
constexpr std::array<Kind, 8> kinds{{{'F', "forward"},
                                     {'L', "head and loss"},
                                     {'I', "input gradient"},
                                     {'W', "weight gradient"},
                                     {'B', "both gradients"},
                                     {'U', "update"},
                                     {'.', "waiting"},
                                     {'-', "message on its way"}}};

std::string name_of(char kind) { return kind == '.' ? "wait" : kind == '-' ? "send" : std::string(1, kind); }

double round_step(double length) {
  const double rough = length / 8, power = std::pow(10, std::floor(std::log10(rough)));
  for (const double step : {1.0, 2.0, 5.0})
    if (step * power >= rough * (1 - 1e-9)) return step * power;
  return 10 * power;
}

}  // namespace

std::string figure_of(const TimelinePicture& picture) {
  double end = 0;
  size_t longest = 0;
  for (const TimelineGroup& group : picture.groups) {
    for (const std::string& name : group.row_names) longest = std::max(longest, name.size());
    for (const auto& row : group.rows)
      for (const TimelineBar& bar : row) end = std::max(end, bar.end);
  }
  if (end <= 0) return "";
  const double left = 14 + character * static_cast<double>(longest), scale = (width - left - right) / end;
  std::string bars;
  double y = 4;
  for (const TimelineGroup& group : picture.groups) {
    bars += message("<text class=\"axis\" x=\"", coordinate(left), "\" y=\"", coordinate(y + 12), "\">",
                    escaped(group.name), "</text>\n");
    y += 18;
    for (size_t row = 0; row < group.rows.size(); ++row, y += row_height + row_gap) {
      bars += message("<text x=\"", coordinate(left - 8), "\" y=\"", coordinate(y + 16), "\" text-anchor=\"end\">",
                      escaped(group.row_names[row]), "</text><rect class=\"lane\" x=\"", coordinate(left), "\" y=\"",
                      coordinate(y), "\" width=\"", coordinate(width - left - right), "\" height=\"",
                      coordinate(row_height), "\"/>\n");
      for (const TimelineBar& bar : group.rows[row]) {
        const double x = left + bar.begin * scale, wide = (bar.end - bar.begin) * scale;
        if (wide < narrowest) continue;
        const bool message_bar = bar.kind == '-';  // a thin line below, since a rank computes meanwhile
        bars += message("<rect class=\"bar\" fill=\"url(#k-", name_of(bar.kind), ")\" x=\"", coordinate(x), "\" y=\"",
                        coordinate(message_bar ? y + row_height - 3 : y), "\" width=\"", coordinate(wide),
                        "\" height=\"", message_bar ? "3" : coordinate(row_height), "\"/>");
        if (!message_bar && bar.kind != '.' && character * static_cast<double>(bar.label.size()) < wide - 2)
          bars += message("<text class=\"rim\" x=\"", coordinate(x + wide / 2), "\" y=\"", coordinate(y + 16),
                          "\" text-anchor=\"middle\">", escaped(bar.label), "</text>");
      }
      bars += "\n";
    }
    y += group_gap - 18;
  }
  const double step = round_step(end);
  for (double tick = 0; tick <= end * (1 + 1e-9); tick += step) {
    const double x = left + tick * scale;
    bars += message("<line class=\"grid\" x1=\"", coordinate(x), "\" x2=\"", coordinate(x), "\" y1=\"4\" y2=\"",
                    coordinate(y), "\"/>");
    if (x + 20 < width)
      bars += message("<text x=\"", coordinate(x), "\" y=\"", coordinate(y + 14), "\" text-anchor=\"middle\">",
                      tick == 0 ? "0" : duration(tick), "</text>\n");
  }
  double x = left;
  const double legend = y + axis;
  for (const Kind& kind : kinds) {
    const bool there = std::ranges::any_of(picture.groups, [&](const TimelineGroup& group) {
      return std::ranges::any_of(group.rows, [&](const auto& row) {
        return std::ranges::any_of(row, [&](const TimelineBar& bar) { return bar.kind == kind.letter; });
      });
    });
    if (!there) continue;
    const bool named = kind.letter != '.' && kind.letter != '-';
    const std::string text = named ? message(kind.letter, " ", kind.meaning) : kind.meaning;
    bars += message("<rect class=\"bar\" fill=\"url(#k-", name_of(kind.letter), ")\" x=\"", coordinate(x), "\" y=\"",
                    coordinate(legend), "\" width=\"20\" height=\"14\"/><text x=\"", coordinate(x + 26), "\" y=\"",
                    coordinate(legend + 12), "\">", text, "</text>\n");
    x += 26 + character * static_cast<double>(text.size()) + 16;
  }
  return message("<figure class=\"wide\"><figcaption>", escaped(picture.title),
                 "</figcaption><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"",
                 escaped(picture.title), "\"><svg class=\"timeline\" viewBox=\"0 0 ", coordinate(width), " ",
                 coordinate(legend + 22), "\" role=\"img\"><title>", escaped(picture.title), "</title><desc>",
                 escaped(picture.words), "</desc>\n", bars, "</svg></div></figure>\n");
}

}  // namespace interlock
