// Numbers of samples for each microbatch.

#include "runtime/data/loader.h"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <vector>

namespace interlock {
namespace {

std::vector<int64_t> numbers_from(int64_t first, int64_t count) {
  std::vector<int64_t> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

}  // namespace

Batch Loader::training(int64_t step, int64_t replica, int64_t microbatch) const {
  assert(step >= 1 && replica >= 0 && replica < shape_.replicas && microbatch >= 0 && microbatch < shape_.microbatches);
  const int64_t first =
      (step - 1) * shape_.samples_per_step() + (replica * shape_.microbatches + microbatch) * shape_.microbatch_size;
  return dataset_->batch(Split::training, numbers_from(first, shape_.microbatch_size));
}

int64_t Loader::training_targets(int64_t step) const {
  assert(step >= 1);
  const int64_t per_step = shape_.samples_per_step();
  return dataset_->predicted(Split::training, numbers_from((step - 1) * per_step, per_step));
}

int64_t Loader::held_out_microbatches(int64_t limit) const {
  const int64_t samples = std::min(limit, dataset_->samples(Split::held_out));
  return samples <= 0 ? 0 : (samples + shape_.microbatch_size - 1) / shape_.microbatch_size;
}

int64_t Loader::held_out_samples(int64_t limit, int64_t i) const {
  assert(i >= 0 && i < held_out_microbatches(limit));
  const int64_t samples = std::min(limit, dataset_->samples(Split::held_out));
  return std::min(shape_.microbatch_size, samples - i * shape_.microbatch_size);
}

Batch Loader::held_out(int64_t limit, int64_t i) const {
  return dataset_->batch(Split::held_out, numbers_from(i * shape_.microbatch_size, held_out_samples(limit, i)));
}

}  // namespace interlock
