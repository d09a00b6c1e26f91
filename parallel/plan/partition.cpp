// The cut that makes the slowest stage as fast as can be, then the most even such cut (smallest sum of squares), then
// the one that cuts earliest. Two dynamic programs over the blocks: the first finds the bound, the second keeps to it.

#include "parallel/plan/partition.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

double work_of(const Costs& costs) {
  return costs.forward_flops + costs.input_gradient_flops + costs.weight_gradient_flops;
}

class Cutter {
 public:
  Cutter(const std::vector<Costs>& blocks, const Costs& readout, int stages)
      : blocks_(static_cast<int>(blocks.size())), stages_(stages), readout_(work_of(readout)), before_(1, 0.0) {
    for (const Costs& block : blocks) before_.push_back(before_.back() + work_of(block));
  }

  std::vector<int> cut() {
    // Rounding of prefix sums must not make one of two equal stages look larger than the bound.
    const double bound = best([](double rest, double stage) { return std::max(rest, stage); }, infinite) * (1 + 1e-12);
    best([](double rest, double stage) { return rest + stage * stage; }, bound);
    std::vector<int> counts;
    for (int stage = 0, begin = 0; stage < stages_; ++stage) {
      const int end = end_[stage][begin];
      counts.push_back(end - begin);
      begin = end;
    }
    return counts;
  }

 private:
  double work(int stage, int begin, int end) const {
    return before_[end] - before_[begin] + (stage + 1 == stages_ ? readout_ : 0.0);
  }

  // best_[begin]: the best value of stages stage.. over blocks begin..; end_ remembers where the first of them ends.
  template <class Join>
  double best(Join join, double bound) {
    end_.assign(stages_, std::vector<int>(blocks_ + 1, -1));
    std::vector<double> later(blocks_ + 1, infinite);
    later[blocks_] = 0;
    for (int stage = stages_ - 1; stage >= 0; --stage) {
      std::vector<double> now(blocks_ + 1, infinite);
      for (int begin = stage; begin < blocks_; ++begin) {
        for (int end = begin + 1; end <= blocks_; ++end) {
          const double own = work(stage, begin, end);
          if (own > bound) break;
          if (later[end] == infinite) continue;
          const double value = join(later[end], own);
          if (value < now[begin]) {
            now[begin] = value;
            end_[stage][begin] = end;
          }
        }
      }
      later.swap(now);
    }
    return later[0];
  }

  const int blocks_, stages_;
  const double readout_;
  std::vector<double> before_;  // work of the blocks before each
  std::vector<std::vector<int>> end_;
};

}  // namespace

std::vector<int> balanced_partition(const std::vector<Costs>& blocks, const Costs& readout, int stages) {
  const int count = static_cast<int>(blocks.size());
  if (stages < 1 || stages > count) {
    throw Error(ExitCode::config, message("parallel.stages = ", stages, ", but the model has ", count,
                                          " blocks and every stage needs at least one: use 1 to ", count, " stages"));
  }
  return Cutter(blocks, readout, stages).cut();
}

void check_partition(const std::vector<int>& blocks_per_stage, int blocks, int stages) {
  const auto refuse = [](const std::string& what) { throw Error(ExitCode::config, "parallel.partition " + what); };
  if (static_cast<int>(blocks_per_stage.size()) != stages) {
    refuse(
        message("has ", blocks_per_stage.size(), " entries, but parallel.stages = ", stages, ": give one per stage"));
  }
  for (int stage = 0; stage < stages; ++stage) {
    if (blocks_per_stage[stage] < 1 || blocks_per_stage[stage] > blocks) {
      refuse(message("gives stage ", stage, " ", blocks_per_stage[stage], " blocks: each stage takes 1 to ", blocks));
    }
  }
  const int64_t sum = std::accumulate(blocks_per_stage.begin(), blocks_per_stage.end(), int64_t{0});
  if (sum != blocks) refuse(message("adds up to ", sum, " blocks, but the model has ", blocks));
}

}  // namespace interlock
