// Dataset `labelled`: texts, or pairs of them, out of tables, with a class or a score each. objective.name says what is
// made of them; "masked" reads the texts alone.

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <map>

#include "runtime/data/labelled/labelled_batch.h"
#include "runtime/data/labelled/labelled_source.h"
#include "runtime/data/labelled/masked_labelled.h"
#include "runtime/data/labelled/reads_tables.h"
#include "runtime/data/sample_order.h"

namespace interlock {
namespace {

class LabelledDataset final : public Dataset, public ReadsTables {
 public:
  explicit LabelledDataset(const DatasetSettings& settings) : seed_(settings.seed), source_(settings) {}

  void open() override { source_.open(); }
  int64_t samples(Split split) const override { return texts().samples(split); }
  Objective objective() const override { return request().objective; }
  SampleContent content() const override { return source_.settings().content(); }
  std::shared_ptr<const Tokenizer> tokenizer() const override {
    return source_.has_encoder() ? source_.encoder().tokenizer() : nullptr;
  }
  int64_t sample_length() const override { return request().length; }
  double predicted_share() const override { return 1.0 / static_cast<double>(request().length); }
  int64_t features() const override { return source_.has_encoder() ? source_.encoder().vocabulary() : 0; }
  int64_t classes() const override {
    if (objective() == Objective::regression) return 1;
    return std::ssize(source_.classes());
  }
  std::vector<std::string> labels() const override { return source_.classes(); }
  std::vector<std::string> notes() const override { return texts().notes(); }

  bool varies_in_length() const override { return true; }
  int64_t length(Split split, int64_t number) const override { return texts().length(split, find(split, number)); }
  int64_t padded_length(Split split, std::span<const int64_t> numbers) const override {
    int64_t longest = 0;
    for (const int64_t number : numbers) longest = std::max(longest, length(split, number));
    return padded_width(longest, sample_length());
  }

  Batch batch(Split split, std::span<const int64_t> numbers, BatchParts parts) const override {
    std::vector<int64_t> places;
    for (const int64_t number : numbers) places.push_back(find(split, number));
    return labelled_batch(texts(), split, places, numbers, {sample_length(), source_.encoder().pad(), objective()},
                          parts);
  }
  int64_t predicted(Split, std::span<const int64_t> numbers) const override {
    return static_cast<int64_t>(numbers.size());
  }

  // Of classes their frequencies with add-one smoothing, as for text; of scores the squared distance to their mean.
  double unigram_baseline(int64_t count) const override {
    count = std::min(count, samples(Split::held_out));
    if (count <= 0) return std::numeric_limits<double>::quiet_NaN();
    const int64_t rows = samples(Split::training);
    std::map<double, int64_t> frequencies;
    double mean = 0, sum = 0;
    for (int64_t row = 0; row < rows; ++row) {
      const double label = texts().label(Split::training, row);
      ++frequencies[label];
      mean += label / static_cast<double>(rows);
    }
    for (int64_t number = 0; number < count; ++number) {
      const double label = texts().label(Split::held_out, find(Split::held_out, number));
      sum += objective() == Objective::regression
                 ? (label - mean) * (label - mean)
                 : std::log(static_cast<double>(rows + classes()) / static_cast<double>(frequencies[label] + 1));
    }
    return sum / static_cast<double>(count);
  }

  std::string describe(const Batch& batch, int64_t row) const override {
    const int64_t width = batch.inputs.size(1);
    const int64_t length = batch.lengths.defined() ? batch.lengths.const_data_ptr<int64_t>()[row] : width;
    std::string text;
    for (int64_t place = 0; place < length; ++place)
      text += source_.encoder().shown(batch.inputs.const_data_ptr<int64_t>()[row * width + place]);
    if (objective() == Objective::regression) return message(text, " -> ", batch.targets.const_data_ptr<float>()[row]);
    return text + " -> " + labels()[static_cast<size_t>(batch.targets.const_data_ptr<int64_t>()[row])];
  }

 private:
  const LabelledRequest& request() const { return source_.settings().request; }
  const LabelledTexts& texts() const {
    assert(source_.is_open() && "open() comes first");
    return source_.texts();
  }
  int64_t find(Split split, int64_t number) const { return shuffled(seed_, split, number, samples(split)).sample; }

  uint64_t seed_;
  LabelledSource source_;
};

const Registration<Dataset, const DatasetSettings&> registered(
    "labelled", [](const DatasetSettings& settings) -> std::unique_ptr<Dataset> {
      if (LabelledSettings::from(settings).request.objective == Objective::masked)
        return std::make_unique<MaskedLabelled>(settings);
      return std::make_unique<LabelledDataset>(settings);
    });

}  // namespace
}  // namespace interlock
