#include "parallel/stage/trainable_group.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "runtime/core/error.h"
#include "runtime/optimization/squares.h"

namespace interlock {
namespace {

// Of parameters in the flat buffers: a misaligned weight can change the bits of a product. A cache line on the CPU;
// cuBLAS chooses a kernel by the alignment of what it is given, up to 256 bytes.
int64_t alignment_bytes(const at::Device& device) { return device.is_cpu() ? 64 : 256; }

// Norms are added up in blocks of so many elements of a parameter, and the state of an optimizer is cut between blocks:
// so a norm has the same bits however the state is shared out. Kernels take 16 numbers at a time and threads share work
// by cache lines; a cut at a multiple of both keeps every number in the kind of group that it has in the whole tensor.
constexpr int64_t block = 4096;

int64_t blocks_of(int64_t elements) { return (elements + block - 1) / block; }

}  // namespace

TrainableGroup::TrainableGroup(const std::vector<NamedTensor>& tensors, const MakeOptimizer& make_optimizer,
                               Options options)
    : options_(options), started_(tensors.size(), false), optimizer_(make_optimizer()) {
  lay_out(tensors);
  cut(optimizer_->elementwise());
  attach_optimizer();
}

// Moves the tensors into the flat buffer; their modules see the same values there.
void TrainableGroup::lay_out(const std::vector<NamedTensor>& tensors) {
  c10::NoGradGuard no_graph;
  const at::TensorOptions type =
      tensors.empty() ? at::TensorOptions() : tensors.front().value.options().requires_grad(false);
  const int64_t unit = alignment_bytes(type.device()) / static_cast<int64_t>(type.dtype().itemsize());
  int64_t squares = 0;
  for (const NamedTensor& tensor : tensors) {
    if (tensor.value.dtype() != type.dtype())
      throw Error(ExitCode::gave_up, message(tensor.name, " is of type ", tensor.value.dtype().name(), ", but ",
                                             tensors.front().name, ", which learns with it, of ", type.dtype().name(),
                                             ": parameters that learn together must be of one type"));
    const int64_t numbers = tensor.value.numel();
    offsets_.push_back(offsets_.back() + (numbers + unit - 1) / unit * unit);
    first_square_.push_back(squares);
    squares += blocks_of(numbers);
  }
  values_ = at::zeros({offsets_.back()}, type);
  gradient_ = at::zeros({offsets_.back()}, type);
  squares_ = at::zeros({squares}, type.dtype(at::kDouble));
  for (size_t i = 0; i < tensors.size(); ++i) {
    at::Tensor value = tensors[i].value;
    const auto view = [&](const at::Tensor& flat) {
      return flat.narrow(0, offsets_[i], value.numel()).view(value.sizes());
    };
    view(values_).copy_(value);
    value.set_data(view(values_));
    parameters_.push_back(
        {tensors[i].name, value, view(gradient_), value.dim() >= 2, options_.decay_factor, tensors[i].rate_factor});
  }
}

// Every owner gets an equal run of the buffers; where tensors must stay whole, those that begin in its run.
void TrainableGroup::cut(bool elementwise) {
  const int64_t all = offsets_.back();
  const int replicas = options_.share.of;
  const auto owner_at = [&](int64_t element) {
    return all == 0 ? 0 : static_cast<int>(std::min<int64_t>(replicas - 1, element * replicas / all));
  };
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const int64_t size = parameters_[i].value.numel();
    for (int64_t begin = 0; begin < size || begin == 0;) {
      const int owner = owner_at(offsets_[i] + begin);
      int64_t end = size;
      if (elementwise && owner + 1 < replicas) {
        const int64_t border = (all * (owner + 1) + replicas - 1) / replicas - offsets_[i];
        end = std::min(size, std::max(begin + 1, border) + block - 1);
        if (end < size) end = end / block * block;
      }
      shards_.push_back({i, begin, end, owner});
      if (end == size) break;
      begin = end;
    }
  }
  // Owners come in ascending order: each owns one range of the flat buffers.
  owned_.resize(replicas);
  int64_t end = all;
  for (int owner = replicas - 1; owner >= 0; --owner) {
    const auto first = std::ranges::find(shards_, owner, &Shard::owner);
    const int64_t begin = first == shards_.end() ? end : offsets_[first->parameter] + first->begin;
    owned_[owner] = {begin, end};
    end = begin;
  }
}

void TrainableGroup::attach_optimizer() {
  std::vector<Parameter> own;
  for (size_t i = 0; i < shards_.size(); ++i) {
    const Shard& shard = shards_[i];
    if (shard.owner != options_.share.position) continue;
    own_shards_.push_back(i);
    const Parameter& whole = parameters_[shard.parameter];
    if (shard.end - shard.begin == whole.value.numel()) {
      own.push_back(whole);
      continue;
    }
    const auto part = [&](const at::Tensor& tensor) {
      return tensor.detach().view({-1}).narrow(0, shard.begin, shard.end - shard.begin);
    };
    own.push_back(
        {whole.name, part(whole.value), part(whole.gradient), whole.decays, whole.decay_factor, whole.rate_factor});
  }
  optimizer_->attach(std::move(own));
  list_runs();
}

void TrainableGroup::list_runs() {
  std::vector<int64_t> runs;
  for (const size_t index : own_shards_) {
    const Shard& shard = shards_[index];
    const int64_t first = first_square_[shard.parameter] + shard.begin / block, offset = offsets_[shard.parameter];
    for (int64_t i = 0; i < blocks_of(shard.end - shard.begin); ++i) {
      const int64_t begin = shard.begin + i * block;
      runs.insert(runs.end(), {offset + begin, offset + std::min(begin + block, shard.end), first + i});
    }
  }
  runs_ = at::tensor(runs, at::kLong).view({std::ssize(runs) / 3, 3}).to(gradient_.device());
}

void TrainableGroup::add_gradient(size_t i, const GradientTerm& term, double factor) {
  c10::NoGradGuard no_graph;
  term(parameters_[i].gradient, factor, !started_[i]);
  started_[i] = true;
}

void TrainableGroup::complete(size_t begin, size_t end) {
  for (size_t i = begin; i < end; ++i) {
    if (!started_[i]) parameters_[i].gradient.zero_();
    started_[i] = true;
  }
}

at::Tensor& TrainableGroup::measure_norm() {
  squares_.zero_();
  run_squares(gradient_, runs_, squares_);
  return squares_;
}

at::Tensor TrainableGroup::squared_norm() const { return squares_.sum(); }

std::vector<TrainableGroup::Average> TrainableGroup::averages() const {
  std::vector<Average> all;
  if (!optimizer_->keeps_averages()) return all;
  for (size_t i = 0; i < own_shards_.size(); ++i) {
    const Shard& shard = shards_[own_shards_[i]];
    const at::Tensor whole = parameters_[shard.parameter].value.detach().view({-1});
    all.push_back({shard.parameter, shard.begin, whole.narrow(0, shard.begin, shard.end - shard.begin),
                   optimizer_->average(i).view({-1})});
  }
  return all;
}

bool TrainableGroup::exchange_averages() {
  c10::NoGradGuard no_graph;
  for (const Average& one : averages()) {
    const at::Tensor kept = one.value.clone();
    one.value.copy_(one.average);
    one.average.copy_(kept);
  }
  return optimizer_->keeps_averages();
}

void TrainableGroup::update(const UpdateNumbers& numbers) {
  c10::NoGradGuard no_graph;
  optimizer_->step({numbers.learning_rate * options_.rate_factor, numbers.gradient_factor});
  forget_gradient();
}

}  // namespace interlock
