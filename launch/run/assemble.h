#pragma once
// Builds the stages of a run.

#include <memory>
#include <vector>

#include "launch/settings/run_settings.h"

namespace interlock {

class Model;
class Stage;
class WeightsSet;

// A stage with its body, its optimizers, and a head where `with_head` says so (the last stage always has the readout).
// `weights` fill it where there are some; `replica` says which share of a shared-out optimizer state it keeps.
std::unique_ptr<Stage> make_stage(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                                  int index, bool with_head, const WeightsSet* weights = nullptr, int replica = 0);

}  // namespace interlock
