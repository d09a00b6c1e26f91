#include "launch/run/assemble.h"

#include <numeric>

#include "launch/run/load_weights.h"
#include "models/model.h"
#include "parallel/stage/stage.h"
#include "runtime/core/log.h"
#include "runtime/optimization/optimizer.h"
#include "runtime/storage/tensors/tensor_entry.h"
#include "runtime/storage/weights_set.h"

namespace interlock {
namespace {

// A head above the same blocks is taken over from the file; one that the file lacks keeps its own start values.
void load_local_head(Head& head, const WeightsSet& weights, int stage) {
  const std::vector<std::string> missing = missing_weights(head, weights);
  if (missing.empty()) {
    load_weights(head, weights);
  } else {
    log_warning(message(weights.path(), " has no ", missing.front(), ": the head of stage ", stage, " starts fresh"));
  }
}

// What a head reads through is the readout of these weights.
void load_copies(Head& head, const WeightsSet& weights, const std::optional<Tie>& tie) {
  for (const auto& [name, copy] : head.readout_copies())
    if (const TensorEntry* entry = stored_weight(name, weights, tie))
      at::Tensor(copy).copy_(tensor_view(*entry, weights.bytes(*entry), weights.path()));
}

}  // namespace

std::unique_ptr<Stage> make_stage(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                                  int index, bool with_head, const WeightsSet* weights, int replica) {
  const int64_t begin = std::accumulate(partition.begin(), partition.begin() + index, int64_t{0});
  const int64_t end = begin + partition[index];
  const bool last = index + 1 == settings.parallel.shape.stages;
  Stage::Parts parts;
  parts.body = model.body(begin, end);
  parts.head_is_readout = last;
  parts.make_optimizer = [&settings] {
    return Optimizers::instance().create("optimizer", settings.optimizer_name, settings.config.section("optimizer"));
  };
  if (settings.parallel.shard_optimizer) parts.share = {replica, settings.parallel.shape.replicas};
  parts.recompute = settings.recompute;
  parts.tie = model.tie();
  if (last) {
    parts.head = model.readout();
  } else if (with_head) {
    parts.head = model.head(settings.learning.head_kind, end);
  }
  if (weights != nullptr) {
    load_weights(*parts.body, *weights);
    if (last) load_weights(*parts.head, *weights, parts.tie, model.aliases());
    if (!last && parts.head) {
      load_local_head(*parts.head, *weights, index);
      load_copies(*parts.head, *weights, parts.tie);
    }
  }
  return std::make_unique<Stage>(index, std::move(parts));
}

}  // namespace interlock
