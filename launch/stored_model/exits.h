#pragma once
// The places where a stored model may be read: above its local heads, and above all layers.

#include <cstdint>
#include <string>
#include <vector>

#include "launch/stored_model/model_source.h"

namespace interlock {

struct Exit {
  int64_t layers = 0;  // below it
  LoadedModel model;   // the layers below, and the head (of the last: the model's own readout)
};

// By layers; the whole model last. Heads inside a block are passed over. Error(bad_input) when a head is not what the
// weights' config says; Error(config) when their heads do not predict what the model does.
std::vector<Exit> load_exits(const TextModel& source, const LoadedModel& whole);
// What is passed over, for a person: "heads.0_attention, heads.1_attention lie inside of blocks, ..."; "" when nothing
// is.
std::string passed_over(const WeightsSet& weights);

}  // namespace interlock
