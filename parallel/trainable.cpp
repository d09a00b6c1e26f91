#include "parallel/trainable.h"

#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cassert>

namespace interlock {
namespace {

// Kernels take 16 numbers at a time and the rest one by one, which may round differently; and threads share work by
// cache lines. Cutting at multiples of 64 elements keeps every number in the kind of group it has in the whole tensor.
constexpr int64_t cut_unit = 64;

}  // namespace

Trainable::Trainable(const std::vector<NamedTensor>& tensors, const MakeOptimizer& make_optimizer, StateShare share)
    : share_(share), started_(tensors.size(), false), optimizer_(make_optimizer()) {
  for (const NamedTensor& tensor : tensors) offsets_.push_back(offsets_.back() + tensor.value.numel());
  const auto options = tensors.empty() ? at::TensorOptions() : tensors.front().value.options();
  gradient_ = at::zeros({offsets_.back()}, options.requires_grad(false));
  for (size_t i = 0; i < tensors.size(); ++i) {
    const at::Tensor& value = tensors[i].value;
    assert(value.is_contiguous());
    parameters_.push_back({tensors[i].name, value, gradient_.narrow(0, offsets_[i], value.numel()).view(value.sizes()),
                           value.dim() >= 2});
  }
  cut(optimizer_->elementwise());
  std::vector<Parameter> own;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const Piece& piece = pieces_[i];
    if (piece.keeper != share_.position) continue;
    kept_.push_back(i);
    const Parameter& whole = parameters_[piece.parameter];
    if (piece.end - piece.begin == whole.value.numel()) {
      own.push_back(whole);
      continue;
    }
    const auto part = [&](const at::Tensor& tensor) {
      return tensor.detach().view({-1}).narrow(0, piece.begin, piece.end - piece.begin);
    };
    own.push_back({whole.name, part(whole.value), part(whole.gradient), whole.decays});
  }
  optimizer_->attach(std::move(own));
}

// Every keeper gets an equal run of the buffer; where tensors must stay whole, those that begin in its run.
void Trainable::cut(bool elementwise) {
  const int64_t all = offsets_.back();
  const auto keeper_at = [&](int64_t element) {
    return all == 0 ? 0 : static_cast<int>(std::min<int64_t>(share_.of - 1, element * share_.of / all));
  };
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const int64_t size = parameters_[i].value.numel();
    for (int64_t begin = 0; begin < size || begin == 0;) {
      const int keeper = keeper_at(offsets_[i] + begin);
      int64_t end = size;
      if (elementwise && keeper + 1 < share_.of) {
        const int64_t border = (all * (keeper + 1) + share_.of - 1) / share_.of - offsets_[i];
        end = std::min(size, std::max(begin + 1, border) + cut_unit - 1);
        if (end < size) end = end / cut_unit * cut_unit;
      }
      pieces_.push_back({i, begin, end, keeper});
      if (end == size) break;
      begin = end;
    }
  }
}

void Trainable::accumulate(size_t i, const at::Tensor& gradient, double factor) {
  c10::NoGradGuard no_graph;
  at::Tensor& sum = parameters_[i].gradient;
  if (!gradient.defined()) {
    if (!started_[i]) sum.zero_();
  } else if (!started_[i]) {
    at::mul_out(sum, gradient, at::scalar_tensor(factor, sum.options()));
  } else {
    sum.add_(gradient, factor);
  }
  started_[i] = true;
}

// Piece by piece: on a CPU the library widens all that it is given before it adds it up, twice the gradient's memory.
double Trainable::squared_norm() const {
  constexpr int64_t piece_numbers = int64_t{1} << 16;
  at::Tensor sum = at::zeros({}, gradient_.options().dtype(at::kDouble));
  for (int64_t begin = 0; begin < gradient_.numel(); begin += piece_numbers) {
    const at::Tensor piece = gradient_.narrow(0, begin, std::min(piece_numbers, gradient_.numel() - begin));
    sum.add_(at::linalg_vector_norm(piece, 2, std::nullopt, false, at::kDouble).square());
  }
  return sum.item<double>();
}

void Trainable::scale(double factor) { gradient_.mul_(factor); }

void Trainable::update(double learning_rate) {
  c10::NoGradGuard no_graph;
  optimizer_->step(learning_rate);
  gradient_.zero_();
  started_.assign(started_.size(), false);
}

std::span<std::byte> Trainable::bytes_of(const Piece& piece) const {
  const at::Tensor& value = parameters_[piece.parameter].value;
  const auto size = static_cast<int64_t>(value.element_size());
  auto* start = static_cast<std::byte*>(value.data_ptr()) + piece.begin * size;
  return {start, static_cast<size_t>((piece.end - piece.begin) * size)};
}

void Trainable::exchange_values(Group& replicas) {
  std::vector<Group::Shard> shards;
  for (const Piece& piece : pieces_) shards.push_back({bytes_of(piece), piece.keeper});
  replicas.all_gather(shards, std::make_shared<std::vector<Parameter>>(parameters_));
}

}  // namespace interlock
