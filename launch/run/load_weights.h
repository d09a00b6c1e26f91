#pragma once
// Weights from wherever they lie into modules, by global name.

#include <torch/nn/module.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/model.h"
#include "runtime/storage/weights_set.h"

namespace interlock {

// Fills every parameter and buffer of `module` from the tensor of its name; a tied readout's decoder from the table's,
// which may be the only one of the two that is stored. Error(bad_input) names the weights, the tensor, and what differs
// (missing, shape, type). Weights of one floating type load into parameters of another.
//
// `aliases` (Model::aliases) are second names of parameters. Hugging Face computes with the second name's values when a
// file holds both, so these are taken where they are there.
//
// Parameters that `may_be_absent` keep their start values where the weights lack them; returns which.
using MayBeAbsent = std::function<bool(const std::string& parameter)>;
std::vector<std::string> load_weights(torch::nn::Module& module, const WeightsSet& weights,
                                      const std::optional<Tie>& tie = std::nullopt,
                                      const std::vector<std::pair<std::string, std::string>>& aliases = {},
                                      const MayBeAbsent& may_be_absent = {});
// The parameters and buffers of `module` that the weights lack.
std::vector<std::string> missing_weights(const torch::nn::Module& module, const WeightsSet& weights,
                                         const std::optional<Tie>& tie = std::nullopt);

// Where the values of a parameter lie; nullptr when nowhere.
const TensorEntry* stored_weight(const std::string& parameter, const WeightsSet& weights, const std::optional<Tie>& tie,
                                 const std::vector<std::pair<std::string, std::string>>& aliases = {});

// For messages: [2, 3].
std::string shape_text(const std::vector<int64_t>& shape);
// For messages: the first names, and how many more there are.
std::string some_of(std::vector<std::string> names);

}  // namespace interlock
