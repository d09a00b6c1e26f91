#pragma once
// The parts that a config names, and whether they make a run together.

#include <memory>
#include <vector>

#include "launch/settings/run_settings.h"

namespace interlock {

class Model;
class Optimizer;

// Lets every part ask for its keys, then refuses what nobody asked for.
void check_settings(const RunSettings& settings);
// What `run.keep_best` may be, beside "none": the scores that evaluations tell of what is predicted.
std::vector<std::string> scores_of(Objective objective);
std::unique_ptr<Optimizer> make_optimizer(const RunSettings& settings);
std::shared_ptr<Dataset> make_dataset(const RunSettings& settings);  // not opened yet
std::shared_ptr<Model> make_model(const RunSettings& settings, const Dataset& dataset);
// `model`, made without techniques, with what those of the settings insert: for whoever reads weights and trains
// nothing.
std::shared_ptr<Model> equipped(const RunSettings& settings, std::shared_ptr<Model> model);
// Whether a run of `settings` trains any of these parameters of the readout.
bool trains_readout(const RunSettings& settings, const Model& model, const std::vector<std::string>& names);
std::vector<int> make_partition(const RunSettings& settings, const Model& model);  // units per stage

}  // namespace interlock
