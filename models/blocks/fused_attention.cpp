// Owns the seeding of LibTorch's fused attention, and its place in the graph.
#include "models/blocks/fused_attention.h"

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <ATen/ops/_scaled_dot_product_flash_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <mutex>
#include <tuple>

namespace interlock {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor by_heads(const at::Tensor& x, int64_t heads) {
  return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}
at::Tensor together(const at::Tensor& x) {
  return x.transpose(1, 2).reshape({x.size(0), x.size(2), x.size(1) * x.size(3)});
}

struct FusedAttention : torch::autograd::Function<FusedAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, int64_t heads, bool causal, double rate, uint64_t seed) {
    const at::Tensor q = by_heads(query, heads), k = by_heads(key, heads), v = by_heads(value, heads);
    // Ranks that are threads of one process share the generator: what is seeded is drawn before another seeds it.
    static std::mutex seeding;
    const std::lock_guard one_at_a_time(seeding);
    at::Generator generator = at::globalContext().defaultGenerator(query.device());
    generator.set_current_seed(seed);
    generator.set_offset(0);
    const auto [out, log_sums, first_q, first_k, most_q, most_k, state, unused, mask] =
        at::_scaled_dot_product_flash_attention(q, k, v, rate, causal, /*return_debug_mask=*/false);
    context->save_for_backward({query, key, value, out, log_sums, first_q, first_k, state, unused});
    context->saved_data["heads"] = heads;
    context->saved_data["causal"] = causal;
    context->saved_data["rate"] = rate;
    context->saved_data["most_q"] = most_q;
    context->saved_data["most_k"] = most_k;
    return together(out);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const int64_t heads = context->saved_data["heads"].toInt();
    const auto [of_query, of_key, of_value] = at::_scaled_dot_product_flash_attention_backward(
        by_heads(gradients[0].contiguous(), heads), by_heads(saved[0], heads), by_heads(saved[1], heads),
        by_heads(saved[2], heads), saved[3], saved[4], saved[5], saved[6], context->saved_data["most_q"].toInt(),
        context->saved_data["most_k"].toInt(), context->saved_data["rate"].toDouble(),
        context->saved_data["causal"].toBool(), saved[7], saved[8]);
    return {together(of_query), together(of_key), together(of_value), {}, {}, {}, {}};
  }
};

}  // namespace

bool fits_fused_attention(const at::Tensor& query, int64_t heads, const at::Tensor& lengths) {
  const int64_t width = query.size(2) / heads;
  return query.is_cuda() && query.scalar_type() == at::kBFloat16 && !lengths.defined() && width % 8 == 0 &&
         width <= 256;
}

at::Tensor fused_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t heads,
                           bool causal, double rate, RandomKey draws) {
  return FusedAttention::apply(query, key, value, heads, causal, rate, static_cast<uint64_t>(packed(draws)));
}

RandomKey of_microbatch(RandomKey draws, const Batch& batch) {
  const auto words = philox(draws, static_cast<uint64_t>(batch.sample_ids.front()), 0);
  return {words[0], words[1]};
}

}  // namespace interlock
