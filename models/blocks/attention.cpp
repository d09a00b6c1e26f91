// Owns attention. With dropout the library's composition would keep three tables of length x length per head
// (probabilities, mask, product); here it is one: a probability is never negative, so its sign says whether it was
// dropped. The factor 1 / (1 - rate) is applied to the small tensors around the tables.
#include "models/blocks/attention.h"

#include <ATen/ops/_softmax.h>
#include <ATen/ops/_softmax_backward_data.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/blocks/fused_attention.h"
#include "models/blocks/operations.h"

namespace interlock {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double infinity = std::numeric_limits<double>::infinity();

// 0 where a key may be looked at and -infinity on padding, [samples, 1, 1, length]; none when nothing is padded.
std::optional<at::Tensor> padding_mask(const at::Tensor& lengths, const at::Tensor& query) {
  if (!lengths.defined()) return std::nullopt;
  const int64_t samples = query.size(0), length = query.size(1);
  const at::Tensor padded = at::arange(length, lengths.options()).unsqueeze(0).ge(lengths.unsqueeze(1));
  at::Tensor mask = at::zeros({samples, length}, query.options().requires_grad(false));
  mask.masked_fill_(padded, -infinity);
  return mask.view({samples, 1, 1, length});
}

// Where a query (by row) must not look at a key: behind it, and outside of its document. bool, [1 or samples, length,
// length]. Padding stands behind every token.
at::Tensor hidden_from(const at::Tensor& query, const at::Tensor& positions) {
  const int64_t length = query.size(1);
  const at::Tensor behind =
      at::ones({1, length, length}, query.options().dtype(at::kBool).requires_grad(false)).triu(1);
  if (!positions.defined()) return behind;
  const at::Tensor document = positions.eq(0).cumsum(1);
  return behind.logical_or(document.unsqueeze(2).ne(document.unsqueeze(1)));
}

// [samples, heads, length, head width] of [samples, length, width], nothing copied.
at::Tensor by_heads(const at::Tensor& x, int64_t heads) {
  return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

// The numbers of some samples of a tensor by heads, [samples * heads, length, head width].
at::Tensor part_of(const at::Tensor& x, int64_t begin, int64_t count) {
  return x.narrow(0, begin, count).reshape({count * x.size(1), x.size(2), x.size(3)});
}
void put_part(const at::Tensor& x, int64_t begin, int64_t count, const at::Tensor& numbers) {
  x.narrow(0, begin, count).copy_(numbers.view({count, x.size(1), x.size(2), x.size(3)}));
}

void hide_padding(at::Tensor& scores, const at::Tensor& lengths, int64_t begin, int64_t count) {
  if (!lengths.defined()) return;
  const int64_t length = scores.size(2), heads = scores.size(0) / count;
  if (!scores.is_cpu()) {  // without looking at the lengths
    const at::Tensor padded =
        at::arange(length, lengths.options()).unsqueeze(0).ge(lengths.narrow(0, begin, count).unsqueeze(1));
    scores.view({count, heads, length, length}).masked_fill_(padded.view({count, 1, 1, length}), -infinity);
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    const int64_t filled = lengths.const_data_ptr<int64_t>()[begin + i];
    if (filled < length) scores.narrow(0, i * heads, heads).narrow(2, filled, length - filled).fill_(-infinity);
  }
}

struct Settings {
  int64_t heads = 1;
  double rate = 0;
  RandomKey key;
  at::Tensor samples;  // the numbers that key the draws
  at::Tensor lengths;
  at::Tensor hidden;  // of causal attention (hidden_from), which then says what lengths would
};

void hide(at::Tensor& scores, const Settings& settings, int64_t begin, int64_t count) {
  if (!settings.hidden.defined()) return hide_padding(scores, settings.lengths, begin, count);
  const int64_t length = scores.size(2), heads = scores.size(0) / count;
  const bool for_all = settings.hidden.size(0) == 1;
  const at::Tensor hidden = for_all ? settings.hidden : settings.hidden.narrow(0, begin, count);
  scores.view({count, heads, length, length}).masked_fill_(hidden.unsqueeze(1), -infinity);
}

// The CPU works on what fits its caches, a device on all at once.
int64_t samples_at_once(const at::Tensor& by_head) {
  return by_head.is_cpu() ? attention_chunk(by_head.size(1), by_head.size(2)) : by_head.size(0);
}

struct DroppedAttention : torch::autograd::Function<DroppedAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, const Settings& settings) {
    const at::Tensor q = by_heads(query, settings.heads), k = by_heads(key, settings.heads),
                     v = by_heads(value, settings.heads);
    const int64_t samples = q.size(0), length = q.size(2), step = samples_at_once(q);
    const double narrow = 1 / std::sqrt(static_cast<double>(q.size(3))), widen = 1 / (1 - settings.rate);
    at::Tensor out = at::empty_like(query);
    at::Tensor saved = at::empty({samples, settings.heads, length, length}, query.options());
    for (int64_t begin = 0; begin < samples; begin += step) {
      const int64_t count = std::min(step, samples - begin);
      at::Tensor scores = at::bmm(part_of(q, begin, count).mul(narrow), part_of(k, begin, count).transpose(1, 2));
      hide(scores, settings, begin, count);
      at::Tensor probabilities = saved.narrow(0, begin, count);
      at::Tensor table = probabilities.view(scores.sizes());
      at::_softmax_out(table, scores, -1, false);
      operations::mark_dropped_(probabilities, settings.rate, settings.key, settings.samples.narrow(0, begin, count));
      at::clamp_min_out(scores, table, 0);
      put_part(by_heads(out, settings.heads), begin, count, at::bmm(scores, part_of(v, begin, count)).mul_(widen));
    }
    context->save_for_backward({query, key, value, saved});
    context->saved_data["rate"] = settings.rate;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto tensors = context->get_saved_variables();
    const at::Tensor &saved = tensors[3], gradient = gradients[0].contiguous();
    const int64_t heads = saved.size(1), samples = saved.size(0), length = saved.size(2);
    const at::Tensor q = by_heads(tensors[0], heads), k = by_heads(tensors[1], heads), v = by_heads(tensors[2], heads);
    const at::Tensor g = by_heads(gradient, heads);
    const double narrow = 1 / std::sqrt(static_cast<double>(q.size(3)));
    const double widen = 1 / (1 - context->saved_data["rate"].toDouble());
    variable_list result(4);
    for (size_t i = 0; i < 3; ++i) result[i] = at::empty_like(gradient);
    const int64_t step = samples_at_once(q);
    for (int64_t begin = 0; begin < samples; begin += step) {
      const int64_t count = std::min(step, samples - begin);
      const auto put = [&](size_t which, const at::Tensor& numbers) {
        put_part(by_heads(result[which], heads), begin, count, numbers);
      };
      const at::Tensor table = saved.narrow(0, begin, count).view({count * heads, length, length});
      const at::Tensor wide = part_of(g, begin, count).mul(widen);
      put(2, at::bmm(table.clamp_min(0).transpose(1, 2), wide));
      at::Tensor slope = at::bmm(wide, part_of(v, begin, count).transpose(1, 2));
      slope.masked_fill_(table.signbit(), 0);
      at::Tensor of_scores = at::_softmax_backward_data(slope, table.abs(), -1, slope.scalar_type());
      put(0, at::bmm(of_scores, part_of(k, begin, count)).mul_(narrow));
      put(1, at::bmm(of_scores.transpose(1, 2), part_of(q, begin, count)).mul_(narrow));
    }
    return result;
  }
};

}  // namespace

