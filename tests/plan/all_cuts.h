#pragma once
// Every way to cut units into stages, for comparison with the one that a search finds.

#include <vector>

namespace interlock {

using Cut = std::vector<int>;

// Calls visit(cut) for every cut of `units` into `stages`, each of at least one.
void visit_cuts(int units, int stages, const auto& visit, Cut cut = {}) {
  if (stages == 1) {
    cut.push_back(units);
    visit(cut);
    return;
  }
  for (int first = 1; first <= units - stages + 1; ++first) {
    Cut longer = cut;
    longer.push_back(first);
    visit_cuts(units - first, stages - 1, visit, longer);
  }
}

}  // namespace interlock
