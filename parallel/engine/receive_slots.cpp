#include "parallel/engine/receive_slots.h"

#include <ATen/ops/empty.h>

namespace interlock {

at::Tensor ReceiveSlots::take(const Lane& lane, at::IntArrayRef shape, at::ScalarType type, at::Device device) {
  std::vector<at::Tensor>& slots = slots_[lane];
  // A batch of another size, as evaluations have, leaves its places to those that come after it.
  std::erase_if(slots, [&](const at::Tensor& slot) {
    return (slot.sizes() != shape || slot.scalar_type() != type) && slot.storage().use_count() == 1;
  });
  for (const at::Tensor& slot : slots)
    if (slot.sizes() == shape && slot.storage().use_count() == 1) return slot.detach();
  slots.push_back(at::empty(shape, at::TensorOptions().dtype(type).device(device)));
  return slots.back().detach();  // what a stage marks for autograd is not the place itself
}

}  // namespace interlock
