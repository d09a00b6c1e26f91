// From a stream of tokens to batches whose targets are the inputs shifted by one.

#include "runtime/data/causal_dataset.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

namespace interlock {

CausalDataset::CausalDataset(const DatasetSettings& settings, int64_t usual_length)
    : seed_(settings.seed),
      length_(settings.data.integer("sequence_length", usual_length, 2, (1 << 24) - 1)),
      document_mask_(settings.objective.flag("document_mask", false)) {}

SamplePlace CausalDataset::find(Split split, int64_t number) const {
  return shuffled(seed_, split, number, samples(split));
}

void CausalDataset::read_whole(Split split, int64_t sample, std::vector<int64_t>& out) const {
  out.resize(static_cast<size_t>(tokens(split, sample)) + 1);
  read(split, sample, out);
}

Batch CausalDataset::batch(Split split, std::span<const int64_t> numbers, BatchParts parts) const {
  const auto rows = static_cast<int64_t>(numbers.size());
  Batch batch;
  if (parts.inputs) batch.inputs = at::empty({rows, length_}, at::kLong);
  if (parts.targets) batch.targets = at::empty({rows, length_}, at::kLong);
  if (document_mask_) batch.positions = at::empty({rows, length_}, at::kLong);
  at::Tensor lengths = at::empty({rows}, at::kLong);
  batch.sample_ids.assign(numbers.begin(), numbers.end());
  bool padded = false;
  std::vector<int64_t> read;
  for (int64_t row = 0; row < rows; ++row) {
    const SamplePlace place = find(split, numbers[static_cast<size_t>(row)]);
    const int64_t count = tokens(split, place.sample);
    if (parts.any() || document_mask_) {
      read_whole(split, place.sample, read);
      write_row(read, batch, row);
    }
    lengths.mutable_data_ptr<int64_t>()[row] = count;
    padded |= count < length_;
    batch.predicted += count;
  }
  if (padded) batch.lengths = lengths;
  return batch;
}

// `tokens`: the one before the sample, and then the sample's.
void CausalDataset::write_row(const std::vector<int64_t>& tokens, Batch& batch, int64_t row) const {
  const auto row_of = [&](at::Tensor& part) {
    return std::span(part.mutable_data_ptr<int64_t>() + row * length_, static_cast<size_t>(length_));
  };
  const size_t count = tokens.size() - 1;
  if (batch.inputs.defined()) {
    const auto inputs = row_of(batch.inputs);
    std::copy_n(tokens.begin(), count, inputs.begin());
    std::ranges::fill(inputs.subspan(count), marks().pad);
  }
  if (batch.targets.defined()) {
    const auto targets = row_of(batch.targets);
    std::copy_n(tokens.begin() + 1, count, targets.begin());
    std::ranges::fill(targets.subspan(count), ignored_target);
  }
  if (!document_mask_) return;
  // The end of one document is where the next begins: its first token is predicted from it.
  int64_t place = 0;
  const auto positions = row_of(batch.positions);
  for (size_t i = 0; i < positions.size(); ++i, ++place) {
    if (i < count && tokens[i] == marks().end) place = 0;
    positions[i] = place;
  }
}

int64_t CausalDataset::predicted(Split split, std::span<const int64_t> numbers) const {
  int64_t sum = 0;
  for (const int64_t number : numbers) sum += tokens(split, find(split, number).sample);
  return sum;
}

double CausalDataset::unigram_baseline(int64_t count) const {
  count = std::min(count, samples(Split::held_out));
  if (count <= 0) return std::numeric_limits<double>::quiet_NaN();
  std::call_once(counted_, [&] { counts_ = training_counts(); });
  auto total = static_cast<double>(counts_.size());
  for (const int64_t times : counts_) total += static_cast<double>(times);
  double loss = 0;
  int64_t targets = 0;
  std::vector<int64_t> read;
  for (int64_t number = 0; number < count; ++number) {
    read_whole(Split::held_out, find(Split::held_out, number).sample, read);
    for (size_t i = 1; i < read.size(); ++i, ++targets)
      loss += std::log(total / static_cast<double>(counts_[static_cast<size_t>(read[i])] + 1));
  }
  return loss / static_cast<double>(targets);
}

std::string CausalDataset::describe(const Batch& batch, int64_t row) const {
  assert(row >= 0 && row < batch.inputs.size(0));
  const int64_t length = batch.lengths.defined() ? batch.lengths.const_data_ptr<int64_t>()[row] : length_;
  std::string text = shown(batch.inputs.const_data_ptr<int64_t>()[row * length_]);
  for (int64_t place = 0; place < length; ++place)
    text += shown(batch.targets.const_data_ptr<int64_t>()[row * length_ + place]);
  return text;
}

}  // namespace interlock
