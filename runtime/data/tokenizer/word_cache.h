#pragma once
// The ids of words seen before: text repeats itself, and merging costs fifty times a look-up. Bounded: a word replaces
// the one in its slot.

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace interlock {

class WordCache {
 public:
  static constexpr size_t longest_word = 16;
  static constexpr size_t most_ids = 11;

  // One cache line.
  struct alignas(64) Entry {
    std::array<uint64_t, 2> word{};
    uint8_t length = 0, count = 0;  // length 0: empty
    std::array<int32_t, most_ids> ids{};
  };

  // The slot of a word of at most longest_word bytes; `known` when its ids are there, else put() may fill it.
  Entry& slot(std::string_view word, bool& known) {
    std::array<uint64_t, 2> key{};
    std::memcpy(key.data(), word.data(), word.size());
    Entry& entry = entries_[hash(key, word.size())];
    known = entry.length == word.size() && entry.word == key;
    return entry;
  }
  static void put(Entry& entry, std::string_view word, std::span<const int32_t> ids) {
    if (ids.size() > most_ids) return;
    entry.word = {};
    std::memcpy(entry.word.data(), word.data(), word.size());
    entry.length = static_cast<uint8_t>(word.size());
    entry.count = static_cast<uint8_t>(ids.size());
    std::copy(ids.begin(), ids.end(), entry.ids.begin());
  }

 private:
  static constexpr int slot_bits = 15;  // 2 MiB
  static size_t hash(const std::array<uint64_t, 2>& key, size_t length) {
    const uint64_t mixed = (key[0] ^ length) * 0x9E3779B97F4A7C15 ^ (key[1] + length) * 0xC2B2AE3D27D4EB4F;
    return (mixed * 0x9E3779B97F4A7C15) >> (64 - slot_bits);
  }
  std::vector<Entry> entries_ = std::vector<Entry>(size_t{1} << slot_bits);
};

}  // namespace interlock
