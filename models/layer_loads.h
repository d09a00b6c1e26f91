#pragma once
// A model whose layers are left out now and then while it trains: its costs are those that are to be expected.

#include <functional>
#include <memory>

#include "models/model.h"

namespace interlock {

// `model` with the operations of every layer times `share(layer)`, in 0..1: how often it runs. What it needs of memory
// stays, since some microbatches run every layer. `model` itself where all shares are 1.
std::shared_ptr<Model> with_layer_loads(std::shared_ptr<Model> model,
                                        const std::function<double(int64_t layer)>& share);

// How many layers a model has, of those that have a number (Model::layer_of).
int64_t layers_of(const Model& model);

}  // namespace interlock
