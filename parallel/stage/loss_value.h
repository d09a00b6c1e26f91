#pragma once
// A loss as it is added up: the sum over predicted targets and how many there were. Divided only at the end.

#include <cstdint>

namespace interlock {

struct LossValue {
  double sum = 0;
  int64_t count = 0;
};

}  // namespace interlock
