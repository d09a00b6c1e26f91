#include "launch/comparison/trained_model.h"

#include "launch/folders/run_folder.h"
#include "launch/run/load_weights.h"
#include "launch/settings/parts.h"
#include "launch/settings/plans.h"
#include "runtime/storage/tensors/tensor_entry.h"
#include "runtime/storage/weights_set.h"

namespace interlock {

TrainedModel load_trained_model(const RunSettings& settings, const Dataset& dataset, const std::string& folder) {
  const auto weights = WeightsSet::open(weights_file(folder));
  TrainedModel trained;
  trained.model = make_model(settings, dataset);
  const Model& model = *trained.model;
  const std::vector<bool> with_heads = stages_with_heads(settings, model);
  const auto tie = model.tie();
  int64_t below = 0;
  size_t stage = 0;
  for (const int units : make_partition(settings, model)) {
    TrainedModel::Slice slice;
    slice.body = model.body(below, below + units);
    load_weights(*slice.body, *weights);
    below += units;
    if (below == model.units()) {
      slice.head = model.readout();
      load_weights(*slice.head, *weights, tie, model.aliases());
    } else if (with_heads[stage]) {
      slice.head = model.head(settings.learning.head_kind, below);
      load_weights(*slice.head, *weights);
      for (const auto& [name, copy] : slice.head->readout_copies())
        if (const TensorEntry* entry = stored_weight(name, *weights, tie))
          at::Tensor(copy).copy_(tensor_view(*entry, weights->bytes(*entry), weights->path()));
    }
    trained.stages.push_back(std::move(slice));
    ++stage;
  }
  return trained;
}

}  // namespace interlock
