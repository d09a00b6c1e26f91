// Numbers of samples for each microbatch.

#include "runtime/data/loader.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <numeric>
#include <utility>
#include <vector>

#include "runtime/core/random.h"

namespace interlock {
namespace {

// More samples in one microbatch, or in one step, are a mistake in a config: a million samples of 64 tokens take 1 GiB
// for their numbers, tokens and targets alone. Checked before anything of that size is asked from memory.
constexpr int64_t most_in_microbatch = int64_t{1} << 20, most_in_step = int64_t{1} << 40;

std::vector<int64_t> numbers_from(int64_t first, int64_t count) {
  std::vector<int64_t> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

void check_shape(const BatchShape& shape) {
  assert(shape.replicas >= 1 && shape.microbatches >= 1 && shape.microbatch_size >= 1);
  if (shape.microbatch_size > most_in_microbatch) {
    throw Error(ExitCode::config, message("parallel.microbatch_size ", shape.microbatch_size, " is more than ",
                                          most_in_microbatch, " samples; use more microbatches instead"));
  }
  int64_t samples = 0;
  if (__builtin_mul_overflow(shape.replicas, shape.microbatches, &samples) ||
      __builtin_mul_overflow(samples, shape.microbatch_size, &samples) || samples > most_in_step) {
    throw Error(ExitCode::config,
                message("a step of ", shape.replicas, " replicas x ", shape.microbatches, " microbatches x ",
                        shape.microbatch_size, " samples is more than ", most_in_step, " samples"));
  }
}

void check_phases(const std::vector<BatchPhase>& phases, int64_t most) {
  int64_t before = 0;
  for (const BatchPhase& phase : phases) {
    if (phase.at_step <= before) {
      throw Error(ExitCode::config, message("the phases of the batch size must begin at ascending steps from 1 on: ",
                                            phase.at_step, " stands after ", before));
    }
    if (phase.microbatches < 1 || phase.microbatches > most) {
      throw Error(ExitCode::config,
                  message("the phase of the batch size at step ", phase.at_step, " has ", phase.microbatches,
                          " microbatches; 1 to ", most, " (parallel.microbatches) are possible"));
    }
    before = phase.at_step;
  }
}

}  // namespace

Loader::Loader(std::shared_ptr<const Dataset> dataset, BatchShape shape, std::vector<BatchPhase> phases,
               DataPosition start)
    : dataset_(std::move(dataset)), shape_(shape), phases_(std::move(phases)), start_(start) {
  assert(start_.step >= 0 && start_.samples >= 0);
  check_shape(shape_);
  check_phases(phases_, shape_.microbatches);
  if (phases_.empty() || phases_.front().at_step > 1) phases_.insert(phases_.begin(), {1, shape_.microbatches});
}

int64_t Loader::microbatches(int64_t step) const {
  assert(step >= 1);
  const auto after = std::upper_bound(phases_.begin(), phases_.end(), step,
                                      [](int64_t number, const BatchPhase& phase) { return number < phase.at_step; });
  return std::prev(after)->microbatches;
}

int64_t Loader::samples_per_step(int64_t step) const {
  return shape_.replicas * microbatches(step) * shape_.microbatch_size;
}

int64_t Loader::first_sample(int64_t step) const {
  assert(step > start_.step);
  int64_t total = start_.samples;
  for (size_t i = 0; i < phases_.size(); ++i) {  // those steps of each phase that lie between the start and this one
    const int64_t begin = std::max(phases_[i].at_step, start_.step + 1);
    const int64_t end = i + 1 < phases_.size() ? std::min(phases_[i + 1].at_step, step) : step;
    if (end <= begin) continue;
    int64_t samples = 0;
    if (__builtin_mul_overflow(end - begin, samples_per_step(begin), &samples) ||
        __builtin_add_overflow(total, samples, &total)) {
      throw Error(ExitCode::config, message("the samples before step ", step, " are more than can be numbered"));
    }
  }
  return total;
}

std::vector<int64_t> Loader::by_length(Split split, int64_t first, int64_t count) const {
  std::vector<std::pair<int64_t, int64_t>> samples;  // length, number
  for (const int64_t number : numbers_from(first, count)) samples.emplace_back(dataset_->length(split, number), number);
  std::sort(samples.begin(), samples.end());
  std::vector<int64_t> numbers;
  for (const auto& [length, number] : samples) numbers.push_back(number);
  return numbers;
}

// The thread that makes batches is a few microbatches ahead of who asks how wide one is.
Loader::Numbers Loader::sorted(int64_t step) const {
  constexpr size_t kept = 4;
  const std::lock_guard lock(sorting_);
  Numbers& found = sorted_[step];
  if (!found)
    found = std::make_shared<const std::vector<int64_t>>(
        by_length(Split::training, first_sample(step), samples_per_step(step)));
  const Numbers result = found;
  while (sorted_.size() > kept)
    sorted_.erase(sorted_.begin()->first == step ? std::prev(sorted_.end()) : sorted_.begin());
  return result;
}

std::vector<int64_t> Loader::numbers(int64_t step, int64_t replica, int64_t microbatch) const {
  assert(replica >= 0 && replica < shape_.replicas && microbatch >= 0 && microbatch < microbatches(step));
  const int64_t first = first_sample(step), size = shape_.microbatch_size;
  const int64_t global = replica * microbatches(step) + microbatch;
  if (!dataset_->varies_in_length()) return numbers_from(first + global * size, size);
  const Numbers of_step = sorted(step);
  const RandomKey key = random_key(static_cast<uint64_t>(first), Purpose::sample_order, 1, 1);
  const auto bucket = static_cast<int64_t>(
      permuted(key, static_cast<uint64_t>(global), static_cast<uint64_t>(shape_.replicas * microbatches(step))));
  const auto begin = of_step->begin() + bucket * size;
  return {begin, begin + size};
}

Batch Loader::training(int64_t step, int64_t replica, int64_t microbatch, BatchParts parts) const {
  return dataset_->batch(Split::training, numbers(step, replica, microbatch), parts);
}

int64_t Loader::width(int64_t step, int64_t replica, int64_t microbatch) const {
  if (!dataset_->varies_in_length()) return dataset_->sample_length();
  return dataset_->padded_length(Split::training, numbers(step, replica, microbatch));
}

int64_t Loader::tokens(int64_t step) const {
  if (!dataset_->varies_in_length()) return samples_per_step(step) * dataset_->sample_length();
  int64_t sum = 0;
  for (int64_t replica = 0; replica < shape_.replicas; ++replica)
    for (int64_t microbatch = 0; microbatch < microbatches(step); ++microbatch)
      sum += width(step, replica, microbatch) * shape_.microbatch_size;
  return sum;
}

int64_t Loader::training_targets(int64_t step) const { return predicted(first_sample(step), samples_per_step(step)); }

int64_t Loader::training_targets(int64_t step, int64_t replica) const {
  assert(replica >= 0 && replica < shape_.replicas);
  if (dataset_->varies_in_length()) {
    int64_t targets = 0;
    for (int64_t microbatch = 0; microbatch < microbatches(step); ++microbatch)
      targets += dataset_->predicted(Split::training, numbers(step, replica, microbatch));
    return targets;
  }
  const int64_t samples = microbatches(step) * shape_.microbatch_size;
  return predicted(first_sample(step) + replica * samples, samples);
}

int64_t Loader::predicted(int64_t first, int64_t samples) const {
  constexpr int64_t at_once = 4096;  // keeps the numbers of a huge step in the cache
  int64_t targets = 0;
  for (int64_t done = 0; done < samples; done += at_once) {
    targets += dataset_->predicted(Split::training, numbers_from(first + done, std::min(at_once, samples - done)));
  }
  return targets;
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

// Unequal samples are sorted within so many microbatches.
std::vector<int64_t> Loader::held_out_numbers(int64_t limit, int64_t i) const {
  constexpr int64_t window = 16;
  const int64_t size = shape_.microbatch_size, count = held_out_samples(limit, i);
  if (!dataset_->varies_in_length()) return numbers_from(i * size, count);
  const int64_t first = i / window * window * size, all = std::min(limit, dataset_->samples(Split::held_out));
  const std::vector<int64_t> sorted = by_length(Split::held_out, first, std::min(window * size, all - first));
  const auto begin = sorted.begin() + i % window * size;
  return {begin, begin + count};
}

Batch Loader::held_out(int64_t limit, int64_t i, BatchParts parts) const {
  return dataset_->batch(Split::held_out, held_out_numbers(limit, i), parts);
}

int64_t Loader::held_out_width(int64_t limit, int64_t i) const {
  if (!dataset_->varies_in_length()) return dataset_->sample_length();
  return dataset_->padded_length(Split::held_out, held_out_numbers(limit, i));
}

}  // namespace interlock
