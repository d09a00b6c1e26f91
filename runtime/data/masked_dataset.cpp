// From tokens of samples to batches with masked places.

#include "runtime/data/masked_dataset.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

namespace interlock {
namespace {

const Section& objective_of(const DatasetSettings& settings) {
  read_objective(settings.objective, {Objective::masked});
  return settings.objective;
}

}  // namespace

MaskedDataset::MaskedDataset(const DatasetSettings& settings, int64_t usual_length)
    : seed_(settings.seed),
      masking_(objective_of(settings), settings.seed),
      length_(settings.data.integer("sequence_length", usual_length, 3, (1 << 24) - 1)) {}

SamplePlace MaskedDataset::find(Split split, int64_t number) const {
  return shuffled(seed_, split, number, samples(split));
}

Batch MaskedDataset::batch(Split split, std::span<const int64_t> numbers, BatchParts parts) const {
  const auto rows = static_cast<int64_t>(numbers.size());
  const auto width = static_cast<size_t>(length_);
  Batch batch;
  if (parts.inputs) batch.inputs = at::empty({rows, length_}, at::kLong);
  if (parts.targets) batch.targets = at::empty({rows, length_}, at::kLong);
  at::Tensor lengths = at::empty({rows}, at::kLong);
  batch.sample_ids.assign(numbers.begin(), numbers.end());
  // Masking makes both parts of a row: the one that nobody asked for goes here.
  std::vector<int64_t> unasked(parts.inputs == parts.targets ? 0 : width);
  const auto row_of = [&](at::Tensor& part, int64_t row) {
    return part.defined() ? std::span(part.mutable_data_ptr<int64_t>() + row * length_, width) : std::span(unasked);
  };
  bool padded = false;
  for (int64_t row = 0; row < rows; ++row) {
    const SamplePlace place = find(split, numbers[static_cast<size_t>(row)]);
    const int64_t count = parts.any() ? fill(split, place, row_of(batch.inputs, row), row_of(batch.targets, row))
                                      : tokens(split, place.sample);
    lengths.mutable_data_ptr<int64_t>()[row] = count + 2;
    padded |= count + 2 < length_;
    batch.predicted += masking_.predicted(predictable(split, place.sample));
  }
  if (padded) batch.lengths = lengths;
  return batch;
}

int64_t MaskedDataset::fill(Split split, SamplePlace place, std::span<int64_t> inputs,
                            std::span<int64_t> targets) const {
  const Vocabulary words = vocabulary();
  const int64_t count = read(split, place.sample, inputs.subspan(1, inputs.size() - 2));
  const auto end = static_cast<size_t>(count) + 1;
  inputs[0] = words.begin;
  inputs[end] = words.end;
  // By hand, as at::full would start a team of threads for each thread that makes batches.
  std::ranges::fill(inputs.subspan(end + 1), words.pad);
  std::ranges::fill(targets, ignored_target);
  const std::span<int64_t> tokens = inputs.subspan(1, end - 1), labels = targets.subspan(1, end - 1);
  const Masking::Sample sample{split, place.epoch, static_cast<uint64_t>(place.sample)};
  if (const auto ends = word_ends(tokens); ends.empty()) {
    masking_.apply(words.masking, sample, tokens, labels);
  } else {
    masking_.apply_to_words(words.masking, sample, ends, tokens, labels);
  }
  return count;
}

int64_t MaskedDataset::predicted(Split split, std::span<const int64_t> numbers) const {
  int64_t sum = 0;
  for (const int64_t number : numbers) {
    sum += masking_.predicted(predictable(split, find(split, number).sample));
  }
  return sum;
}

double MaskedDataset::unigram_baseline(int64_t count) const {
  count = std::min(count, samples(Split::held_out));
  if (count <= 0) return std::numeric_limits<double>::quiet_NaN();
  const std::vector<int64_t>& frequencies = counts();
  const std::vector<int32_t>& ordinary = vocabulary().masking.ordinary();
  auto total = static_cast<double>(ordinary.size());
  for (const int32_t token : ordinary) total += static_cast<double>(frequencies[static_cast<size_t>(token)]);
  double loss = 0;
  int64_t targets = 0;
  for (int64_t number = 0; number < count; ++number) {
    const Batch one = batch(Split::held_out, {&number, 1}, {.inputs = false});
    for (int64_t place = 0; place < length_; ++place) {
      const int64_t target = one.targets.const_data_ptr<int64_t>()[place];
      if (target == ignored_target) continue;
      loss += std::log(total / static_cast<double>(frequencies[static_cast<size_t>(target)] + 1));
      ++targets;
    }
  }
  return loss / static_cast<double>(targets);
}

const std::vector<int64_t>& MaskedDataset::counts() const {
  std::call_once(counted_, [&] { counts_ = training_counts(); });
  return counts_;
}

std::string MaskedDataset::describe(const Batch& batch, int64_t row) const {
  assert(row >= 0 && row < batch.inputs.size(0));
  const int64_t length = batch.lengths.defined() ? batch.lengths.const_data_ptr<int64_t>()[row] : length_;
  std::string text;
  for (int64_t place = 0; place < length; ++place) {
    text += shown_place(batch.inputs.const_data_ptr<int64_t>()[row * length_ + place],
                        batch.targets.const_data_ptr<int64_t>()[row * length_ + place]);
  }
  return text;
}

std::string MaskedDataset::shown_place(int64_t input, int64_t target) const {
  if (target == ignored_target) return shown(input);
  if (input == vocabulary().masking.mask()) return "[mask:" + shown(target) + "]";
  if (input == target) return "[keep:" + shown(target) + "]";
  return "[random:" + shown(input) + "<-" + shown(target) + "]";
}

}  // namespace interlock
