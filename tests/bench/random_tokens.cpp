// A dataset for benchmarks: random tokens, a target at every position or at an even share of them. Needs no files.

#include <ATen/ops/empty.h>

#include <cmath>

#include "runtime/core/random.h"
#include "runtime/data/dataset.h"

namespace interlock {
namespace {

class RandomTokens final : public Dataset {
 public:
  explicit RandomTokens(const DatasetSettings& settings)
      : length_(settings.data.integer("sequence_length", 128, 1)),
        vocabulary_(settings.data.integer("vocabulary", 8192, 1)),
        in_sample_(std::llround(settings.data.number("predicted", 1.0, 0.0, 1.0) * static_cast<double>(length_))),
        objective_(settings.objective.text("name", "masked") == "causal" ? Objective::causal : Objective::masked),
        seed_(settings.seed) {}
  Objective objective() const override { return objective_; }
  int64_t samples(Split split) const override { return split == Split::training ? int64_t{1} << 40 : 0; }
  Batch batch(Split, std::span<const int64_t> numbers, BatchParts parts) const override {
    Batch batch;
    const auto rows = static_cast<int64_t>(numbers.size());
    if (parts.inputs) batch.inputs = draw(numbers, 0);
    if (parts.targets) batch.targets = draw(numbers, 1);
    // Place p is predicted where the share of the places up to it grows by a whole one.
    for (int64_t place = 0; parts.targets && place < length_; ++place)
      if ((place + 1) * in_sample_ / length_ == place * in_sample_ / length_)
        batch.targets.select(1, place).fill_(ignored_target);
    batch.sample_ids.assign(numbers.begin(), numbers.end());
    batch.predicted = rows * in_sample_;
    return batch;
  }
  int64_t predicted(Split, std::span<const int64_t> numbers) const override {
    return static_cast<int64_t>(numbers.size()) * in_sample_;
  }
  int64_t classes() const override { return vocabulary_; }
  int64_t features() const override { return vocabulary_; }
  int64_t sample_length() const override { return length_; }
  double unigram_baseline(int64_t) const override { return 0; }
  std::string describe(const Batch&, int64_t) const override { return "random tokens"; }

 private:
  // [numbers, length]; `part` says which of a place's random words stands there.
  at::Tensor draw(std::span<const int64_t> numbers, size_t part) const {
    at::Tensor tokens = at::empty({std::ssize(numbers), length_}, at::kLong);
    const RandomKey key = random_key(seed_, Purpose::synthetic_data);
    int64_t* next = tokens.mutable_data_ptr<int64_t>();
    for (const int64_t number : numbers) {
      for (int64_t at = 0; at < length_; ++at) {
        const auto words = philox(key, static_cast<uint64_t>(number), static_cast<uint64_t>(at));
        *next++ = words[part] % vocabulary_;
      }
    }
    return tokens;
  }

  int64_t length_, vocabulary_, in_sample_;
  Objective objective_;
  uint64_t seed_;
};

const Registration<Dataset, const DatasetSettings&> registered("random_tokens", [](const DatasetSettings& settings) {
  return std::make_unique<RandomTokens>(settings);
});

}  // namespace
}  // namespace interlock
