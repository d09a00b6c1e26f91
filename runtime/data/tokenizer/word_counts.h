#pragma once
// How often each pre-token occurs in a corpus. Many threads count, each in a table of bounded size of its own that it
// empties into the shared one, which holds every distinct word once.

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

namespace interlock {

// Counts by word; an open hash table whose words lie in blocks of bytes.
class WordTable {
 public:
  WordTable();
  void add(std::string_view word, uint64_t hash, int64_t count);
  template <class Visit>
  void each(Visit visit) const {
    for (const Slot& slot : slots_) {
      if (slot.word != nullptr) visit(std::string_view(slot.word, slot.length), slot.hash, slot.count);
    }
  }
  void clear();
  size_t words() const { return used_; }
  size_t bytes() const { return stored_ + slots_.size() * sizeof(Slot); }

  static uint64_t hash_of(std::string_view word);

 private:
  struct Slot {
    const char* word = nullptr;
    uint64_t hash = 0;
    uint32_t length = 0;
    int64_t count = 0;
  };
  const char* store(std::string_view word);
  void grow();

  std::vector<Slot> slots_;
  size_t used_ = 0, stored_ = 0;
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* next_ = nullptr;  // free place in the last block
  size_t room_ = 0;
};

class WordCounts {
 public:
  // `local_bytes`: when a worker's table has grown to this, it is emptied.
  explicit WordCounts(int workers, size_t local_bytes = size_t{64} << 20);
  void add_text(std::string_view text, int worker);  // valid UTF-8
  void finish();                                     // all workers are done
  void each(const std::function<void(std::string_view word, int64_t count)>& visit) const;
  size_t words() const;
  size_t bytes() const;

 private:
  static constexpr int shard_bits = 6;
  struct Shard {
    std::mutex mutex;
    WordTable table;
  };
  void empty(WordTable& local);

  size_t local_bytes_;
  std::vector<WordTable> locals_;
  std::array<Shard, size_t{1} << shard_bits> shards_;
};

}  // namespace interlock
