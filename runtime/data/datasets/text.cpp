// Dataset `text`: the bytes of files. Masked: a sample is <s>, up to sequence_length - 2 bytes of one file, </s>; the
// last sample of a file is padded. Causal: one stream of files with an </s> behind each, cut into samples of equal
// length.

#include <cassert>
#include <optional>

#include "runtime/data/byte_tokens.h"
#include "runtime/data/causal_dataset.h"
#include "runtime/data/masked_dataset.h"
#include "runtime/data/text_corpus.h"
#include "runtime/data/text_stream.h"

namespace interlock {
namespace {

// Where the bytes lie, whatever is predicted of them.
class TextSource {
 public:
  TextSource(const DatasetSettings& settings, int64_t sample_bytes, bool framed)
      : data_(settings.data), training_(settings.training) {
    request_.paths = data_.texts("paths", {});
    request_.validation_paths = data_.texts("validation_paths", {});
    request_.held_out = read_held_out(data_);
    request_.sample_bytes = sample_bytes;
    request_.framed = framed;
  }

  void open() {
    if (training_ && request_.paths.empty())
      data_.refuse("paths", "is needed: files, folders or globs to read text from");
    corpus_.emplace(request_);
  }

  const TextCorpus& corpus() const {
    assert(corpus_ && "open() comes first");
    return *corpus_;
  }
  // By token; no special one.
  std::vector<int64_t> training_counts() const {
    const auto bytes = corpus().byte_counts(Split::training);
    std::vector<int64_t> counts(byte_tokens::first_byte, 0);
    counts.insert(counts.end(), bytes.begin(), bytes.end());
    return counts;
  }

 private:
  Section data_;
  bool training_;
  CorpusRequest request_;
  std::optional<TextCorpus> corpus_;
};

class MaskedText final : public MaskedDataset {
 public:
  explicit MaskedText(const DatasetSettings& settings)
      : MaskedDataset(settings), source_(settings, sample_length() - 2, true) {}

  void open() override { source_.open(); }

  int64_t samples(Split split) const override { return corpus().samples(split); }
  int64_t classes() const override { return byte_tokens::vocabulary; }
  SampleContent content() const override { return SampleContent::bytes; }

 protected:
  Vocabulary vocabulary() const override {
    return {byte_tokens::begin, byte_tokens::pad, byte_tokens::end, MaskVocabulary::of_bytes()};
  }
  std::string shown(int64_t token) const override { return byte_tokens::shown(token); }
  int64_t predictable(Split split, int64_t sample) const override { return corpus().sample_size(split, sample); }
  int64_t tokens(Split split, int64_t sample) const override { return corpus().sample_size(split, sample); }
  int64_t read(Split split, int64_t number, std::span<int64_t> out) const override {
    const TextCorpus::Sample sample = corpus().sample(split, number);
    for (size_t i = 0; i < sample.bytes.size(); ++i) {
      out[i] = byte_tokens::of_byte(std::to_integer<uint8_t>(sample.bytes[i]));
    }
    return std::ssize(sample.bytes);
  }
  std::vector<int64_t> training_counts() const override { return source_.training_counts(); }

 private:
  const TextCorpus& corpus() const { return source_.corpus(); }

  TextSource source_;
};

class CausalText final : public CausalDataset {
 public:
  explicit CausalText(const DatasetSettings& settings)
      : CausalDataset(settings), source_(settings, sample_length(), false) {}

  void open() override {
    source_.open();
    training_.emplace(source_.corpus(), Split::training, sample_length());
    held_out_.emplace(source_.corpus(), Split::held_out, sample_length());
  }

  int64_t samples(Split split) const override { return stream(split).samples(); }
  int64_t classes() const override { return byte_tokens::vocabulary; }
  SampleContent content() const override { return SampleContent::bytes; }

 protected:
  Marks marks() const override { return {byte_tokens::end, byte_tokens::pad}; }
  std::string shown(int64_t token) const override { return byte_tokens::shown(token); }
  int64_t tokens(Split split, int64_t sample) const override { return stream(split).tokens(sample); }
  void read(Split split, int64_t sample, std::span<int64_t> out) const override { stream(split).read(sample, out); }
  std::vector<int64_t> training_counts() const override {
    std::vector<int64_t> counts = source_.training_counts();
    counts[byte_tokens::end] = training_->ends();
    return counts;
  }

 private:
  const TextStream& stream(Split split) const {
    const auto& stream = split == Split::training ? training_ : held_out_;
    assert(stream && "open() comes first");
    return *stream;
  }

  TextSource source_;
  std::optional<TextStream> training_, held_out_;
};

const Registration<Dataset, const DatasetSettings&> registered(
    "text", [](const DatasetSettings& settings) -> std::unique_ptr<Dataset> {
      if (read_objective(settings.objective, {Objective::masked, Objective::causal}) == Objective::causal)
        return std::make_unique<CausalText>(settings);
      return std::make_unique<MaskedText>(settings);
    });

}  // namespace
}  // namespace interlock
