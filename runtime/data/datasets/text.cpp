// Dataset `text`: the bytes of files, for masked-language modelling. A sample is <s>, up to sequence_length - 2 bytes
// of one file, </s>; the last sample of a file is padded.

#include <ATen/ops/full.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>

#include "runtime/core/random.h"
#include "runtime/data/byte_tokens.h"
#include "runtime/data/dataset.h"
#include "runtime/data/masking.h"
#include "runtime/data/text_corpus.h"

namespace interlock {
namespace {

std::string shown_place(int64_t input, int64_t target) {
  using byte_tokens::shown;
  if (target == ignored_target) return input == byte_tokens::pad ? "" : shown(input);
  if (input == byte_tokens::mask) return "[mask:" + shown(target) + "]";
  if (input == target) return "[keep:" + shown(target) + "]";
  return "[random:" + shown(input) + "<-" + shown(target) + "]";
}

class TextDataset : public Dataset {
 public:
  explicit TextDataset(const DatasetSettings& settings)
      : data_(settings.data), seed_(settings.seed), masking_(objective(settings), settings.seed) {
    request_.paths = data_.texts("paths", {});
    request_.validation_paths = data_.texts("validation_paths", {});
    request_.held_out = data_.number("held_out", 0.05, 0, 1);
    if (request_.held_out == 1) data_.refuse("held_out", "must be below 1: nothing would be left to train on");
    length_ = data_.integer("sequence_length", 64, 3, 1 << 24);
    request_.sample_bytes = length_ - 2;
    if (settings.max_length > 0 && length_ > settings.max_length) {
      data_.refuse(
          "sequence_length",
          message("is ", length_, ", but the model takes at most model.max_length = ", settings.max_length, " tokens"));
    }
    if (settings.vocabulary > 0 && settings.vocabulary < byte_tokens::vocabulary) {
      throw Error(ExitCode::config, message("vocabulary too small for the data: the model has ", settings.vocabulary,
                                            " tokens, bytes and special tokens are ", byte_tokens::vocabulary));
    }
  }

  void open() override {
    if (request_.paths.empty()) data_.refuse("paths", "is needed: files, folders or globs to read text from");
    corpus_.emplace(request_);
  }

  int64_t samples(Split split) const override { return corpus().samples(split); }
  int64_t classes() const override { return byte_tokens::vocabulary; }
  int64_t features() const override { return byte_tokens::vocabulary; }
  int64_t sample_length() const override { return length_; }
  double predicted_share() const override { return masking_.rate(); }

  Batch batch(Split split, std::span<const int64_t> numbers) const override {
    const auto rows = static_cast<int64_t>(numbers.size());
    Batch batch;
    batch.inputs = at::full({rows, length_}, byte_tokens::pad, at::kLong);
    batch.targets = at::full({rows, length_}, ignored_target, at::kLong);
    at::Tensor lengths = at::full({rows}, length_, at::kLong);
    batch.sample_ids.assign(numbers.begin(), numbers.end());
    bool padded = false;
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t bytes =
          fill(split, numbers[static_cast<size_t>(row)], batch.inputs.mutable_data_ptr<int64_t>() + row * length_,
               batch.targets.mutable_data_ptr<int64_t>() + row * length_);
      lengths.mutable_data_ptr<int64_t>()[row] = bytes + 2;
      padded |= bytes + 2 < length_;
      batch.predicted += masking_.predicted(bytes);
    }
    if (padded) batch.lengths = lengths;
    return batch;
  }

  int64_t predicted(Split split, std::span<const int64_t> numbers) const override {
    int64_t sum = 0;
    for (const int64_t number : numbers) {
      sum += masking_.predicted(corpus().sample_size(split, find(split, number).sample));
    }
    return sum;
  }

  // Add-one smoothing: a byte value that never occurs in the training part still has a finite loss.
  double unigram_baseline(int64_t count) const override {
    count = std::min(count, samples(Split::held_out));
    if (count <= 0) return std::numeric_limits<double>::quiet_NaN();
    const auto& frequencies = training_counts();
    double total = 256;
    for (const int64_t frequency : frequencies) total += static_cast<double>(frequency);
    double loss = 0;
    int64_t targets = 0;
    for (int64_t number = 0; number < count; ++number) {
      const Batch one = batch(Split::held_out, {&number, 1});
      for (int64_t place = 0; place < length_; ++place) {
        const int64_t target = one.targets.const_data_ptr<int64_t>()[place];
        if (target == ignored_target) continue;
        loss += std::log(total / static_cast<double>(frequencies[byte_tokens::to_byte(target)] + 1));
        ++targets;
      }
    }
    return loss / static_cast<double>(targets);
  }

  std::string describe(const Batch& batch, int64_t row) const override {
    assert(row >= 0 && row < batch.inputs.size(0));
    std::string text;
    for (int64_t place = 0; place < length_; ++place) {
      text += shown_place(batch.inputs.const_data_ptr<int64_t>()[row * length_ + place],
                          batch.targets.const_data_ptr<int64_t>()[row * length_ + place]);
    }
    return text;
  }

 private:
  struct Found {
    uint64_t epoch = 0;
    int64_t sample = 0;  // in the order of the corpus
  };

  static const Section& objective(const DatasetSettings& settings) {
    settings.objective.one_of("name", "masked_language_model", {"masked_language_model"});
    return settings.objective;
  }

  const TextCorpus& corpus() const {
    assert(corpus_ && "open() comes first");
    return *corpus_;
  }

  // Held-out samples are shuffled too, once and for ever, so that an evaluation of a few sees a spread of files.
  Found find(Split split, int64_t number) const {
    const int64_t size = samples(split);
    assert(number >= 0 && size > 0 && (split == Split::training || number < size));
    const auto epoch = static_cast<uint64_t>(number / size);
    const RandomKey key = random_key(seed_, Purpose::sample_order, epoch, 0, split == Split::training ? 0 : 1);
    const uint64_t sample = permuted(key, static_cast<uint64_t>(number % size), static_cast<uint64_t>(size));
    return {epoch, static_cast<int64_t>(sample)};
  }

  // Writes one sample; returns how many bytes it has.
  int64_t fill(Split split, int64_t number, int64_t* inputs, int64_t* targets) const {
    const Found found = find(split, number);
    const TextCorpus::Sample sample = corpus().sample(split, found.sample);
    const size_t size = sample.bytes.size();
    inputs[0] = byte_tokens::begin;
    for (size_t i = 0; i < size; ++i) inputs[i + 1] = byte_tokens::of_byte(std::to_integer<uint8_t>(sample.bytes[i]));
    inputs[size + 1] = byte_tokens::end;
    masking_.apply(split, found.epoch, static_cast<uint64_t>(found.sample), {inputs + 1, size}, {targets + 1, size});
    return static_cast<int64_t>(size);
  }

  const std::array<int64_t, 256>& training_counts() const {
    std::call_once(counted_, [&] { training_counts_ = corpus().byte_counts(Split::training); });
    return training_counts_;
  }

  Section data_;
  uint64_t seed_;
  Masking masking_;
  CorpusRequest request_;
  int64_t length_ = 0;
  std::optional<TextCorpus> corpus_;
  mutable std::once_flag counted_;
  mutable std::array<int64_t, 256> training_counts_ = {};
};

const Registration<Dataset, const DatasetSettings&> registered("text", [](const DatasetSettings& settings) {
  return std::make_unique<TextDataset>(settings);
});

}  // namespace
}  // namespace interlock
