#pragma once
// The parts that a config names, and whether they make a run together.

#include <memory>
#include <vector>

#include "launch/settings/run_settings.h"

namespace interlock {

class Model;

// Lets every part ask for its keys, then refuses what nobody asked for.
void check_settings(const RunSettings& settings);
std::shared_ptr<Dataset> make_dataset(const RunSettings& settings);  // not opened yet
std::shared_ptr<Model> make_model(const RunSettings& settings, const Dataset& dataset);
std::vector<int> make_partition(const RunSettings& settings, const Model& model);  // units per stage

}  // namespace interlock
