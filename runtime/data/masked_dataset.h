#pragma once
// What datasets for masked-language modelling share: frames around samples, masking, counts, the baseline, and samples
// for people. A dataset says which tokens a sample has.

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "runtime/data/dataset.h"
#include "runtime/data/masking.h"
#include "runtime/data/sample_order.h"

namespace interlock {

class MaskedDataset : public Dataset {
 public:
  explicit MaskedDataset(const DatasetSettings& settings, int64_t usual_length = 64);

  int64_t features() const override { return classes(); }
  int64_t sample_length() const override { return length_; }
  double predicted_share() const override { return masking_.rate(); }
  int64_t mask_token() const override { return vocabulary().masking.mask(); }
  Batch batch(Split split, std::span<const int64_t> numbers, BatchParts parts) const override;
  int64_t predicted(Split split, std::span<const int64_t> numbers) const override;
  // Add-one smoothing over all tokens but special ones: one that never occurs in training still has a finite loss.
  double unigram_baseline(int64_t count) const override;
  std::string describe(const Batch& batch, int64_t row) const override;

 protected:
  struct Vocabulary {
    int64_t begin, pad, end;  // <s>, <pad>, </s>
    const MaskVocabulary& masking;
  };
  virtual Vocabulary vocabulary() const = 0;
  virtual std::string shown(int64_t token) const = 0;
  // Where number `number` of a split is found.
  virtual SamplePlace find(Split split, int64_t number) const;
  // How many tokens of a sample may be predicted, without reading them.
  virtual int64_t predictable(Split split, int64_t sample) const = 0;
  // How many tokens a sample has without its frame, special ones included, without reading them.
  virtual int64_t tokens(Split split, int64_t sample) const = 0;
  // Writes the tokens of a sample without its frame, at most sample_length() - 2; returns how many.
  virtual int64_t read(Split split, int64_t sample, std::span<int64_t> out) const = 0;
  // The ends of the words of a sample when whole words are masked (Masking::apply_to_words); none: single tokens are.
  virtual std::vector<uint32_t> word_ends(std::span<const int64_t>) const { return {}; }
  // How often each token occurs in the training part.
  virtual std::vector<int64_t> training_counts() const = 0;

  uint64_t seed() const { return seed_; }

 private:
  // Makes a whole row, padding included; returns how many tokens it has without its frame.
  int64_t fill(Split split, SamplePlace place, std::span<int64_t> inputs, std::span<int64_t> targets) const;
  std::string shown_place(int64_t input, int64_t target) const;
  const std::vector<int64_t>& counts() const;

  uint64_t seed_;
  Masking masking_;
  int64_t length_;
  mutable std::once_flag counted_;
  mutable std::vector<int64_t> counts_;
};

}  // namespace interlock
