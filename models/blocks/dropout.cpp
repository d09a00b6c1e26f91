// Owns keyed dropout. (Compiled with -O3: its loops run over every activation.)
#include "models/blocks/dropout.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <cassert>
#include <tuple>
#include <type_traits>
#include <vector>

#include "models/blocks/operations.h"

namespace interlock {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t worth_a_thread = 1 << 15;  // elements: some 30 us

// In what an element is multiplied: bfloat16 in float.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

// What an element that is kept is multiplied by.
template <class T>
Wide<T> factor_of(double rate) {
  return static_cast<Wide<T>>(1 / (1 - rate));
}

// Calls use(first element, count, draws) for every sample; draws[i] is 0 where the i-th element is dropped.
template <class Use>
void for_each_sample(const at::Tensor& x, double rate, RandomKey key, const int64_t* samples, const Use& use) {
  const int64_t count = x.numel() / x.size(0);
  const int64_t grain = std::max<int64_t>(1, worth_a_thread / std::max<int64_t>(1, count));
  at::parallel_for(0, x.size(0), grain, [&](int64_t begin, int64_t end) {
    std::vector<float> draws(static_cast<size_t>(count));
    for (int64_t row = begin; row < end; ++row) {
      fill_dropout(draws.data(), count, rate, key, static_cast<uint64_t>(samples[row]));
      use(row * count, count, draws.data());
    }
  });
}

template <class T>
void drop(const T* in, T* out, uint8_t* kept, int64_t count, const float* draws, Wide<T> factor) {
  for (int64_t i = 0; i < count; ++i) {
    const bool keeps = draws[i] != 0;
    kept[i] = keeps;
    out[i] = static_cast<T>(keeps ? static_cast<Wide<T>>(in[i]) * factor : Wide<T>{0});
  }
}

template <class T>
void drop_again(const T* in, T* out, const uint8_t* kept, int64_t count, Wide<T> factor) {
  for (int64_t i = 0; i < count; ++i)
    out[i] = static_cast<T>(kept[i] != 0 ? static_cast<Wide<T>>(in[i]) * factor : Wide<T>{0});
}

// Bodies for the CPU. What is kept is a byte per element.
std::tuple<at::Tensor, at::Tensor> dropout_on_cpu(const at::Tensor& x, double rate, int64_t key,
                                                  const at::Tensor& samples) {
  const at::Tensor in = x.contiguous();
  at::Tensor out = at::empty_like(in), kept = at::empty(in.sizes(), in.options().dtype(at::kByte));
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, in.scalar_type(), "dropout", [&] {
    const auto* from = in.const_data_ptr<scalar_t>();
    auto* to = out.mutable_data_ptr<scalar_t>();
    auto* mask = kept.mutable_data_ptr<uint8_t>();
    const auto use = [&](int64_t first, int64_t count, const float* draws) {
      drop(from + first, to + first, mask + first, count, draws, factor_of<scalar_t>(rate));
    };
    for_each_sample(in, rate, unpacked(key), samples.const_data_ptr<int64_t>(), use);
  });
  return {out, kept};
}

at::Tensor dropout_backward_on_cpu(const at::Tensor& given, const at::Tensor& kept, double rate, int64_t,
                                   const at::Tensor&) {
  const at::Tensor gradient = given.contiguous();
  at::Tensor out = at::empty_like(gradient);
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, gradient.scalar_type(), "dropout_backward", [&] {
    const auto* from = gradient.const_data_ptr<scalar_t>();
    auto* to = out.mutable_data_ptr<scalar_t>();
    const auto* mask = kept.const_data_ptr<uint8_t>();
    at::parallel_for(0, out.numel(), worth_a_thread, [&](int64_t begin, int64_t end) {
      drop_again(from + begin, to + begin, mask + begin, end - begin, factor_of<scalar_t>(rate));
    });
  });
  return out;
}

void mark_dropped_on_cpu(at::Tensor& x, double rate, int64_t key, const at::Tensor& samples) {
  assert(x.is_contiguous());
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "mark_dropped", [&] {
    auto* values = x.mutable_data_ptr<scalar_t>();
    const auto use = [&](int64_t first, int64_t count, const float* draws) {
      scalar_t* of_sample = values + first;
      for (int64_t i = 0; i < count; ++i)
        if (draws[i] == 0) of_sample[i] = -of_sample[i];
    };
    for_each_sample(x, rate, unpacked(key), samples.const_data_ptr<int64_t>(), use);
  });
}

TORCH_LIBRARY_IMPL(interlock, CPU, library) {
  library.impl("keyed_dropout", TORCH_FN(dropout_on_cpu));
  library.impl("keyed_dropout_backward", TORCH_FN(dropout_backward_on_cpu));
  library.impl("mark_dropped_", TORCH_FN(mark_dropped_on_cpu));
}

struct Dropout : torch::autograd::Function<Dropout> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, double rate, RandomKey key,
                            const at::Tensor& samples) {
    auto [out, kept] = operations::keyed_dropout(x, rate, key, samples);
    context->save_for_backward({kept, samples.is_cpu() ? at::Tensor() : samples});
    context->saved_data["rate"] = rate;
    context->saved_data["key"] = packed(key);
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const RandomKey key = unpacked(context->saved_data["key"].toInt());
    const at::Tensor out = operations::keyed_dropout_backward(gradients[0], saved[0],
                                                              context->saved_data["rate"].toDouble(), key, saved[1]);
    return {out, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor sample_numbers(const Batch& batch, [[maybe_unused]] int64_t samples) {
  if (batch.sample_numbers.defined()) return batch.sample_numbers;
  assert(std::ssize(batch.sample_ids) == samples);
  // Looked at, not copied: the batch outlives what is made of it.
  return at::from_blob(const_cast<int64_t*>(batch.sample_ids.data()), {std::ssize(batch.sample_ids)}, at::kLong);
}

RandomKey dropout_key(uint64_t layer, Site site, const ForwardContext& context) {
  const Purpose purpose = site == Site::attention_probabilities ? Purpose::attention_dropout : Purpose::dropout;
  return random_key(context.seed, purpose, static_cast<uint64_t>(context.step), layer, static_cast<uint64_t>(site));
}

at::Tensor keyed_dropout(const at::Tensor& x, double rate, uint64_t layer, Site site, const ForwardContext& context) {
  if (rate == 0 || !context.training) return x;
  return Dropout::apply(x, rate, dropout_key(layer, site, context), sample_numbers(*context.batch, x.size(0)));
}

}  // namespace interlock
