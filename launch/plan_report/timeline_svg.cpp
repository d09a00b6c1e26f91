// The SVG picture of a timeline.

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "launch/page/markup.h"
#include "launch/plan_report/timeline.h"
#include "launch/plan_report/timeline_bars.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

// Pixels.
constexpr double plot_width = 1120, right_margin = 30, top_margin = 54, row_height = 30, row_gap = 8;
constexpr double axis_height = 46, legend_height = 34, character_width = 7.2;
constexpr double least_width = 0.7;  // of a bar that can be seen
constexpr const char* lump_colour = "#999999";
constexpr size_t most_titled_bars = 20000;  // more of them make a file that viewers are slow to open
constexpr size_t most_named_stages = 6;     // of one rank, in its label

// Okabe and Ito's palette, with a hatching of its own for each kind.
struct Look {
  Kind kind;
  const char* letter;
  const char* meaning;
  const char* colour;
  const char* hatch;  // drawn on a 8 x 8 tile
};
constexpr std::array<Look, 6> looks{{
    {Kind::forward, "F", "forward", "#56B4E9", ""},
    {Kind::loss, "L", "head and loss", "#F0E442", "M4 3.2V4.8"},
    {Kind::input_gradient, "I", "input gradient", "#0072B2", "M0 8L8 0M-1 1L1 -1M7 9L9 7"},
    {Kind::weight_gradient, "W", "weight gradient", "#009E73", "M0 0L8 8M-1 7L1 9M7 -1L9 1"},
    {Kind::backward, "B", "backward (both)", "#E69F00", "M0 4H8"},
    {Kind::update, "U", "update", "#CC79A7", "M0 4H8M4 0V8"},
}};

const Look& look_of(Kind kind) {
  const auto found = std::find_if(looks.begin(), looks.end(), [&](const Look& look) { return look.kind == kind; });
  return found == looks.end() ? looks.front() : *found;
}

std::string number(double value) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(2) << value;
  std::string text = out.str();
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string text_at(double x, double y, const std::string& anchor, const std::string& text,
                    const std::string& more = "") {
  return message("<text x=\"", number(x), "\" y=\"", number(y), "\" text-anchor=\"", anchor, "\"", more, ">",
                 escaped(text), "</text>\n");
}

// A distance of ticks from 1, 2, 5 times a power of ten that gives at most ten of them.
double tick_distance(double length) {
  const double rough = length / 10, power = std::pow(10, std::floor(std::log10(rough)));
  for (const double step : {1.0, 2.0, 5.0})
    if (step * power >= rough * (1 - 1e-9)) return step * power;
  return 10 * power;
}

class Picture {
 public:
  Picture(const Plan& plan, const Simulation& simulation, const TimeUnit& unit)
      : plan_(plan), bars_(bars_of(plan, simulation)), unit_(unit) {
    size_t bars = 0, longest = 0;
    for (size_t rank = 0; rank < bars_.ranks.size(); ++rank) {
      bars += bars_.ranks[rank].size();
      longest = std::max(longest, row_label(rank).size());
    }
    left_ = 30 + character_width * static_cast<double>(longest);
    titled_ = bars <= most_titled_bars;
    scale_ = bars_.end > 0 ? plot_width / bars_.end : 0;
    bottom_ = top_margin + static_cast<double>(bars_.ranks.size()) * (row_height + row_gap);
  }

