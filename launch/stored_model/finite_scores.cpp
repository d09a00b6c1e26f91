#include "launch/stored_model/finite_scores.h"

#include <ATen/ops/isfinite.h>

#include "runtime/core/error.h"

namespace interlock {

void require_finite(const at::Tensor& scores, const WeightsSet& weights) {
  if (at::isfinite(scores).all().item<bool>()) return;
  throw Error(ExitCode::bad_input, message(weights.path(),
                                           ": the model's scores are not finite numbers, so they tell nothing: its "
                                           "weights hold nan or infinity, or are far too large"));
}

}  // namespace interlock
