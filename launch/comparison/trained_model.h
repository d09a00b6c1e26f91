#pragma once
// The weights of a run as its stages: what one process needs to look at a trained model as a whole.

#include <memory>
#include <string>
#include <vector>

#include "launch/settings/run_settings.h"
#include "models/model.h"
#include "parallel/stage/loss_value.h"

namespace interlock {

struct TrainedModel {
  struct Slice {
    std::shared_ptr<Body> body;
    std::shared_ptr<Head> head;  // null: the run had none here; the last one's is the model's readout
  };
  std::shared_ptr<Model> model;
  std::vector<Slice> stages;
};

// As the run of `settings` cut it, with the weights in `folder`. A head that reads through a copy of the readout reads
// through the trained one.
TrainedModel load_trained_model(const RunSettings& settings, const Dataset& dataset, const std::string& folder);

}  // namespace interlock
