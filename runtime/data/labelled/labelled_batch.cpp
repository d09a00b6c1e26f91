#include "runtime/data/labelled/labelled_batch.h"

#include <ATen/ops/empty.h>

#include <algorithm>

namespace interlock {

int64_t padded_width(int64_t longest, int64_t most) {
  constexpr int64_t multiple = 8;
  return std::min(most, (longest + multiple - 1) / multiple * multiple);
}

Batch labelled_batch(const LabelledTexts& texts, Split split, std::span<const int64_t> samples,
                     std::span<const int64_t> ids, const LabelledBatchShape& shape, BatchParts parts) {
  const auto rows = static_cast<int64_t>(samples.size());
  Batch batch;
  batch.sample_ids.assign(ids.begin(), ids.end());
  batch.predicted = rows;
  int64_t longest = 0, shortest = shape.most;
  at::Tensor lengths = at::empty({rows}, at::kLong);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t length = texts.length(split, samples[static_cast<size_t>(row)]);
    lengths.mutable_data_ptr<int64_t>()[row] = length;
    longest = std::max(longest, length);
    shortest = std::min(shortest, length);
  }
  const int64_t width = padded_width(longest, shape.most);
  if (shortest < width) batch.lengths = lengths;
  if (parts.inputs) {
    batch.inputs = at::empty({rows, width}, at::kLong);
    int64_t* out = batch.inputs.mutable_data_ptr<int64_t>();
    for (const int64_t sample : samples) {
      const auto tokens = texts.tokens(split, sample);
      std::fill(std::copy(tokens.begin(), tokens.end(), out), out + width, shape.pad);
      out += width;
    }
  }
  if (!parts.targets) return batch;
  if (shape.objective == Objective::regression) {
    batch.targets = at::empty({rows}, at::kFloat);
    std::ranges::transform(samples, batch.targets.mutable_data_ptr<float>(),
                           [&](int64_t sample) { return static_cast<float>(texts.label(split, sample)); });
  } else {
    batch.targets = at::empty({rows}, at::kLong);
    std::ranges::transform(samples, batch.targets.mutable_data_ptr<int64_t>(),
                           [&](int64_t sample) { return static_cast<int64_t>(texts.label(split, sample)); });
  }
  return batch;
}

}  // namespace interlock
