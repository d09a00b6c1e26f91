#include "launch/forecast/stage_parts.h"

#include <algorithm>

#include "launch/settings/plans.h"
#include "models/model.h"
#include "runtime/core/error.h"

namespace interlock {

double parameter_bytes(const RunSettings& settings) { return settings.precision == Precision::float64 ? 8 : 4; }

namespace {

// Of the tensor that both ends share, which goes on learning in a body that does not.
int64_t shared_numbers(const Model& model, int stage) {
  const auto tie = model.tie();
  return tie && tie->trained && stage == 0 ? tie->numbers : 0;
}

}  // namespace

std::vector<StageParts> stage_parts(const RunSettings& settings, const Model& model,
                                    const std::vector<int>& partition) {
  const auto units = model.unit_costs(settings.parallel.batch.microbatch_size);
  const std::vector<bool> with_heads = stages_with_heads(settings, model), learns = stages_that_learn(settings, model);
  std::vector<StageParts> all(settings.parallel.shape.stages);
  auto unit = units.begin();
  int64_t below = 0;  // units up to the end of a stage
  for (int stage = 0; stage < settings.parallel.shape.stages; ++stage) {
    StageParts& parts = all[stage];
    below += partition[stage];
    for (int i = 0; i < partition[stage]; ++i, ++unit) {
      parts.units.push_back(*unit);
      parts.body += *unit;
    }
    if (!learns[stage]) parts.body.frozen = parts.body.parameters - shared_numbers(model, stage);
    parts.has_head = with_heads[stage];
    if (!parts.has_head) continue;
    const bool last = stage + 1 == settings.parallel.shape.stages;
    parts.head =
        last ? model.readout_costs(settings.parallel.batch.microbatch_size)
             : model.head_costs_above(settings.learning.head_kind, below, settings.parallel.batch.microbatch_size);
  }
  return all;
}

std::string nothing_learns(const RunSettings& settings, const std::vector<StageParts>& parts) {
  const auto learns = [](const StageParts& stage) { return stage.body.trained() + stage.head.trained() > 0; };
  if (settings.steps == 0 || std::ranges::any_of(parts, learns)) return "";
  return message("nothing would learn in the ", settings.steps,
                 " steps of this run: every parameter of every stage is frozen (learning.frozen, model.frozen, "
                 "[[technique]]). Leave something to train, or set run.steps = 0 to write the weights as they are");
}

}  // namespace interlock
