// Dataset `spirals`: points on interleaved spiral arms, one arm per class. Synthetic and keyed: point i of a seed is
// the same everywhere, and no file is needed. For the `mlp` model.

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numbers>

#include "runtime/core/random.h"
#include "runtime/data/dataset.h"
#include "runtime/data/sample_order.h"

namespace interlock {
namespace {

class SpiralsDataset : public Dataset {
 public:
  explicit SpiralsDataset(const DatasetSettings& settings) : seed_(settings.seed) {
    read_objective(settings.objective, {Objective::classification});
    classes_ = settings.data.integer("classes", 3, 2, 1000);
    const int64_t samples = settings.data.integer("samples", 3000, 2, int64_t{1} << 40);
    noise_ = settings.data.number("noise", 0.1, 0, 10);
    held_out_ = held_out_count(read_held_out(settings.data), samples);
    training_ = samples - held_out_;
  }

  int64_t samples(Split split) const override { return split == Split::training ? training_ : held_out_; }
  int64_t classes() const override { return classes_; }
  int64_t features() const override { return 2; }
  int64_t sample_length() const override { return 1; }
  Objective objective() const override { return Objective::classification; }
  int64_t predicted(Split, std::span<const int64_t> numbers) const override {
    return static_cast<int64_t>(numbers.size());
  }

  Batch batch(Split split, std::span<const int64_t> numbers, BatchParts parts) const override {
    const auto rows = static_cast<int64_t>(numbers.size());
    Batch batch;
    batch.sample_ids.assign(numbers.begin(), numbers.end());
    batch.predicted = rows;
    if (parts.inputs) {
      batch.inputs = at::empty({rows, 2}, at::kFloat);
      float* inputs = batch.inputs.mutable_data_ptr<float>();
      for (int64_t row = 0; row < rows; ++row) place(find(split, numbers[static_cast<size_t>(row)]), inputs + 2 * row);
    }
    if (parts.targets) {
      batch.targets = at::empty({rows}, at::kLong);
      std::ranges::transform(numbers, batch.targets.mutable_data_ptr<int64_t>(),
                             [&](int64_t number) { return find(split, number) % classes_; });
    }
    return batch;
  }

  // Class frequencies of the training points with add-one smoothing, as for text.
  double unigram_baseline(int64_t count) const override {
    count = std::min(count, held_out_);
    if (count <= 0) return std::numeric_limits<double>::quiet_NaN();
    double loss = 0;
    for (int64_t number = 0; number < count; ++number) {
      const int64_t target = find(Split::held_out, number) % classes_;
      const int64_t frequency = training_ / classes_ + (target < training_ % classes_ ? 1 : 0);
      loss += std::log(static_cast<double>(training_ + classes_) / static_cast<double>(frequency + 1));
    }
    return loss / static_cast<double>(count);
  }

  std::string describe(const Batch& batch, int64_t row) const override {
    assert(row >= 0 && row < batch.inputs.size(0));
    const float* point = batch.inputs.const_data_ptr<float>() + 2 * row;
    return message("(", point[0], ", ", point[1], ") class ", batch.targets.const_data_ptr<int64_t>()[row]);
  }

 private:
  // Points 0 .. training - 1 are for training, the rest is held out; each split is shuffled.
  int64_t find(Split split, int64_t number) const {
    const SamplePlace place = shuffled(seed_, split, number, samples(split));
    return place.sample + (split == Split::training ? 0 : training_);
  }

  // Radius uniform in [0, 1], three quarters of a turn per arm, normal noise on the angle (Box and Muller).
  void place(int64_t point, float* out) const {
    constexpr double turn = 2 * std::numbers::pi;
    const auto words = philox(random_key(seed_, Purpose::synthetic_data), 0, static_cast<uint64_t>(point));
    const double radius = unit_interval(words[0]);
    const double normal = std::sqrt(-2 * std::log(unit_interval(words[1]))) * std::cos(turn * unit_interval(words[2]));
    const double arm = static_cast<double>(point % classes_) / static_cast<double>(classes_);
    const double angle = turn * (arm + 0.75 * radius) + noise_ * normal;
    out[0] = static_cast<float>(radius * std::cos(angle));
    out[1] = static_cast<float>(radius * std::sin(angle));
  }

  uint64_t seed_;
  int64_t classes_ = 0, training_ = 0, held_out_ = 0;
  double noise_ = 0;
};

const Registration<Dataset, const DatasetSettings&> registered("spirals", [](const DatasetSettings& settings) {
  return std::make_unique<SpiralsDataset>(settings);
});

}  // namespace
}  // namespace interlock
