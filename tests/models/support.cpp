// Owns the helpers of the model tests.
#include "tests/models/support.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "runtime/core/random.h"

namespace interlock::tests {

at::Tensor integers(const std::vector<std::vector<int64_t>>& rows) {
  at::Tensor out = at::empty({static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].size())}, at::kLong);
  int64_t* next = out.mutable_data_ptr<int64_t>();
  for (const auto& row : rows) next = std::copy(row.begin(), row.end(), next);
  return out;
}

Batch token_batch(int64_t samples, int64_t length, int64_t vocabulary, const std::vector<int64_t>& lengths) {
  Batch batch;
  std::vector<std::vector<int64_t>> tokens, targets;
  for (int64_t s = 0; s < samples; ++s) {
    const int64_t filled = lengths.empty() ? length : lengths[static_cast<size_t>(s)];
    tokens.emplace_back(static_cast<size_t>(length), 1);
    targets.emplace_back(static_cast<size_t>(length), ignored_target);
    for (int64_t i = 0; i < filled; ++i) {
      const auto place = static_cast<size_t>(i);
      tokens.back()[place] = 5 + (11 * s + 3 * i) % (vocabulary - 5);
      if (i % 3 != 1) continue;
      targets.back()[place] = 5 + (s + i) % (vocabulary - 5);
      ++batch.predicted;
    }
    batch.sample_ids.push_back(100 + s);
  }
  batch.inputs = integers(tokens);
  batch.targets = integers(targets);
  if (!lengths.empty()) batch.lengths = integers({lengths}).squeeze(0);
  return batch;
}

at::Tensor some_numbers(const std::vector<int64_t>& shape, at::ScalarType type) {
  at::Tensor out = at::empty(shape, at::kDouble);
  double* values = out.mutable_data_ptr<double>();
  const RandomKey key = random_key(7, Purpose::synthetic_data);
  for (int64_t i = 0; i < out.numel(); ++i) {
    values[i] = 2 * unit_interval(philox(key, 0, static_cast<uint64_t>(i))[0]) - 1;
  }
  return out.to(type);
}

std::vector<double> listed(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kDouble).contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::abs(value));
  return most;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return INFINITY;
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) <= most)) most = std::abs(a[i] - b[i]);  // NaN counts as a difference
  }
  return most;
}

bool bit_equal(const at::Tensor& a, const at::Tensor& b) { return a.sizes() == b.sizes() && at::equal(a, b); }

}  // namespace interlock::tests
