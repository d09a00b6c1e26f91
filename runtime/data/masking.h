#pragma once
// Which places of a sample are predicted, and what the model sees there: a pure function of (seed, split, epoch,
// sample).

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/core/config.h"
#include "runtime/core/random.h"
#include "runtime/data/dataset.h"

namespace interlock {

// A vocabulary as masking sees it.
class MaskVocabulary {
 public:
  // `special[id]` for ids 0 .. size - 1; those are never predicted and never stand in for another token.
  MaskVocabulary(int64_t mask, const std::vector<bool>& special);
  static const MaskVocabulary& of_bytes();

  int64_t mask() const { return mask_; }
  int64_t size() const { return std::ssize(special_); }
  bool is_special(int64_t id) const { return special_[static_cast<size_t>(id)] != 0; }
  const std::vector<int32_t>& ordinary() const { return ordinary_; }  // all ids that are not special

 private:
  int64_t mask_;
  std::vector<uint8_t> special_;
  std::vector<int32_t> ordinary_;
};

class Masking {
 public:
  // Reads [objective]: mask_rate, and of the masked places mask_share become <mask>, random_share a random token; the
  // rest is kept.
  Masking(const Section& objective, uint64_t seed);
  double rate() const { return rate_; }

  // Of `count` tokens max(1, round(rate * count)) are predicted, so that no sample is empty; none of 0.
  int64_t predicted(int64_t count) const;

  struct Sample {
    Split split = Split::training;
    uint64_t epoch = 0;  // 0 for held-out samples: what is evaluated never changes (their draws are apart anyway)
    uint64_t number = 0;
  };
  // `tokens` are those of one sample, without padding. Changes them to what the model sees and puts the true token into
  // `targets` (of equal size, filled with ignored_target before) where one is predicted.
  void apply(const MaskVocabulary& vocabulary, Sample sample, std::span<int64_t> tokens,
             std::span<int64_t> targets) const;
  // The same number of places, as whole words (`word_ends`: the place after each word's last token, ascending). Words
  // are visited in a random order, each as likely as any; one that fits into what is left to predict is taken whole,
  // others are passed over. Should places be left when all have been visited, those passed over first are taken up to
  // what is left: at most one word of a sample is cut. Each token of a word has its own draw of mask, random or kept.
  void apply_to_words(const MaskVocabulary& vocabulary, Sample sample, std::span<const uint32_t> word_ends,
                      std::span<int64_t> tokens, std::span<int64_t> targets) const;

 private:
  RandomKey key_of(Sample sample) const;
  void replace(const MaskVocabulary& vocabulary, uint32_t kind_word, uint32_t token_word, int64_t& token) const;

  double rate_, mask_share_, random_share_;
  uint64_t seed_;
};

}  // namespace interlock
