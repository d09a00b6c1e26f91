// Two ways to the same merges: a search over all pairs is faster for words as people write them, a queue keeps a word
// of a megabyte from taking quadratic time.

#include "runtime/data/tokenizer/merge_table.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <functional>

namespace interlock {
namespace {

// Where both take the same time on English and C++ text, roughly: the search is the faster one below.
constexpr size_t longest_searched = 64;

}  // namespace

MergeTable::MergeTable(const std::vector<Merge>& merges) {
  slots_.resize(std::bit_ceil(2 * merges.size() + 1));
  mask_ = slots_.size() - 1;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const Merge& merge = merges[rank];
    const uint64_t pair = key(merge.left, merge.right);
    uint64_t slot = hash(pair) & mask_;
    while (slots_[slot].pair != nothing) slot = (slot + 1) & mask_;
    slots_[slot] = {pair, {static_cast<uint32_t>(rank), merge.result}};
  }
}

void WordMerger::merge(const MergeTable& table, std::vector<int32_t>& symbols) {
  if (symbols.size() > longest_searched) return merge_by_queue(table, symbols);
  if (symbols.size() < 2) return;
  pairs_.resize(symbols.size() - 1);
  for (size_t at = 0; at < pairs_.size(); ++at) pairs_[at] = table.find(symbols[at], symbols[at + 1]);
  while (!pairs_.empty()) {
    size_t best = 0;
    for (size_t at = 1; at < pairs_.size(); ++at) best = pairs_[at].rank < pairs_[best].rank ? at : best;
    if (pairs_[best].rank == MergeTable::no_merge) break;
    symbols[best] = pairs_[best].result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    pairs_.erase(pairs_.begin() + static_cast<std::ptrdiff_t>(best));
    if (best > 0) pairs_[best - 1] = table.find(symbols[best - 1], symbols[best]);
    if (best < pairs_.size()) pairs_[best] = table.find(symbols[best], symbols[best + 1]);
  }
}

// The queue holds (rank, place) of pairs that were adjacent when they were put in. One that is not any more is known by
// its place being merged away, or having another rank now.
void WordMerger::merge_by_queue(const MergeTable& table, std::vector<int32_t>& symbols) {
  constexpr uint32_t none = UINT32_MAX;
  const auto size = static_cast<uint32_t>(symbols.size());
  next_.resize(size);
  previous_.resize(size);
  pairs_.assign(size, {});
  queue_.clear();
  const auto look = [&](uint32_t at) {
    pairs_[at] = next_[at] == none ? MergeTable::Found{} : table.find(symbols[at], symbols[next_[at]]);
    return pairs_[at].rank == MergeTable::no_merge ? UINT64_MAX : static_cast<uint64_t>(pairs_[at].rank) << 32 | at;
  };
  for (uint32_t at = 0; at < size; ++at) {
    previous_[at] = at == 0 ? none : at - 1;
    next_[at] = at + 1 == size ? none : at + 1;
  }
  for (uint32_t at = 0; at < size; ++at) {
    if (const uint64_t entry = look(at); entry != UINT64_MAX) queue_.push_back(entry);
  }
  std::make_heap(queue_.begin(), queue_.end(), std::greater<>());
  const auto put = [&](uint64_t entry) {
    if (entry == UINT64_MAX) return;
    queue_.push_back(entry);
    std::push_heap(queue_.begin(), queue_.end(), std::greater<>());
  };
  while (!queue_.empty()) {
    std::pop_heap(queue_.begin(), queue_.end(), std::greater<>());
    const auto rank = static_cast<uint32_t>(queue_.back() >> 32), at = static_cast<uint32_t>(queue_.back());
    queue_.pop_back();
    if (pairs_[at].rank != rank) continue;
    const uint32_t eaten = next_[at];
    symbols[at] = pairs_[at].result;
    pairs_[eaten] = {};
    next_[at] = next_[eaten];
    if (next_[at] != none) previous_[next_[at]] = at;
    put(look(at));
    if (previous_[at] != none) put(look(previous_[at]));
  }
  size_t kept = 0;
  for (uint32_t at = 0; at != none; at = next_[at]) symbols[kept++] = symbols[at];
  symbols.resize(kept);
}

}  // namespace interlock