int64_t attention_chunk(int64_t heads, int64_t length) {
  constexpr int64_t numbers = int64_t{1} << 20;  // 4 MiB of floats: one sample from length 512 with 4 heads on
  return std::max<int64_t>(1, numbers / (heads * length * length));
}

at::Tensor plain_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t heads,
                           bool causal, const ForwardContext& context) {
  std::optional<at::Tensor> mask;
  const bool by_documents = causal && context.batch->positions.defined();
  if (!causal) mask = padding_mask(context.batch->lengths, query);
  if (by_documents) {
    const at::Tensor hidden = hidden_from(query, context.batch->positions).unsqueeze(1);
    mask = at::zeros(hidden.sizes(), query.options().requires_grad(false)).masked_fill_(hidden, -infinity);
  }
  const at::Tensor mixed = at::scaled_dot_product_attention(by_heads(query, heads), by_heads(key, heads),
                                                            by_heads(value, heads), mask, 0.0, causal && !by_documents);
  return mixed.transpose(1, 2).reshape(query.sizes());
}

at::Tensor dropped_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t heads,
                             bool causal, double rate, uint64_t layer, const ForwardContext& context) {
  const RandomKey draws = dropout_key(layer, Site::attention_probabilities, context);
  // Causal, a token never looks at the padding behind it.
  const at::Tensor lengths = causal ? at::Tensor() : context.batch->lengths;
  const bool by_documents = causal && context.batch->positions.defined();
  if (!by_documents && fits_fused_attention(query, heads, lengths))
    return fused_attention(query, key, value, heads, causal, rate, of_microbatch(draws, *context.batch));
  const Settings settings{heads,   rate,
                          draws,   sample_numbers(*context.batch, query.size(0)),
                          lengths, causal ? hidden_from(query, context.batch->positions) : at::Tensor()};
  return DroppedAttention::apply(query, key, value, settings);
}

}  // namespace interlock
