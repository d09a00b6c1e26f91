#include "models/blocks/cached_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>

#include <limits>

namespace interlock {

at::Tensor cached_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t heads,
                            uint64_t layer, KeyValueCache& cache) {
  const int64_t samples = query.size(0), fresh = query.size(1), width = query.size(2);
  auto& [keys, values] = cache.layers[layer];
  if (!keys.defined()) {
    keys = at::zeros({samples, cache.capacity, width}, query.options());
    values = at::zeros({samples, cache.capacity, width}, query.options());
  }
  const at::Tensor places = cache.positions.unsqueeze(2).expand({samples, fresh, width});
  keys.scatter_(1, places, key);
  values.scatter_(1, places, value);
  const int64_t filled = cache.filled;
  const auto by_heads = [&](const at::Tensor& x) {
    return x.view({samples, x.size(1), heads, width / heads}).transpose(1, 2);
  };
  const at::Tensor behind =
      at::arange(filled, cache.positions.options()).view({1, 1, filled}).gt(cache.positions.unsqueeze(2));
  at::Tensor mask = at::zeros({samples, 1, fresh, filled}, query.options());
  mask.masked_fill_(behind.unsqueeze(1), -std::numeric_limits<double>::infinity());
  const at::Tensor mixed =
      at::scaled_dot_product_attention(by_heads(query), by_heads(keys.narrow(1, 0, filled).contiguous()),
                                       by_heads(values.narrow(1, 0, filled).contiguous()), mask);
  return mixed.transpose(1, 2).reshape({samples, fresh, width});
}

}  // namespace interlock
