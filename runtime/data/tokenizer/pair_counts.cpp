// Incremental pair counts.

#include "runtime/data/tokenizer/pair_counts.h"

#include <algorithm>

#include "runtime/core/error.h"

namespace interlock {

bool PairCounts::Candidate::operator<(const Candidate& other) const {
  if (count != other.count) return count < other.count;
  if (left != other.left) return left > other.left;
  return right > other.right;
}

PairCounts::PairCounts(const WordCounts& words, const std::array<int32_t, 256>& byte_symbols) : index_(1 << 16, none) {
  size_t symbols = 0;
  words.each([&](std::string_view word, int64_t) { symbols += word.size(); });
  if (symbols >= none)
    throw Error(ExitCode::bad_input, message("the distinct words of this corpus have ", symbols,
                                             " bytes; training takes 4 G at most: train on a sample of the files"));
  symbols_.reserve(symbols);
  for (auto* list : {&next_, &previous_, &word_}) list->reserve(symbols);
  word_counts_.reserve(words.words());
  words.each([&](std::string_view word, int64_t frequency) {
    const auto begin = static_cast<uint32_t>(symbols_.size()), end = begin + static_cast<uint32_t>(word.size());
    const auto number = static_cast<uint32_t>(word_counts_.size());
    word_counts_.push_back(frequency);
    for (uint32_t at = begin; at < end; ++at) {
      symbols_.push_back(byte_symbols[static_cast<uint8_t>(word[at - begin])]);
      next_.push_back(at + 1 == end ? none : at + 1);
      previous_.push_back(at == begin ? none : at - 1);
      word_.push_back(number);
      if (at != begin) count(symbols_[at - 1], symbols_[at], frequency, at - 1);
    }
  });
  for (uint32_t at = 0; at < pairs_.size(); ++at) {
    pairs_[at].touched = false;
    queue_.push({pairs_[at].count, pairs_[at].left, pairs_[at].right, at});
  }
  touched_.clear();
}

PairCounts::Pair& PairCounts::pair_of(int32_t left, int32_t right, uint32_t& index) {
  const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  const size_t mask = index_.size() - 1;
  for (size_t at = (key * 0x9E3779B97F4A7C15 >> 32) & mask;; at = (at + 1) & mask) {
    index = index_[at];
    if (index == none) {
      if (2 * pairs_.size() >= index_.size()) {
        grow_index();
        return pair_of(left, right, index);
      }
      index = index_[at] = static_cast<uint32_t>(pairs_.size());
      pairs_.push_back({left, right, 0, {}, false});
      return pairs_.back();
    }
    if (pairs_[index].left == left && pairs_[index].right == right) return pairs_[index];
  }
}

void PairCounts::grow_index() {
  index_.assign(2 * index_.size(), none);
  const size_t mask = index_.size() - 1;
  for (uint32_t number = 0; number < pairs_.size(); ++number) {
    const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(pairs_[number].left)) << 32 |
                         static_cast<uint32_t>(pairs_[number].right);
    size_t at = (key * 0x9E3779B97F4A7C15 >> 32) & mask;
    while (index_[at] != none) at = (at + 1) & mask;
    index_[at] = number;
  }
}

void PairCounts::count(int32_t left, int32_t right, int64_t change, uint32_t place) {
  uint32_t index = 0;
  Pair& pair = pair_of(left, right, index);
  pair.count += change;
  if (change < 0) return;  // the queue finds out when the pair comes up
  pair.places.push_back(place);
  if (pair.touched) return;
  pair.touched = true;
  touched_.push_back(index);
}

PairCounts::Best PairCounts::take_best() {
  while (!queue_.empty()) {
    const Candidate top = queue_.top();
    queue_.pop();
    const int64_t count = pairs_[top.pair].count;
    if (count == top.count && count > 0) return {top.left, top.right, count};
    if (count > 0 && count < top.count) queue_.push({count, top.left, top.right, top.pair});
  }
  return {};
}

void PairCounts::merge(const Best& best, int32_t symbol) {
  uint32_t index = 0;
  Pair& pair = pair_of(best.left, best.right, index);
  std::vector<uint32_t> places = std::move(pair.places);
  pair.places.clear();
  pair.count = 0;
  // From left to right, for runs such as "aaa". They come sorted unless two merges make the same symbol.
  if (!std::is_sorted(places.begin(), places.end())) std::sort(places.begin(), places.end());
  for (const uint32_t at : places) {
    const uint32_t eaten = next_[at];
    if (symbols_[at] != best.left || eaten == none || symbols_[eaten] != best.right) continue;
    const int64_t frequency = word_counts_[word_[at]];
    const uint32_t before = previous_[at], behind = next_[eaten];
    symbols_[at] = symbol;
    symbols_[eaten] = -1;
    next_[at] = behind;
    if (before != none) {
      count(symbols_[before], best.left, -frequency, before);
      count(symbols_[before], symbol, frequency, before);
    }
    if (behind != none) {
      previous_[behind] = at;
      count(best.right, symbols_[behind], -frequency, at);
      count(symbol, symbols_[behind], frequency, at);
    }
  }
  // In "aaa" the pair overlapped itself: what was counted down for it above is no pair any more.
  pair_of(best.left, best.right, index).count = 0;
  for (const uint32_t number : touched_) {
    Pair& grown = pairs_[number];
    grown.touched = false;
    if (grown.count > 0) queue_.push({grown.count, grown.left, grown.right, number});
  }
  touched_.clear();
}

}  // namespace interlock
