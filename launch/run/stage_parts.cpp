#include "launch/run/stage_parts.h"

#include <algorithm>

#include "models/model.h"

namespace interlock {

double parameter_bytes(const RunSettings& settings) { return settings.precision == Precision::float64 ? 8 : 4; }

std::vector<bool> stages_with_heads(const RunSettings& settings) {
  std::vector<bool> with(settings.shape.stages, false);
  with.back() = true;
  for (size_t i = 0; i < settings.rules.size(); ++i) {
    if (i > 0 && settings.rules[i].at_step > std::max<int64_t>(1, settings.steps)) continue;
    const Flows flows = derive_flows(plan_request(settings, i).rule, settings.heads);
    for (int stage = 0; stage < settings.shape.stages; ++stage)
      if (flows.stages[stage].has_loss) with[stage] = true;
  }
  return with;
}

std::vector<StageParts> stage_parts(const RunSettings& settings, const Model& model,
                                    const std::vector<int>& partition) {
  const auto blocks = model.block_costs(settings.microbatch_size);
  const std::vector<bool> with_heads = stages_with_heads(settings);
  std::vector<StageParts> all(settings.shape.stages);
  auto block = blocks.begin();
  for (int stage = 0; stage < settings.shape.stages; ++stage) {
    StageParts& parts = all[stage];
    for (int i = 0; i < partition[stage]; ++i, ++block) {
      parts.body += *block;
      parts.largest_segment.activation_bytes =
          std::max(parts.largest_segment.activation_bytes, block->activation_bytes);
    }
    parts.has_head = with_heads[stage];
    if (!parts.has_head) continue;
    const bool last = stage + 1 == settings.shape.stages;
    parts.head = last ? model.readout_costs(settings.microbatch_size)
                      : model.head_costs(settings.head_kind, settings.microbatch_size);
  }
  return all;
}

}  // namespace interlock