  std::string svg(const std::string& title) const {
    const double width = left_ + plot_width + right_margin, height = bottom_ + axis_height + legend_height;
    std::string out =
        message("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", number(width), "\" height=\"", number(height),
                "\" viewBox=\"0 0 ", number(width), " ", number(height),
                "\" font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"12\">\n<title>",
                escaped(title), "</title>\n", patterns(), "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
    out += text_at(left_, 30, "start", title, " font-size=\"15\" font-weight=\"bold\"");
    out += axis();
    for (size_t rank = 0; rank < bars_.ranks.size(); ++rank) out += row(rank);
    return out + legend() + "</svg>\n";
  }

 private:
  std::string row_label(size_t rank) const {
    const std::string label = message("rank ", rank);
    if (plan_.shape.placement.is_one_each()) return label;
    const auto stages = plan_.shape.stages_of(static_cast<int>(rank));
    if (stages.size() == 1) return message(label, " (stage ", stages.front(), ")");
    const bool in_a_row = stages.back() - stages.front() + 1 == static_cast<int>(stages.size());
    if (stages.size() > 2 && in_a_row) return message(label, " (stages ", stages.front(), "..", stages.back(), ")");
    std::string list;
    for (size_t i = 0; i < std::min(most_named_stages, stages.size()); ++i)
      list += message(i > 0 ? "," : "", stages[i]);
    return message(label, " (stages ", list, stages.size() > most_named_stages ? ",..." : "", ")");
  }
  double x_of(double time) const { return left_ + time * scale_; }
  double y_of(size_t rank) const { return top_margin + static_cast<double>(rank) * (row_height + row_gap); }

  std::string patterns() const {
    std::string out = "<defs>\n";
    for (const Look& look : looks)
      out +=
          message("<pattern id=\"", look.letter,
                  "\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\"><rect width=\"8\" height=\"8\" fill=\"",
                  look.colour, "\"/><path d=\"", look.hatch, "\" stroke=\"black\" stroke-width=\"",
                  look.kind == Kind::loss ? 1.6 : 0.8, "\" stroke-opacity=\"0.55\"/></pattern>\n");
    return out + "</defs>\n";
  }

  std::string axis() const {
    std::string out;
    const double length = bars_.end * unit_.per_cost;
    if (length <= 0) return out;
    const double distance = tick_distance(length);
    for (double tick = 0; tick <= length * (1 + 1e-9); tick += distance) {
      const double x = left_ + tick / length * plot_width;
      out += message("<line x1=\"", number(x), "\" x2=\"", number(x), "\" y1=\"", number(top_margin - 6), "\" y2=\"",
                     number(bottom_ + 2), "\" stroke=\"#BBBBBB\" stroke-width=\"0.7\"/>\n");
      std::ostringstream label;
      label << tick;
      out += text_at(x, bottom_ + 16, "middle", label.str());
    }
    return out + text_at(left_ + plot_width / 2, bottom_ + 34, "middle", "time in " + unit_.name + " (simulated)");
  }

  std::string row(size_t rank) const {
    const double y = y_of(rank);
    std::string out = text_at(left_ - 10, y + row_height / 2 + 4, "end", row_label(rank));
    const auto& bars = bars_.ranks[rank];
    for (size_t first = 0; first < bars.size();) {
      const size_t end = end_of_lump(bars, first);
      out += end == first + 1 ? bar_box(bars[first], y) : lump_box(bars[first].begin, bars[end - 1].end, y);
      first = end;
    }
    return out;
  }

  // Bars too narrow to be seen are drawn as one as long as they follow each other closely.
  size_t end_of_lump(const std::vector<Bar>& bars, size_t first) const {
    const auto narrow = [&](const Bar& bar) { return (bar.end - bar.begin) * scale_ < least_width; };
    size_t end = first + 1;
    while (end < bars.size() && narrow(bars[first]) && narrow(bars[end]) &&
           (bars[end].begin - bars[end - 1].end) * scale_ < least_width)
      ++end;
    return end;
  }

  std::string rect(double begin, double end, double y, const std::string& more) const {
    return message("<rect x=\"", number(begin), "\" y=\"", number(y), "\" width=\"",
                   number(std::max(end - begin, least_width)), "\" height=\"", row_height, "\" ", more);
  }

  std::string lump_box(double begin, double end, double y) const {
    return rect(x_of(begin), x_of(end), y, message("fill=\"", lump_colour, "\"/>\n"));
  }

  std::string bar_box(const Bar& bar, double y) const {
    const double begin = x_of(bar.begin), end = x_of(bar.end);
    std::string look = message("fill=\"url(#", look_of(bar.action.kind).letter, ")\"");
    if (bar.step % 2) look += " fill-opacity=\"0.45\"";
    if (end - begin > 3) look += " stroke=\"black\" stroke-width=\"0.6\"";
    if (!titled_) return rect(begin, end, y, look + "/>\n") + label(bar, begin, end, y);
    const std::string title = message(text_of(bar.action, plan_.flows), ", step ", bar.step + 1, ", from ",
                                      unit_.text(bar.begin), " to ", unit_.text(bar.end));
    return rect(begin, end, y, look + "><title>" + escaped(title) + "</title></rect>\n") + label(bar, begin, end, y);
  }

  std::string label(const Bar& bar, double begin, double end, double y) const {
    for (const std::string& text : labels_of(plan_, bar.action)) {
      if (character_width * static_cast<double>(text.size()) > end - begin - 3) continue;
      // A white rim keeps the letters readable on every colour and hatching.
      return text_at((begin + end) / 2, y + row_height / 2 + 4, "middle", text,
                     " stroke=\"white\" stroke-width=\"2.6\" stroke-linejoin=\"round\" paint-order=\"stroke\"");
    }
    return "";
  }

  std::string legend() const {
    std::array<bool, num_kinds> present{};
    bool later_steps = false;
    bool lumps = false;
    for (const auto& rank : bars_.ranks)
      for (size_t first = 0, end; first < rank.size(); first = end) {
        end = end_of_lump(rank, first);
        lumps = lumps || end > first + 1;
        if (end > first + 1) continue;
        present[static_cast<size_t>(rank[first].action.kind)] = true;
        later_steps = later_steps || rank[first].step % 2;
      }
    std::string out;
    double x = left_;
    const double y = bottom_ + axis_height;
    const auto entry = [&](const std::string& fill, const std::string& text) {
      out += message("<rect x=\"", number(x), "\" y=\"", number(y), "\" width=\"22\" height=\"16\" ", fill,
                     " stroke=\"black\" stroke-width=\"0.6\"/>\n");
      out += text_at(x + 28, y + 12.5, "start", text);
      x += 28 + character_width * static_cast<double>(text.size()) + 18;
    };
    for (const Look& look : looks)
      if (present[static_cast<size_t>(look.kind)])
        entry(message("fill=\"url(#", look.letter, ")\""), message(look.letter, " ", look.meaning));
    if (lumps) entry(message("fill=\"", lump_colour, "\""), "many short actions");
    entry("fill=\"white\"", "idle");
    if (later_steps) entry("fill=\"#56B4E9\" fill-opacity=\"0.45\"", "pale: every second step");
    return out;
  }

  const Plan& plan_;
  Bars bars_;
  TimeUnit unit_;
  double left_ = 0, scale_ = 0, bottom_ = 0;
  bool titled_ = true;
};

}  // namespace

std::string timeline_svg(const Plan& plan, const Simulation& simulation, const TimeUnit& unit,
                         const std::string& title) {
  return Picture(plan, simulation, unit).svg(title);
}

}  // namespace interlock
