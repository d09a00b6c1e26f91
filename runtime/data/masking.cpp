// Keyed choice of masked places.

#include "runtime/data/masking.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <utility>

#include "runtime/data/byte_tokens.h"

namespace interlock {
namespace {

// A number below `size` from 32 random bits. Its bias is below size / 2^32: 2e-6 for 8192 places.
uint64_t below(uint32_t word, uint64_t size) { return (word * size) >> 32; }

// Counters of the draws for words begin here, so that none serves two purposes.
constexpr uint64_t word_counters = uint64_t{1} << 32;

struct Word {
  uint32_t begin, end;
};

// Words without special tokens; a special token splits the word it stands in.
std::vector<Word> ordinary_words(const MaskVocabulary& vocabulary, std::span<const uint32_t> word_ends,
                                 std::span<const int64_t> tokens) {
  std::vector<Word> words;
  uint32_t begin = 0;
  const auto add = [&](uint32_t end) {
    if (end > begin) words.push_back({begin, end});
  };
  for (const uint32_t end : word_ends) {
    for (uint32_t place = begin; place < end; ++place) {
      if (!vocabulary.is_special(tokens[place])) continue;
      add(place);
      begin = place + 1;
    }
    add(end);
    begin = end;
  }
  assert(begin == tokens.size() && "every token belongs to a word");
  return words;
}

}  // namespace

MaskVocabulary::MaskVocabulary(int64_t mask, const std::vector<bool>& special)
    : mask_(mask), special_(special.begin(), special.end()) {
  for (size_t id = 0; id < special_.size(); ++id) {
    if (special_[id] == 0) ordinary_.push_back(static_cast<int32_t>(id));
  }
  assert(mask_ >= 0 && is_special(mask_) && !ordinary_.empty());
}

const MaskVocabulary& MaskVocabulary::of_bytes() {
  static const MaskVocabulary bytes(byte_tokens::mask, [] {
    std::vector<bool> special(byte_tokens::vocabulary);
    for (int64_t id = 0; id < byte_tokens::vocabulary; ++id)
      special[static_cast<size_t>(id)] = !byte_tokens::is_byte(id);
    return special;
  }());
  return bytes;
}

Masking::Masking(const Section& objective, uint64_t seed)
    : rate_(objective.number("mask_rate", 0.15, 0, 1)),
      mask_share_(objective.number("mask_share", 0.8, 0, 1)),
      random_share_(objective.number("random_share", 0.1, 0, 1)),
      seed_(seed) {
  if (rate_ == 0) objective.refuse("mask_rate", "must be above 0: without masked places nothing is predicted");
  if (mask_share_ + random_share_ > 1 + 1e-9) {  // 0.9 + 0.1 must not fail by rounding
    objective.refuse("random_share", message("and mask_share (", mask_share_, ") add up to more than 1"));
  }
}

int64_t Masking::predicted(int64_t count) const {
  if (count == 0) return 0;
  return std::clamp<int64_t>(std::llround(rate_ * static_cast<double>(count)), 1, count);
}

RandomKey Masking::key_of(Sample sample) const {
  return random_key(seed_, Purpose::masking, sample.epoch, 0, sample.split == Split::training ? 0 : 1);
}

void Masking::replace(const MaskVocabulary& vocabulary, uint32_t kind_word, uint32_t token_word, int64_t& token) const {
  const double kind = unit_interval(kind_word);
  if (kind < mask_share_) {
    token = vocabulary.mask();
  } else if (kind < mask_share_ + random_share_) {
    token = vocabulary.ordinary()[below(token_word, vocabulary.ordinary().size())];
  }
}

void Masking::apply(const MaskVocabulary& vocabulary, Sample sample, std::span<int64_t> tokens,
                    std::span<int64_t> targets) const {
  assert(tokens.size() == targets.size());
  std::vector<uint32_t> places(tokens.size());
  size_t ordinary = 0;
  for (size_t place = 0; place < tokens.size(); ++place) {
    places[ordinary] = static_cast<uint32_t>(place);
    ordinary += !vocabulary.is_special(tokens[place]);
  }
  const RandomKey key = key_of(sample);
  const auto count = static_cast<size_t>(predicted(static_cast<int64_t>(ordinary)));
  for (size_t i = 0; i < count; ++i) {
    // One step of Fisher and Yates: place i is any of those not chosen yet.
    const auto [place_word, kind_word, token_word, unused] = philox(key, sample.number, i);
    std::swap(places[i], places[i + below(place_word, ordinary - i)]);
    const size_t place = places[i];
    targets[place] = tokens[place];
    replace(vocabulary, kind_word, token_word, tokens[place]);
  }
}

void Masking::apply_to_words(const MaskVocabulary& vocabulary, Sample sample, std::span<const uint32_t> word_ends,
                             std::span<int64_t> tokens, std::span<int64_t> targets) const {
  assert(tokens.size() == targets.size());
  std::vector<Word> words = ordinary_words(vocabulary, word_ends, tokens);
  int64_t ordinary = 0;
  for (const Word word : words) ordinary += word.end - word.begin;
  const RandomKey key = key_of(sample);
  int64_t left = predicted(ordinary);
  uint64_t taken = 0;
  const auto take = [&](Word word) {
    const uint32_t end = std::min(word.end, word.begin + static_cast<uint32_t>(left));
    left -= end - word.begin;
    for (uint32_t place = word.begin; place < end; ++place) {
      const auto draw = philox(key, sample.number, taken++);
      targets[place] = tokens[place];
      replace(vocabulary, draw[1], draw[2], tokens[place]);
    }
  };
  std::vector<Word> passed_over;
  for (size_t i = 0; i < words.size() && left > 0; ++i) {
    const uint32_t draw = philox(key, sample.number, word_counters + i)[0];
    std::swap(words[i], words[i + below(draw, words.size() - i)]);
    if (words[i].end - words[i].begin <= left) {
      take(words[i]);
    } else {
      passed_over.push_back(words[i]);
    }
  }
  for (size_t i = 0; left > 0; ++i) take(passed_over[i]);
}

}  // namespace interlock
