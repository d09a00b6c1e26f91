// Reads and checks a costs file.

#include "launch/plan_report/plan_costs.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/storage/json_file.h"

namespace interlock {
namespace {

using nlohmann::json;

class CostsFile {
 public:
  explicit CostsFile(std::string path) : path_(std::move(path)) {}

  SimulationCosts read(int stages) const {
    const json all = read_json(path_);
    if (!all.is_object()) refuse("is not a JSON object; a run writes costs.json into its folder");
    const auto list = all.find("stages");
    if (list == all.end() || !list->is_array()) refuse("has no list \"stages\"");
    if (list->size() != static_cast<size_t>(stages))
      refuse(message("has costs of ", list->size(), " stages, the plan has ", stages,
                     "; measure a run with the same stages"));
    SimulationCosts costs;
    costs.seconds_per_byte = cost(all, "seconds_per_byte", "", 0);
    costs.latency = cost(all, "latency", "", 0);
    costs.tied_bytes = cost(all, "tied_bytes", "", 0);
    for (size_t i = 0; i < list->size(); ++i)
      costs.stages.push_back(read_stage((*list)[i], message("stages[", i, "].")));
    return costs;
  }

 private:
  static constexpr double needed = -1;  // for fields without a default
  // Of bytes an exbibyte, of seconds the age of the universe: sums of a million of them are numbers still.
  static constexpr double most = 1e18;

  StageCosts read_stage(const json& entry, const std::string& where) const {
    if (!entry.is_object()) refuse(where.substr(0, where.size() - 1) + " is not an object");
    StageCosts stage;
    stage.forward = cost(entry, "forward", where, needed);
    stage.input_gradient = cost(entry, "input_gradient", where, needed);
    stage.weight_gradient = cost(entry, "weight_gradient", where, needed);
    stage.loss = cost(entry, "loss", where, 0);
    stage.update = cost(entry, "update", where, 0);
    stage.message_bytes = cost(entry, "message_bytes", where, 0);
    stage.activation_bytes = cost(entry, "activation_bytes", where, 0);
    stage.fixed_bytes = cost(entry, "fixed_bytes", where, 0);
    stage.working_bytes = cost(entry, "working_bytes", where, 0);
    stage.kept_working_bytes = cost(entry, "kept_working_bytes", where, stage.working_bytes);
    stage.loss_working_bytes = cost(entry, "loss_working_bytes", where, 0);
    stage.recorded_bytes = cost(entry, "recorded_bytes", where, 0);
    stage.released_bytes = cost(entry, "released_bytes", where, 0);
    stage.sum_bytes = cost(entry, "sum_bytes", where, 0);
    stage.head_sum_bytes = cost(entry, "head_sum_bytes", where, 0);
    stage.forward_working_bytes = cost(entry, "forward_working_bytes", where, 0);
    return stage;
  }

  double cost(const json& object, const std::string& key, const std::string& where, double fallback) const {
    const auto found = object.find(key);
    if (found == object.end()) {
      if (fallback == needed) refuse("has no " + where + key);
      return fallback;
    }
    if (!found->is_number()) refuse(message(where, key, " is not a number: ", found->dump()));
    const double value = found->get<double>();
    if (!std::isfinite(value) || value < 0 || value > most)
      refuse(message(where, key, " is ", value, "; a cost is a number from 0 to ", most));
    return value;
  }

  [[noreturn]] void refuse(const std::string& what) const { throw Error(ExitCode::bad_input, path_ + ": " + what); }

  std::string path_;
};

}  // namespace

SimulationCosts read_costs(const std::string& path, int stages) { return CostsFile(path).read(stages); }

void warn_of_other_sizes(const SimulationCosts& here, const std::string& file) {
  const SimulationCosts measured = read_costs(file, static_cast<int>(here.stages.size()));
  for (size_t stage = 0; stage < measured.stages.size(); ++stage) {
    const double theirs = measured.stages[stage].message_bytes, ours = here.stages[stage].message_bytes;
    if (theirs == 0 || theirs == ours) continue;  // 0: a file by hand may leave it out
    log_warning(message(file, ": stage ", stage, " was measured with messages of ", theirs / (1 << 20),
                        " MiB, here they have ", ours / (1 << 20),
                        ": the model, precision or microbatch was another one"));
    return;
  }
}

SimulationCosts with_times_of(SimulationCosts sizes, const SimulationCosts& measured) {
  for (size_t i = 0; i < sizes.stages.size(); ++i) {
    StageCosts& stage = sizes.stages[i];
    const StageCosts& timed = measured.stages[i];
    stage.forward = timed.forward;
    stage.input_gradient = timed.input_gradient;
    stage.weight_gradient = timed.weight_gradient;
    stage.loss = timed.loss;
    stage.update = timed.update;
  }
  sizes.seconds_per_byte = measured.seconds_per_byte;
  sizes.latency = measured.latency;
  return sizes;
}

SimulationCosts with_unit_times(SimulationCosts costs) {
  const StageCosts unit;
  for (StageCosts& stage : costs.stages) {
    stage.forward = unit.forward;
    stage.input_gradient = unit.input_gradient;
    stage.weight_gradient = unit.weight_gradient;
    stage.loss = 0;
    stage.update = 0;
  }
  costs.seconds_per_byte = 0;
  costs.latency = 0;
  costs.tied_bytes = 0;
  return costs;
}

}  // namespace interlock
