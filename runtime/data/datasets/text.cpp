// Dataset `text`: the bytes of files, for masked-language modelling. A sample is <s>, up to sequence_length - 2 bytes
// of one file, </s>; the last sample of a file is padded.

#include <cassert>
#include <optional>

#include "runtime/data/byte_tokens.h"
#include "runtime/data/masked_dataset.h"
#include "runtime/data/text_corpus.h"

namespace interlock {
namespace {

class TextDataset final : public MaskedDataset {
 public:
  explicit TextDataset(const DatasetSettings& settings)
      : MaskedDataset(settings), data_(settings.data), training_(settings.training) {
    request_.paths = data_.texts("paths", {});
    request_.validation_paths = data_.texts("validation_paths", {});
    request_.held_out = read_held_out(data_);
    request_.sample_bytes = sample_length() - 2;
  }

  void open() override {
    if (training_ && request_.paths.empty())
      data_.refuse("paths", "is needed: files, folders or globs to read text from");
    corpus_.emplace(request_);
  }

  int64_t samples(Split split) const override { return corpus().samples(split); }
  int64_t classes() const override { return byte_tokens::vocabulary; }

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
  std::vector<int64_t> training_counts() const override {
    const auto bytes = corpus().byte_counts(Split::training);
    std::vector<int64_t> counts(byte_tokens::first_byte, 0);
    counts.insert(counts.end(), bytes.begin(), bytes.end());
    return counts;
  }

 private:
  const TextCorpus& corpus() const {
    assert(corpus_ && "open() comes first");
    return *corpus_;
  }

  Section data_;
  bool training_;
  CorpusRequest request_;
  std::optional<TextCorpus> corpus_;
};

const Registration<Dataset, const DatasetSettings&> registered("text", [](const DatasetSettings& settings) {
  return std::make_unique<TextDataset>(settings);
});

}  // namespace
}  // namespace interlock
