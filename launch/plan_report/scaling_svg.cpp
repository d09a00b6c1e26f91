// The picture of a sweep.
#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "launch/page/markup.h"
#include "launch/plan_report/scaling_report.h"

namespace interlock {
namespace {

// Pixels.
constexpr double least_distance = 34;  // of two numbers below the axis
constexpr double plot_width = 520, plot_height = 220, left = 62, top = 64, gap = 74, legend_line = 20;
// Okabe and Ito's palette, and a dash for print and for colour-blind eyes.
struct Look {
  const char *colour, *dash;
};
constexpr std::array<Look, 6> looks{{{"#0072B2", ""},
                                     {"#D55E00", "7 3"},
                                     {"#009E73", "2 3"},
                                     {"#CC79A7", "9 3 2 3"},
                                     {"#E69F00", "4 2"},
                                     {"#56B4E9", "1 2"}}};

struct Axis {
  double first, last;  // ranks
  double x(double ranks) const {
    const double span = std::log2(last / first);
    return left + plot_width * (span > 0 ? std::log2(ranks / first) / span : 0.5);
  }
};

class Picture {
 public:
  explicit Picture(const ScalingReport& report) : report_(report) {
    for (const ScalingPoint& point : report.points) {
      if (std::ranges::find(rules_, point.rule) == rules_.end()) rules_.push_back(point.rule);
      if (!point.why_not.empty()) continue;
      axis_.first = std::min<double>(axis_.first, point.ranks);
      axis_.last = std::max<double>(axis_.last, point.ranks);
    }
  }

  std::string draw(const std::string& title) {
    const double height = top + 2 * (plot_height + gap) + legend_line * static_cast<double>(rules_.size());
    out_ << std::fixed << std::setprecision(1);
    out_ << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << left + plot_width + 30 << " " << height
         << "\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"" << escaped(title) << "\">\n"
         << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
    text(left, 24, escaped(title), "font-size=\"15\" font-weight=\"bold\"");
    panel(Scaling::weak, top, "weak: every rank keeps its microbatches");
    panel(Scaling::strong, top + plot_height + gap, "strong: the batch stays");
    legend(top + 2 * (plot_height + gap) - 10);
    out_ << "</svg>\n";
    return out_.str();
  }

 private:
  void text(double x, double y, const std::string& what, const std::string& how = "") {
    out_ << "<text x=\"" << x << "\" y=\"" << y << "\" " << how << ">" << what << "</text>\n";
  }
  void panel(Scaling scaling, double begin, const std::string& name) {
    text(left, begin - 10, "efficiency, " + name);
    const auto y = [&](double efficiency) { return begin + plot_height * (1 - std::min(efficiency, most) / most); };
    for (double share = 0; share <= most + 1e-9; share += 0.25) {
      out_ << "<path d=\"M" << left << " " << y(share) << "h" << plot_width << "\" stroke=\"#ddd\"/>\n";
      text(left - 8, y(share) + 4, std::to_string(static_cast<int>(std::lround(100 * share))) + " %",
           "text-anchor=\"end\"");
    }
    int last = 0;
    double written_until = 0;  // numbers that would touch the one before are left out
    for (const ScalingPoint& point : report_.points) {
      if (point.scaling != scaling || point.ranks <= last || !point.why_not.empty()) continue;
      last = point.ranks;
      if (axis_.x(last) < written_until) continue;
      written_until = axis_.x(last) + least_distance;
      text(axis_.x(last), begin + plot_height + 18, std::to_string(last), "text-anchor=\"middle\"");
    }
    text(left + plot_width, begin + plot_height + 36, "ranks", "text-anchor=\"end\"");
    for (size_t i = 0; i < rules_.size(); ++i) {
      const Look& look = looks[i % looks.size()];
      std::ostringstream path;
      path << std::fixed << std::setprecision(1);
      for (const ScalingPoint& point : report_.points)
        if (point.scaling == scaling && point.rule == rules_[i] && point.why_not.empty())
          path << (path.tellp() == 0 ? "M" : "L") << axis_.x(point.ranks) << " " << y(point.efficiency);
      out_ << "<path d=\"" << path.str() << "\" fill=\"none\" stroke=\"" << look.colour
           << "\" stroke-width=\"2\" stroke-dasharray=\"" << look.dash << "\"/>\n";
    }
  }
  void legend(double begin) {
    for (size_t i = 0; i < rules_.size(); ++i) {
      const Look& look = looks[i % looks.size()];
      const double y = begin + legend_line * static_cast<double>(i);
      out_ << "<path d=\"M" << left << " " << y - 4 << "h36\" stroke=\"" << look.colour
           << "\" stroke-width=\"2\" stroke-dasharray=\"" << look.dash << "\"/>\n";
      text(left + 46, y, escaped(rules_[i]));
    }
  }

  static constexpr double most = 1.25;  // efficiency at the top
  const ScalingReport& report_;
  std::vector<std::string> rules_;
  Axis axis_{1e9, 1};
  std::ostringstream out_;
};

}  // namespace

std::string scaling_svg(const ScalingReport& report, const std::string& title) { return Picture(report).draw(title); }

}  // namespace interlock
