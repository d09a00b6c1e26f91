#pragma once
// What both pictures of a timeline are drawn from: the bars of each rank in order of time.

#include <string>
#include <vector>

#include "parallel/plan/plan.h"
#include "parallel/plan/simulate.h"

namespace interlock {

struct Bar {
  Action action;
  int step = 0;
  double begin = 0, end = 0;
};

struct Bars {
  std::vector<std::vector<Bar>> ranks;  // by begin; bars that take no time are left out
  double end = 0;                       // of the last bar
};
Bars bars_of(const Plan& plan, const Simulation& simulation);

// The labels a bar may carry, the longest first: "2F3" (where ranks and stages are not one each), "F3", "F".
std::vector<std::string> labels_of(const Plan& plan, const Action& action);

}  // namespace interlock
