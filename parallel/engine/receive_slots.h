#pragma once
// Memory of a device that messages are received into: a few places per lane, which are used again and again, so that
// kernels see the same addresses step after step. Internal to engine/*.cpp.

#include <ATen/core/Tensor.h>

#include <map>
#include <vector>

#include "parallel/transport/message.h"

namespace interlock {

class ReceiveSlots {
 public:
  // The first place of the lane that nobody holds any more, or a new one. Whoever used it before is done once the
  // compute stream gets here.
  at::Tensor take(const Lane& lane, at::IntArrayRef shape, at::ScalarType type, at::Device device);

 private:
  std::map<Lane, std::vector<at::Tensor>> slots_;
};

}  // namespace interlock
