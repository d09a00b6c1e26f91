#pragma once
// The timeline of a simulated plan for people: text blocks for a terminal, and an SVG picture for a page.

#include <string>

#include "parallel/plan/plan.h"
#include "parallel/plan/simulate.h"

namespace interlock {

// How simulated times are shown: 0.0123 s as "12.3 ms", unit costs as they are.
struct TimeUnit {
  double per_cost = 1;  // shown number = cost * per_cost
  std::string name = "units";
  // The unit of a second that gives `longest` a number from 1 to 1000 or so.
  static TimeUnit of_seconds(double longest);
  std::string text(double cost) const;  // "12.3 ms"
};

// One line per rank, time from left to right, at most `columns` wide: a block is its kind and microbatch ("F3--";
// "2F3-" where a rank holds several stages), '.' is idle; below them a line with the time. `simulation` has its
// timeline.
std::string timeline_text(const Plan& plan, const Simulation& simulation, const TimeUnit& unit, int columns = 100);

// A whole SVG file. Kinds differ by colour (Okabe and Ito's palette), by hatching and by letter, so that it reads in
// print and for colour-blind eyes. Later steps are paler.
std::string timeline_svg(const Plan& plan, const Simulation& simulation, const TimeUnit& unit,
                         const std::string& title);

}  // namespace interlock
