#include "launch/run/start_techniques.h"

#include <algorithm>

#include "launch/settings/parts.h"
#include "models/model.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

std::optional<RunSettings> settings_of_weights(const WeightsSet& weights) {
  const auto config = weights.metadata().find("interlock.config");
  if (config == weights.metadata().end()) return std::nullopt;
  try {
    return read_settings(Config::from_text(config->second));
  } catch (const Error&) {
    return std::nullopt;  // of a program that knew other keys: whoever needs it says so
  }
}

// What mixout keeps is where its own training started: the model does without.
bool is_computed_with(const std::string& inserted) { return inserted.find(".mixout.") == std::string::npos; }

}  // namespace

void check_start_techniques(const RunSettings& settings, const Dataset& dataset, const WeightsSet& weights) {
  const auto before = settings_of_weights(weights);
  if (!before || before->techniques.empty()) return;
  // The network of this run with the techniques of that one: what it adds has their names.
  RunSettings both = settings;
  both.techniques = before->techniques;
  const std::shared_ptr<Model> here = make_model(settings, dataset), there = equipped(both, here);
  for (const TensorEntry& tensor : weights.tensors()) {
    if (!there->is_inserted(tensor.name) || here->is_inserted(tensor.name) || !is_computed_with(tensor.name)) continue;
    std::vector<std::string> names;
    for (const auto& technique : before->techniques) names.push_back(technique->name());
    throw Error(ExitCode::config,
                message("run.weights: ", weights.path(), " was trained with techniques (", join(names), ") that added ",
                        tensor.name, " and more to the model, and this run has none that takes them up: without them ",
                        "it would be another model. Write the [[technique]] tables of that run as well, or start from ",
                        "what `interlock export` makes of it, where LoRA is merged"));
  }
}

}  // namespace interlock
