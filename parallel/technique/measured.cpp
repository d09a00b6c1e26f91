#include "parallel/technique/measured.h"

#include <ATen/ops/matmul.h>

namespace interlock {

at::Tensor squared_norm(const at::Tensor& tensor) { return tensor.detach().to(at::kDouble).square().sum(); }

// |a b|^2 = sum of (a' a) * (b b').
at::Tensor squared_norm_of_product(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor left = a.detach().to(at::kDouble), right = b.detach().to(at::kDouble);
  return at::matmul(left.t(), left).mul(at::matmul(right, right.t())).sum();
}

}  // namespace interlock
