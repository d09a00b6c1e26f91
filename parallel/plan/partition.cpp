#include "parallel/plan/partition.h"

#include <numeric>

#include "parallel/plan/partition_search.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

double work_of(const Costs& costs) {
  return costs.forward_flops + costs.input_gradient_flops + costs.weight_gradient_flops;
}

// Of every stage all three passes over its units, the readout counted to the last.
class Balanced {
 public:
  Balanced(const std::vector<Costs>& units, const Costs& readout, int stages)
      : last_(stages - 1), readout_(work_of(readout)), before_(1, 0.0) {
    for (const Costs& unit : units) before_.push_back(before_.back() + work_of(unit));
  }
  int states(int) const { return 1; }
  bool begins(int, int, int) const { return true; }
  double of(int stage, int, int begin, int end) const {
    return before_[end] - before_[begin] + (stage == last_ ? readout_ : 0.0);
  }
  int next(int, int, int, int) const { return 0; }

 private:
  const int last_;
  const double readout_;
  std::vector<double> before_;  // work of the units before each
};

}  // namespace

void check_stages(int stages, int units, const std::string& words) {
  if (stages >= 1 && stages <= units) return;
  throw Error(ExitCode::config, message("parallel.stages = ", stages, ", but the model has ", units, " ", words,
                                        " and every stage needs at least one: use 1 to ", units, " stages"));
}

std::vector<int> balanced_partition(const std::vector<Costs>& units, const Costs& readout, int stages,
                                    const std::string& words) {
  const int count = static_cast<int>(units.size());
  check_stages(stages, count, words);
  const Balanced work(units, readout, stages);
  return PartitionSearch(work, count, stages).cut();
}

void check_partition(const std::vector<int>& units_per_stage, int units, int stages, const std::string& words) {
  const auto refuse = [](const std::string& what) { throw Error(ExitCode::config, "parallel.partition " + what); };
  if (static_cast<int>(units_per_stage.size()) != stages) {
    refuse(message("has ", units_per_stage.size(), " entries, but parallel.stages = ", stages, ": give one per stage"));
  }
  for (int stage = 0; stage < stages; ++stage) {
    if (units_per_stage[stage] < 1 || units_per_stage[stage] > units) {
      refuse(
          message("gives stage ", stage, " ", units_per_stage[stage], " ", words, ": each stage takes 1 to ", units));
    }
  }
  const int64_t sum = std::accumulate(units_per_stage.begin(), units_per_stage.end(), int64_t{0});
  if (sum != units) refuse(message("adds up to ", sum, " ", words, ", but the model has ", units));
}

}  // namespace interlock
