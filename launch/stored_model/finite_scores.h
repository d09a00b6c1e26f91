#pragma once

#include <ATen/core/Tensor.h>

#include "runtime/storage/weights_set.h"

namespace interlock {

// Error(bad_input) names `weights` where a score is no number or infinite: nothing may be read out of such scores, of
// which one class is as likely as another.
void require_finite(const at::Tensor& scores, const WeightsSet& weights);

}  // namespace interlock
