// Owns the schemas of our operations and the calls to them.
#include "models/blocks/operations.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <tuple>

namespace interlock::operations {
namespace {

TORCH_LIBRARY_FRAGMENT(interlock, library) {
  library.def("product(Tensor x, Tensor weight, Tensor? bias) -> Tensor");
  library.def("add_product_(Tensor(a!) sum, Tensor rows, Tensor x, float factor, bool overwrite) -> ()");
  library.def("add_row_sum_(Tensor(a!) sum, Tensor rows, float factor, bool overwrite) -> ()");
  library.def("add_to_rows_(Tensor(a!) sum, Tensor places, Tensor rows, float factor, int padding) -> ()");
  library.def("keyed_dropout(Tensor x, float rate, int key, Tensor samples) -> (Tensor, Tensor)");
  library.def("keyed_dropout_backward(Tensor gradient, Tensor kept, float rate, int key, Tensor samples) -> Tensor");
  library.def("mark_dropped_(Tensor(a!) x, float rate, int key, Tensor samples) -> ()");
  library.def("softmax_cross_entropy_(Tensor(a!) logits, Tensor targets) -> Tensor");
  library.def("times(Tensor(a) tensor, Tensor factor) -> Tensor(a)");
  library.def("norm(Tensor x, Tensor weight, Tensor bias, float epsilon) -> (Tensor, Tensor, Tensor)");
  library.def(
      "norm_backward(Tensor gradient, Tensor x, Tensor mean, Tensor inverse_deviation, Tensor weight) -> "
      "(Tensor, Tensor, Tensor)");
  library.def("residual_norm_takes(Tensor x) -> bool");
  library.def(
      "residual_norm(Tensor x, Tensor y, Tensor weight, Tensor bias, float epsilon, float rate, int key, "
      "Tensor samples) -> (Tensor, Tensor, Tensor, Tensor)");
  library.def(
      "residual_norm_backward(Tensor gradient, Tensor sum, Tensor mean, Tensor inverse_deviation, Tensor weight, "
      "float rate, int key, Tensor samples) -> (Tensor, Tensor, Tensor, Tensor)");
}

template <class Signature>
c10::TypedOperatorHandle<Signature> find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

// Below autograd, which knows nothing of these operations.
template <class Signature, class... Arguments>
auto call(const c10::TypedOperatorHandle<Signature>& operation, Arguments&&... arguments) {
  const at::AutoDispatchBelowADInplaceOrView below;
  return operation.call(std::forward<Arguments>(arguments)...);
}

using Product = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&);
using Add = void(at::Tensor&, const at::Tensor&, const at::Tensor&, double, bool);
using AddSum = void(at::Tensor&, const at::Tensor&, double, bool);
using AddToRows = void(at::Tensor&, const at::Tensor&, const at::Tensor&, double, int64_t);
using Dropout = std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, double, int64_t, const at::Tensor&);
using DropoutBackward = at::Tensor(const at::Tensor&, const at::Tensor&, double, int64_t, const at::Tensor&);
using MarkDropped = void(at::Tensor&, double, int64_t, const at::Tensor&);
using CrossEntropy = at::Tensor(at::Tensor&, const at::Tensor&);
using Times = at::Tensor(const at::Tensor&, const at::Tensor&);
using NormForward = std::tuple<at::Tensor, at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&,
                                                                   const at::Tensor&, double);
using NormBackward = std::tuple<at::Tensor, at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&,
                                                                    const at::Tensor&, const at::Tensor&,
                                                                    const at::Tensor&);

using FourTensors = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using Residual = FourTensors(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, double, double,
                             int64_t, const at::Tensor&);
using ResidualBackward = FourTensors(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                     const at::Tensor&, double, int64_t, const at::Tensor&);

}  // namespace

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  static const auto operation = find<Product>("interlock::product");
  return call(operation, x, weight, bias);
}

