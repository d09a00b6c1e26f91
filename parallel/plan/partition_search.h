#pragma once
// The search for a cut: the one that makes the largest stage as small as can be, then the most even such cut (smallest
// sum of squares), then the one that cuts earliest. Two dynamic programs over the units: the first finds the bound, the
// second keeps to it.
//
// What a stage works may depend on which stages below it train. `Work` keeps that as a state, numbered per stage:
//   int states(stage)                        how many there are when `stage` begins
//   bool begins(stage, state, begin)         whether it may begin so with this unit; only then the others are asked
//   double of(stage, state, begin, end)      work of units [begin, end) as that stage
//   int next(stage, state, begin, end)       the state in which the stage above begins

#include <algorithm>
#include <limits>
#include <vector>

namespace interlock {

template <class Work>
class PartitionSearch {
 public:
  PartitionSearch(const Work& work, int units, int stages) : work_(work), units_(units), stages_(stages) {}

  // Units per stage. 1 <= stages <= units.
  std::vector<int> cut() {
    // Rounding of sums must not make one of two equal stages look larger than the bound.
    const double bound = best([](double rest, double stage) { return std::max(rest, stage); }, infinite) * (1 + 1e-12);
    best([](double rest, double stage) { return rest + stage * stage; }, bound);
    std::vector<int> counts;
    for (int stage = 0, state = 0, begin = 0; stage < stages_; ++stage) {
      const int end = end_[stage][state][begin];
      counts.push_back(end - begin);
      state = stage + 1 < stages_ ? work_.next(stage, state, begin, end) : 0;
      begin = end;
    }
    return counts;
  }

 private:
  static constexpr double infinite = std::numeric_limits<double>::infinity();

  // The best value of all stages; end_ remembers, by stage, state and first unit, where the stage ends.
  template <class Join>
  double best(Join join, double bound) {
    end_.assign(stages_, {});
    std::vector<std::vector<double>> later(1, std::vector<double>(units_ + 1, infinite)), now;
    later[0][units_] = 0;
    for (int stage = stages_ - 1; stage >= 0; --stage) {
      const int above = stages_ - stage - 1, states = work_.states(stage);  // each stage above takes a unit at least
      now.assign(states, std::vector<double>(units_ + 1, infinite));
      end_[stage].assign(states, std::vector<int>(units_ + 1, -1));
      for (int state = 0; state < states; ++state) {
        for (int begin = stage; begin < units_ - above; ++begin) {
          if (!work_.begins(stage, state, begin)) continue;
          double& value = now[state][begin];
          for (int end = begin + 1; end <= units_ - above; ++end) {
            const double own = work_.of(stage, state, begin, end);
            if (own > bound || join(0.0, own) >= value) continue;  // a longer one may be better: its head may cost less
            const double rest = later[above > 0 ? work_.next(stage, state, begin, end) : 0][end];
            if (rest == infinite || join(rest, own) >= value) continue;
            value = join(rest, own);
            end_[stage][state][begin] = end;
          }
        }
      }
      later.swap(now);
    }
    return later[0][0];
  }

  const Work& work_;
  const int units_, stages_;
  std::vector<std::vector<std::vector<int>>> end_;
};

}  // namespace interlock
