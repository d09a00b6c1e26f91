// Hash tables of words.

#include "runtime/data/tokenizer/word_counts.h"

#include <cstring>

#include "runtime/core/error.h"
#include "runtime/data/tokenizer/pretokens.h"

namespace interlock {
namespace {

constexpr size_t first_slots = 1 << 10, block_bytes = size_t{64} << 10;

}  // namespace

WordTable::WordTable() : slots_(first_slots) {}

uint64_t WordTable::hash_of(std::string_view word) {
  constexpr uint64_t multiplier = 0x9E3779B97F4A7C15;
  uint64_t hash = word.size() * multiplier, part = 0;
  size_t at = 0;
  for (; at + sizeof part <= word.size(); at += sizeof part) {
    std::memcpy(&part, word.data() + at, sizeof part);
    hash = (hash ^ part) * multiplier;
    hash ^= hash >> 29;
  }
  part = 0;
  std::memcpy(&part, word.data() + at, word.size() - at);
  hash = (hash ^ part) * multiplier;
  hash ^= hash >> 32;
  return hash * multiplier;
}

void WordTable::add(std::string_view word, uint64_t hash, int64_t count) {
  const size_t mask = slots_.size() - 1;
  // The low bits choose the slot; the shard has taken the high ones.
  for (size_t at = (hash >> 16) & mask;; at = (at + 1) & mask) {
    Slot& slot = slots_[at];
    if (slot.word == nullptr) {
      slot = {store(word), hash, static_cast<uint32_t>(word.size()), count};
      if (2 * ++used_ > slots_.size()) grow();
      return;
    }
    if (slot.hash == hash && slot.length == word.size() && std::memcmp(slot.word, word.data(), word.size()) == 0) {
      slot.count += count;
      return;
    }
  }
}

const char* WordTable::store(std::string_view word) {
  if (word.size() > room_) {
    room_ = std::max(block_bytes, word.size());
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(room_));
    stored_ += room_;
    next_ = blocks_.back().get();
  }
  char* place = next_;
  std::memcpy(place, word.data(), word.size());
  next_ += word.size();
  room_ -= word.size();
  return place;
}

void WordTable::grow() {
  std::vector<Slot> old(2 * slots_.size());
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.word == nullptr) continue;
    size_t at = (slot.hash >> 16) & mask;
    while (slots_[at].word != nullptr) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

void WordTable::clear() { *this = WordTable(); }

WordCounts::WordCounts(int workers, size_t local_bytes)
    : local_bytes_(local_bytes), locals_(static_cast<size_t>(workers)) {}

void WordCounts::add_text(std::string_view text, int worker) {
  WordTable& local = locals_[static_cast<size_t>(worker)];
  for (size_t at = 0; at < text.size();) {
    const size_t end = pretoken_end(text, at);
    const std::string_view word = text.substr(at, end - at);
    if (word.size() > UINT32_MAX)
      throw Error(ExitCode::bad_input, message("a word of ", word.size(), " bytes is too long to train on"));
    local.add(word, WordTable::hash_of(word), 1);
    at = end;
  }
  if (local.bytes() > local_bytes_) empty(local);
}

void WordCounts::empty(WordTable& local) {
  local.each([&](std::string_view word, uint64_t hash, int64_t count) {
    Shard& shard = shards_[hash >> (64 - shard_bits)];
    const std::lock_guard lock(shard.mutex);
    shard.table.add(word, hash, count);
  });
  local.clear();
}

void WordCounts::finish() {
  for (WordTable& local : locals_) empty(local);
}

void WordCounts::each(const std::function<void(std::string_view, int64_t)>& visit) const {
  for (const Shard& shard : shards_)
    shard.table.each([&](std::string_view word, uint64_t, int64_t count) { visit(word, count); });
}

size_t WordCounts::words() const {
  size_t sum = 0;
  for (const Shard& shard : shards_) sum += shard.table.words();
  return sum;
}

size_t WordCounts::bytes() const {
  size_t sum = 0;
  for (const Shard& shard : shards_) sum += shard.table.bytes();
  return sum;
}

}  // namespace interlock
