// Dataset `tokens`: token files made by `tokenize encode` (or by Megatron's tools). Masked: packed into samples of
// whole sentences, <s>, tokens, </s>. Causal: one stream of documents, cut into samples of equal length.

#include <algorithm>
#include <cstdio>
#include <optional>

#include "runtime/data/causal_dataset.h"
#include "runtime/data/masked_dataset.h"
#include "runtime/data/token_vocabulary.h"
#include "runtime/data/tokens_source.h"
#include "runtime/data/word_ends.h"

namespace interlock {
namespace {

// Every training sample once, whatever the weights; of each the tokens from `first` on.
std::vector<int64_t> count_tokens(const TokenCorpus& corpus, int64_t vocabulary, int64_t longest, int64_t first) {
  std::vector<int64_t> counts(static_cast<size_t>(vocabulary));
  std::vector<int32_t> ids(static_cast<size_t>(longest + first));
  for (int64_t sample = 0; sample < corpus.samples(Split::training); ++sample) {
    const int64_t count = corpus.read(Split::training, sample, ids);
    for (int64_t i = first; i < count; ++i) ++counts[static_cast<size_t>(ids[static_cast<size_t>(i)])];
  }
  return counts;
}

int64_t read_as_numbers(const TokenCorpus& corpus, Split split, int64_t sample, std::span<int64_t> out) {
  thread_local std::vector<int32_t> ids;
  ids.resize(out.size());
  const int64_t count = corpus.read(split, sample, ids);
  std::copy_n(ids.begin(), count, out.begin());
  return count;
}

class MaskedTokens final : public MaskedDataset {
 public:
  explicit MaskedTokens(const DatasetSettings& settings)
      : MaskedDataset(settings),
        source_(settings, packing(settings, sample_length())),
        whole_words_(settings.objective.flag("whole_word", false)) {
    if (source_.tokenizer()) take_tokenizer();
  }

  void open() override {
    source_.open();
    if (!masking_) take_tokenizer();
  }

  int64_t samples(Split split) const override { return source_.corpus().samples(split); }
  int64_t classes() const override { return tokenizer() ? tokenizer()->vocabulary() : 0; }
  SampleContent content() const override { return SampleContent::tokens; }
  std::shared_ptr<const Tokenizer> tokenizer() const override { return source_.tokenizer(); }

  std::vector<std::string> notes() const override {
    const int64_t count = samples(Split::training);
    if (count == 0) return {};
    int64_t filled = 0;
    for (int64_t sample = 0; sample < count; ++sample) filled += 2 + tokens(Split::training, sample);
    const double places = static_cast<double>(count) * static_cast<double>(sample_length());
    const double padding = 1 - static_cast<double>(filled) / places;
    char text[64];
    std::snprintf(text, sizeof text, "%.1f %% of the places in training samples are padding", 100 * padding);
    std::string note = text;
    if (padding > much_padding) note += remedy();
    return {note};
  }

 protected:
  Vocabulary vocabulary() const override { return {specials_.begin, specials_.pad, specials_.end, *masking_}; }
  std::string shown(int64_t token) const override { return tokenizer()->shown(token); }
  SamplePlace find(Split split, int64_t number) const override { return source_.corpus().find(split, number); }
  int64_t predictable(Split split, int64_t sample) const override {
    return source_.corpus().predictable(split, sample);
  }
  int64_t tokens(Split split, int64_t sample) const override { return source_.corpus().tokens(split, sample); }
  int64_t read(Split split, int64_t sample, std::span<int64_t> out) const override {
    return read_as_numbers(source_.corpus(), split, sample, out);
  }
  std::vector<uint32_t> word_ends(std::span<const int64_t> tokens) const override {
    return whole_words_ ? interlock::word_ends(*tokenizer(), tokens) : std::vector<uint32_t>();
  }
  std::vector<int64_t> training_counts() const override {
    return count_tokens(source_.corpus(), classes(), sample_length(), 0);
  }

 private:
  // Whole sentences of 25 tokens leave a tenth of samples of 128 empty: half a sentence each.
  static constexpr double much_padding = 0.15;

  static PackingRules packing(const DatasetSettings& settings, int64_t length) {
    const std::string packing =
        settings.data.one_of("packing", "full_sentences", {"full_sentences", "doc_sentences", "contiguous"});
    PackingRules rules{.capacity = length - 2, .cross_documents = packing != "doc_sentences"};
    if (packing == "contiguous") {
      rules.sentences = SentenceRule::token;
    } else if (settings.data.one_of("sentence_end", "line", {"line", "punctuation"}) == "punctuation") {
      rules.sentences = SentenceRule::punctuation;
    }
    return rules;
  }

  std::string remedy() const {
    const PackingRules& rules = source_.packing();
    std::string said;
    if (rules.sentences == SentenceRule::line)
      said += "; data.sentence_end = \"punctuation\" packs sentences where a line is a paragraph";
    if (rules.cross_documents && rules.sentences != SentenceRule::token)
      said += "; data.packing = \"contiguous\" cuts wherever a sample is full";
    return said;
  }

  void take_tokenizer() {
    masking_.emplace(mask_vocabulary(*tokenizer(), source_.tokenizer_path()));
    specials_ = tokenizer()->specials();
  }

  TokensSource source_;
  bool whole_words_;
  Tokenizer::Specials specials_;
  std::optional<MaskVocabulary> masking_;
};

class CausalTokens final : public CausalDataset {
 public:
  explicit CausalTokens(const DatasetSettings& settings)
      : CausalDataset(settings), source_(settings, packing(settings, sample_length())) {
    if (source_.tokenizer()) take_end();
  }

  void open() override {
    source_.open();
    take_end();
  }

  int64_t samples(Split split) const override { return source_.corpus().samples(split); }
  int64_t classes() const override { return tokenizer() ? tokenizer()->vocabulary() : 0; }
  SampleContent content() const override { return SampleContent::tokens; }
  std::shared_ptr<const Tokenizer> tokenizer() const override { return source_.tokenizer(); }

 protected:
  // What fills up is never looked at, and predicts nothing.
  Marks marks() const override { return {end_, end_}; }
  std::string shown(int64_t token) const override { return tokenizer()->shown(token); }
  SamplePlace find(Split split, int64_t number) const override { return source_.corpus().find(split, number); }
  int64_t tokens(Split split, int64_t sample) const override { return source_.corpus().tokens(split, sample); }
  void read(Split split, int64_t sample, std::span<int64_t> out) const override {
    read_as_numbers(source_.corpus(), split, sample, out);
  }
  std::vector<int64_t> training_counts() const override {
    return count_tokens(source_.corpus(), classes(), sample_length(), 1);
  }

 private:
  static PackingRules packing(const DatasetSettings& settings, int64_t length) {
    settings.data.one_of("packing", "stream", {"stream"});
    return {.capacity = length, .stream = true};
  }
  void take_end() { end_ = document_end(*tokenizer(), source_.tokenizer_path()); }

  TokensSource source_;
  int64_t end_ = 0;
};

const Registration<Dataset, const DatasetSettings&> registered(
    "tokens", [](const DatasetSettings& settings) -> std::unique_ptr<Dataset> {
      if (read_objective(settings.objective, {Objective::masked, Objective::causal}) == Objective::causal)
        return std::make_unique<CausalTokens>(settings);
      return std::make_unique<MaskedTokens>(settings);
    });

}  // namespace
}  // namespace interlock
