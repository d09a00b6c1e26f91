#pragma once
// A loss as it is added up: the sum over predicted targets and how many there were. Divided only at the end.

#include <cstdint>
#include <vector>

#include "runtime/observe/scores.h"

namespace interlock {

struct LossValue {
  double sum = 0;
  int64_t count = 0;
};

// What an evaluation says of a microbatch.
struct Evaluated {
  LossValue loss;
  std::vector<Guess> guesses;  // one per sample; none where targets are tokens
};

}  // namespace interlock
