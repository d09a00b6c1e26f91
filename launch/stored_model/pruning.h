#pragma once
// A shallower model out of a deep one: which layers stay, and under which names.

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "launch/stored_model/model_source.h"

namespace interlock {

// Layers of the deep model that stay, ascending.
using KeptLayers = std::vector<int64_t>;

// As a person writes them: "0,2,4". Error(config) for what is no list of numbers, a layer that `layers` do not have,
// one that stands twice, and for none.
KeptLayers read_kept_layers(const std::string& text, int64_t layers);
// `wanted` of `layers`, evenly spread from layer 0 on: 0, 2, 4 of 6 where every other one stays (Fan et al., 2020).
KeptLayers every_other(int64_t layers, int64_t wanted);
// The first `wanted`.
KeptLayers without_the_last(int64_t wanted);
// Takes away one layer after another, each time the one without which the loss is lowest: layers (layers + 1) / 2 -
// wanted (wanted + 1) / 2 evaluations. `loss` is asked for the loss of the model with these layers alone.
KeptLayers search_layers(int64_t layers, int64_t wanted, const std::function<double(const KeptLayers&)>& loss);

// `model` with these layers alone; the same modules.
LoadedModel with_layers(const LoadedModel& model, const KeptLayers& kept);

struct Pruning {
  std::vector<std::pair<std::string, std::string>> tensors;  // name in the shallow model, name in the deep one
  std::vector<std::string> left_out_heads;                   // local heads that stood above a layer that goes
};
// Layers are numbered anew from 0, everything else keeps its name; a local head goes with the layer below it.
// Error(bad_input) when the weights lack a layer.
Pruning prune_tensors(const WeightsSet& weights, const KeptLayers& kept, int64_t layers);

// What the shallow model says about itself: model, data, objective and tokenizer as the deep one's config has them,
// with the new number of layers. What was asked of its training stays behind.
std::string pruned_config(const WeightsSet& weights, const KeptLayers& kept);

}  // namespace interlock
