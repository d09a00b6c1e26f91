#pragma once
// Any optimizer, with a running average of what it updates.

#include <memory>

#include "runtime/optimization/optimizer.h"

namespace interlock {

// average = decay * average + (1 - decay) * value after every update, beginning with the values attached. One more
// tensor of state, "average".
std::unique_ptr<Optimizer> averaged(std::unique_ptr<Optimizer> inner, double decay);

}  // namespace interlock
