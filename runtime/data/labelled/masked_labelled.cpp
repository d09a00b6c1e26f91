#include "runtime/data/labelled/masked_labelled.h"

#include <algorithm>

#include "runtime/data/token_vocabulary.h"

namespace interlock {

MaskedLabelled::MaskedLabelled(const DatasetSettings& settings)
    : MaskedDataset(settings, usual_labelled_length), source_(settings) {
  if (source_.has_encoder()) take_masking();
}

void MaskedLabelled::take_masking() {
  const auto tokens = source_.encoder().tokenizer();
  masking_ = tokens ? mask_vocabulary(*tokens, source_.settings().tokenizer_path) : MaskVocabulary::of_bytes();
}

void MaskedLabelled::open() {
  source_.open();
  if (!masking_) take_masking();
}

std::shared_ptr<const Tokenizer> MaskedLabelled::tokenizer() const {
  return source_.has_encoder() ? source_.encoder().tokenizer() : nullptr;
}

// The frame that a sample has is the one that every masked sample gets.
MaskedDataset::Vocabulary MaskedLabelled::vocabulary() const {
  return {source_.encoder().begin(), source_.encoder().pad(), source_.encoder().end(), *masking_};
}

int64_t MaskedLabelled::read(Split split, int64_t sample, std::span<int64_t> out) const {
  const auto framed = source_.texts().tokens(split, sample);
  std::copy(framed.begin() + 1, framed.end() - 1, out.begin());
  return std::ssize(framed) - 2;
}

int64_t MaskedLabelled::predictable(Split split, int64_t sample) const {
  return std::ranges::count_if(source_.texts().tokens(split, sample),
                               [&](int32_t token) { return !masking_->is_special(token); });
}

std::vector<int64_t> MaskedLabelled::training_counts() const {
  std::vector<int64_t> counts(static_cast<size_t>(classes()));
  for (int64_t sample = 0; sample < samples(Split::training); ++sample)
    for (const int32_t token : source_.texts().tokens(Split::training, sample)) ++counts[static_cast<size_t>(token)];
  return counts;
}

}  // namespace interlock
