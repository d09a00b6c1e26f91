#pragma once
// The numbers of a tensor as a group of ranks takes them. Internal to engine/*.cpp.

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>

namespace interlock {

// act(span of the numbers, owner that keeps them alive) for a contiguous tensor of float or double.
template <class Act>
auto with_numbers(const at::Tensor& tensor, Act act) {
  const auto owner = std::make_shared<at::Tensor>(tensor);
  const auto count = static_cast<size_t>(tensor.numel());
  if (tensor.scalar_type() == at::kDouble) return act(std::span(tensor.data_ptr<double>(), count), owner);
  return act(std::span(tensor.data_ptr<float>(), count), owner);
}

}  // namespace interlock