void add_product_(at::Tensor& sum, const at::Tensor& rows, const at::Tensor& x, double factor, bool overwrite) {
  static const auto operation = find<Add>("interlock::add_product_");
  call(operation, sum, rows, x, factor, overwrite);
}

void add_row_sum_(at::Tensor& sum, const at::Tensor& rows, double factor, bool overwrite) {
  static const auto operation = find<AddSum>("interlock::add_row_sum_");
  call(operation, sum, rows, factor, overwrite);
}

void add_to_rows_(at::Tensor& sum, const at::Tensor& places, const at::Tensor& rows, double factor, int64_t padding) {
  static const auto operation = find<AddToRows>("interlock::add_to_rows_");
  call(operation, sum, places, rows, factor, padding);
}

std::pair<at::Tensor, at::Tensor> keyed_dropout(const at::Tensor& x, double rate, RandomKey key,
                                                const at::Tensor& samples) {
  static const auto operation = find<Dropout>("interlock::keyed_dropout");
  auto [out, kept] = call(operation, x, rate, packed(key), samples);
  return {std::move(out), std::move(kept)};
}

at::Tensor keyed_dropout_backward(const at::Tensor& gradient, const at::Tensor& kept, double rate, RandomKey key,
                                  const at::Tensor& samples) {
  static const auto operation = find<DropoutBackward>("interlock::keyed_dropout_backward");
  return call(operation, gradient, kept, rate, packed(key), samples);
}

void mark_dropped_(at::Tensor& x, double rate, RandomKey key, const at::Tensor& samples) {
  static const auto operation = find<MarkDropped>("interlock::mark_dropped_");
  call(operation, x, rate, packed(key), samples);
}

at::Tensor softmax_cross_entropy_(at::Tensor& logits, const at::Tensor& targets) {
  static const auto operation = find<CrossEntropy>("interlock::softmax_cross_entropy_");
  return call(operation, logits, targets);
}

at::Tensor times(const at::Tensor& tensor, const at::Tensor& factor) {
  static const auto operation = find<Times>("interlock::times");
  return call(operation, tensor, factor);
}

Norm norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double epsilon) {
  static const auto operation = find<NormForward>("interlock::norm");
  auto [result, mean, inverse_deviation] = call(operation, x, weight, bias, epsilon);
  return {std::move(result), std::move(mean), std::move(inverse_deviation)};
}

NormGradients norm_backward(const at::Tensor& gradient, const at::Tensor& x, const Norm& forward,
                            const at::Tensor& weight) {
  static const auto operation = find<NormBackward>("interlock::norm_backward");
  auto [input, of_weight, of_bias] = call(operation, gradient, x, forward.mean, forward.inverse_deviation, weight);
  return {std::move(input), std::move(of_weight), std::move(of_bias)};
}

bool residual_norm_takes(const at::Tensor& x) {
  static const auto operation = find<bool(const at::Tensor&)>("interlock::residual_norm_takes");
  return call(operation, x);
}

ResidualNorm residual_norm(const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight, const at::Tensor& bias,
                           double epsilon, double rate, RandomKey key, const at::Tensor& samples) {
  static const auto operation = find<Residual>("interlock::residual_norm");
  auto [result, sum, mean, inverse] = call(operation, x, y, weight, bias, epsilon, rate, packed(key), samples);
  return {std::move(result), std::move(sum), std::move(mean), std::move(inverse)};
}

ResidualNormGradients residual_norm_backward(const at::Tensor& gradient, const ResidualNorm& forward,
                                             const at::Tensor& weight, double rate, RandomKey key,
                                             const at::Tensor& samples) {
  static const auto operation = find<ResidualBackward>("interlock::residual_norm_backward");
  auto [x, y, of_weight, of_bias] = call(operation, gradient, forward.sum, forward.mean, forward.inverse_deviation,
                                         weight, rate, packed(key), samples);
  return {std::move(x), std::move(y), std::move(of_weight), std::move(of_bias)};
}

}  // namespace interlock::operations
