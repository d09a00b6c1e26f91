#pragma once
// Builds the stages of a run, and says what passes between them.

#include <map>
#include <memory>
#include <vector>

#include "launch/settings/run_settings.h"
#include "models/model.h"
#include "parallel/technique/technique.h"

namespace interlock {

class Stage;
class WeightsSet;

// What becomes of the readout and the heads in weights that a stage starts from.
enum class StoredHeads {
  required,     // they are this run's own
  if_there,     // a readout, or a head, that the weights lack starts fresh
  passed_over,  // they tell other classes apart: ours start fresh
};

struct StageRequest {
  int index = 0;
  bool has_head = true;                 // of its own; the last stage always has the readout
  bool learns = true;                   // in some step; else its body is frozen
  int replica = 0;                      // which share of a shared-out optimizer state it owns
  const WeightsSet* weights = nullptr;  // to start from; null: from keyed start values
  StoredHeads heads = StoredHeads::required;
  at::Device device = at::kCPU;  // where its tensors live
};
std::unique_ptr<Stage> make_stage(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                                  const StageRequest& request);

// Of every layer that may be left out, which layers its stage holds.
std::map<int64_t, LayerPlace> places_of_layers(const Model& model, const std::vector<int>& partition);

// What passes from each stage to the next; as many as there are stages, less one.
std::vector<Boundary> make_boundaries(const Model& model, const std::vector<int>& partition);

}  // namespace interlock
