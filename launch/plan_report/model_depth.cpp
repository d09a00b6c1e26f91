#include "launch/plan_report/model_depth.h"

#include <algorithm>
#include <vector>

#include "runtime/core/error.h"

namespace interlock {

DepthAdvice advise_depth_of(const Model& model, const std::string& name, int64_t samples) {
  const std::vector<InsertionSite> sites = model.sites();
  if (std::ranges::find(sites, InsertionSite::Kind::sub_layer, &InsertionSite::kind) == sites.end())
    throw Error(ExitCode::config, message("--advise-depth: the model ", name, " is no Transformer"));
  const int64_t layers = model.layer_of(model.units() - 1).value() + 1;
  const std::vector<Costs> units = model.unit_costs(samples);
  int64_t of_layer = 0;
  for (int64_t unit = 0; unit < model.units(); ++unit)
    if (model.layer_of(unit) == layers - 1) of_layer += units[static_cast<size_t>(unit)].parameters;
  const Boundary hidden = model.boundary(1);
  double bytes = static_cast<double>(samples) * static_cast<double>(c10::elementSize(hidden.type));
  for (const int64_t extent : hidden.shape) bytes *= static_cast<double>(extent);
  return advise_depth(static_cast<double>(of_layer * layers), layers, hidden.shape.back(), bytes);
}

}  // namespace interlock
