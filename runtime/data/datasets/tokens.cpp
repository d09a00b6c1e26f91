// Dataset `tokens`: token files made by `tokenize encode` (or by Megatron's tools), packed into samples of whole
// sentences, for masked-language modelling. A sample is <s>, tokens, </s>.

#include <algorithm>
#include <cassert>
#include <cmath>
#include <filesystem>
#include <optional>

#include "runtime/data/masked_dataset.h"
#include "runtime/data/token_corpus.h"
#include "runtime/data/token_vocabulary.h"
#include "runtime/data/word_ends.h"

namespace interlock {
namespace {

class TokensDataset final : public MaskedDataset {
 public:
  explicit TokensDataset(const DatasetSettings& settings)
      : MaskedDataset(settings),
        data_(settings.data),
        tokenizer_section_(settings.tokenizer),
        training_(settings.training) {
    request_.paths = data_.texts("paths", {});
    request_.validation_paths = data_.texts("validation_paths", {});
    request_.weights = data_.numbers("weights", {});
    if (training_) {
      check_weights();
    } else {
      request_.weights.clear();
    }
    request_.held_out = read_held_out(data_);
    request_.packing.capacity = sample_length() - 2;
    request_.packing.cross_documents =
        data_.one_of("packing", "full_sentences", {"full_sentences", "doc_sentences"}) == "full_sentences";
    request_.seed = settings.seed;
    whole_words_ = settings.objective.flag("whole_word", false);
    tokenizer_path_ = tokenizer_section_.text("path", "");
    // Where the files of a run are not, a plan is made all the same; open() says what is missing.
    if (settings.looks_at_files && !tokenizer_path_.empty() && std::filesystem::exists(tokenizer_path_))
      take_tokenizer();
  }

  void open() override {
    if (tokenizer_path_.empty()) tokenizer_section_.refuse("path", "is needed: the folder of the tokenizer");
    if (training_ && request_.paths.empty())
      data_.refuse("paths", "is needed: token files, each as PREFIX of its .bin and .idx");
    if (!tokenizer_) take_tokenizer();
    check_present("paths", request_.paths, "");
    check_present("validation_paths", request_.validation_paths,
                  ", or set data.validation_paths = [] to hold out a share of data.paths");
    corpus_.emplace(request_, *tokenizer_);
  }

  int64_t samples(Split split) const override { return corpus().samples(split); }
  int64_t classes() const override { return tokenizer_ ? tokenizer_->vocabulary() : 0; }
  SampleContent content() const override { return SampleContent::tokens; }
  std::shared_ptr<const Tokenizer> tokenizer() const override { return tokenizer_; }

 protected:
  Vocabulary vocabulary() const override { return {specials_.begin, specials_.pad, specials_.end, *masking_}; }
  std::string shown(int64_t token) const override { return tokenizer_->shown(token); }
  SamplePlace find(Split split, int64_t number) const override { return corpus().find(split, number); }
  int64_t predictable(Split split, int64_t sample) const override { return corpus().predictable(split, sample); }
  int64_t tokens(Split split, int64_t sample) const override { return corpus().tokens(split, sample); }

  int64_t read(Split split, int64_t sample, std::span<int64_t> out) const override {
    thread_local std::vector<int32_t> ids;
    ids.resize(out.size());
    const int64_t count = corpus().read(split, sample, ids);
    std::copy_n(ids.begin(), count, out.begin());
    return count;
  }

  std::vector<uint32_t> word_ends(std::span<const int64_t> tokens) const override {
    return whole_words_ ? interlock::word_ends(*tokenizer_, tokens) : std::vector<uint32_t>();
  }

  // Every training sample once, whatever the weights.
  std::vector<int64_t> training_counts() const override {
    std::vector<int64_t> counts(static_cast<size_t>(classes()));
    std::vector<int32_t> ids(static_cast<size_t>(sample_length()));
    for (int64_t sample = 0; sample < samples(Split::training); ++sample) {
      const int64_t count = corpus().read(Split::training, sample, ids);
      for (int64_t i = 0; i < count; ++i) ++counts[static_cast<size_t>(ids[static_cast<size_t>(i)])];
    }
    return counts;
  }

 private:
  void take_tokenizer() {
    tokenizer_ = Tokenizer::open(tokenizer_path_);
    masking_.emplace(mask_vocabulary(*tokenizer_, tokenizer_path_));
    specials_ = tokenizer_->specials();
  }

  void check_present(const std::string& key, const std::vector<std::string>& prefixes,
                     const std::string& else_do) const {
    for (const std::string& prefix : prefixes) {
      std::error_code unknown;
      const std::string ending = std::filesystem::path(prefix).extension().string();
      if (ending == ".idx" || ending == ".bin" || std::filesystem::exists(prefix + ".idx", unknown) || unknown)
        continue;
      throw Error(
          ExitCode::bad_input,
          message("data.", key, ": there is no token file ", prefix, " (", prefix,
                  ".idx and .bin); make it of texts with `interlock tokenize encode --output ", prefix, "`", else_do));
    }
  }

  void check_weights() const {
    const std::vector<double>& weights = request_.weights;
    if (weights.empty()) return;
    if (weights.size() != request_.paths.size()) {
      data_.refuse("weights", message("has ", weights.size(), " entries for ", request_.paths.size(),
                                      " data.paths; give one for each"));
    }
    double largest = 0;
    for (const double weight : weights) {
      if (!std::isfinite(weight) || weight < 0)
        data_.refuse("weights", message(weight, " is no weight; 0 is the least"));
      largest = std::max(largest, weight);
    }
    if (largest == 0) data_.refuse("weights", "are all 0: nothing would be left to train on");
    if (weights.size() > 1000) data_.refuse("weights", "are for 1000 paths at most");
  }

  const TokenCorpus& corpus() const {
    assert(corpus_ && "open() comes first");
    return *corpus_;
  }

  Section data_, tokenizer_section_;
  bool training_;  // or only to evaluate
  TokenRequest request_;
  bool whole_words_ = false;
  std::string tokenizer_path_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  Tokenizer::Specials specials_;
  std::optional<MaskVocabulary> masking_;
  std::optional<TokenCorpus> corpus_;
};

const Registration<Dataset, const DatasetSettings&> registered("tokens", [](const DatasetSettings& settings) {
  return std::make_unique<TokensDataset>(settings);
});

}  // namespace
}  // namespace interlock
