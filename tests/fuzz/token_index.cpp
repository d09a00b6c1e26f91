// A token file. Input: u32 size of the index, the index, the ids. What is accepted can be read whole, and gives what a
// plain walk over the same bytes gives.
#include "runtime/data/token_index.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "runtime/data/token_file.h"
#include "tests/fuzz/target.h"

using namespace interlock;

namespace {

// Two files that live as long as the process.
class Pair {
 public:
  Pair() {
    char folder[] = "/tmp/interlock-fuzz-XXXXXX";
    fuzz::require(mkdtemp(folder) != nullptr, "a folder can be made");
    folder_ = folder;
  }
  ~Pair() { std::filesystem::remove_all(folder_); }
  Pair(const Pair&) = delete;
  std::string write(std::string_view index, std::string_view ids) const {
    std::ofstream(folder_ / "pair.idx", std::ios::binary) << index;
    std::ofstream(folder_ / "pair.bin", std::ios::binary) << ids;
    return folder_ / "pair";
  }

 private:
  std::filesystem::path folder_;
};

// Sequences may share bytes, so that a small file may claim more tokens than a test has time for.
constexpr int64_t most_tokens = 1 << 16;

template <class T>
bool narrow(const char* place, int32_t& id) {
  T value;
  std::memcpy(&value, place, sizeof value);
  id = static_cast<int32_t>(+value);
  return std::in_range<int32_t>(value);
}

bool id_at(TokenType type, const char* place, int32_t& id) {
  switch (type) {
    case TokenType::uint8:
      return narrow<uint8_t>(place, id);
    case TokenType::int8:
      return narrow<int8_t>(place, id);
    case TokenType::int16:
      return narrow<int16_t>(place, id);
    case TokenType::uint16:
      return narrow<uint16_t>(place, id);
    case TokenType::int32:
      return narrow<int32_t>(place, id);
    case TokenType::uint32:
      return narrow<uint32_t>(place, id);
    case TokenType::int64:
      return narrow<int64_t>(place, id);
    case TokenType::uint64:
      return narrow<uint64_t>(place, id);
  }
  std::abort();
}

// The ids of a document, or nothing when one of them is too large for an id.
bool walk(const TokenIndex& index, std::string_view ids, int64_t document, std::vector<int32_t>& out) {
  for (int64_t i = index.first_sequence(document); i < index.first_sequence(document + 1); ++i) {
    for (int64_t token = 0; token < index.length(i); ++token) {
      const size_t at = static_cast<size_t>(index.offset(i) + token * index.width());
      if (!id_at(index.type(), ids.substr(at, static_cast<size_t>(index.width())).data(), out.emplace_back()))
        return false;
    }
  }
  return true;
}

void check_ranges(const TokenIndex& index, uint64_t ids_bytes) {
  fuzz::require(index.sequences() >= 0 && index.documents() >= 0 && index.first_sequence(0) == 0,
                "counting begins at 0");
  int64_t tokens = 0;
  for (int64_t i = 0; i < index.sequences(); ++i) {
    fuzz::require(index.length(i) >= 0 && index.offset(i) >= 0, "nothing is negative");
    const uint64_t end = static_cast<uint64_t>(index.offset(i)) +
                         static_cast<uint64_t>(index.length(i)) * static_cast<uint64_t>(index.width());
    fuzz::require(end <= ids_bytes, "a sequence lies in the file");
    tokens += index.length(i);
  }
  fuzz::require(tokens == index.tokens(), "tokens are counted right");
  for (int64_t i = 0; i < index.documents(); ++i) {
    fuzz::require(index.first_sequence(i) >= 0 && index.first_sequence(i) <= index.first_sequence(i + 1),
                  "documents follow each other");
  }
  fuzz::require(index.first_sequence(index.documents()) == index.sequences(), "documents hold all sequences");
}

void check_file(const TokenFile& file, const TokenIndex& index, std::string_view ids) {
  fuzz::require(file.documents() == index.documents() && file.tokens() == index.tokens(), "the file is as its index");
  int64_t largest = -1;
  bool all_fit = true;
  for (int64_t document = 0; document < file.documents(); ++document) {
    std::vector<int32_t> truth, found(static_cast<size_t>(file.document_tokens(document)));
    const bool fits = walk(index, ids, document, truth);
    const bool read = fuzz::accepts(ExitCode::bad_input, [&] { file.read(document, 0, found); });
    fuzz::require(fits == read && (!fits || found == truth), "a document reads as it is written");
    all_fit &= fits && (truth.empty() || *std::min_element(truth.begin(), truth.end()) >= 0);
    for (const int32_t id : truth) largest = std::max<int64_t>(largest, id);
    if (!fits || truth.empty()) continue;
    const size_t begin = truth.size() / 3, end = truth.size() - truth.size() / 4;
    file.read(document, static_cast<int64_t>(begin), std::span(found).subspan(begin, end - begin));
    fuzz::require(found == truth, "a part of a document is read where it belongs");
  }
  int64_t said = -1;
  fuzz::require(fuzz::accepts(ExitCode::bad_input, [&] { said = file.largest_id(); }) == all_fit,
                "ids that cannot be are refused");
  fuzz::require(!all_fit || said == largest, "the largest id is found");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Pair pair;
  uint32_t index_bytes = 0;
  if (size < sizeof index_bytes) return 0;
  std::memcpy(&index_bytes, data, sizeof index_bytes);
  const std::string_view rest = fuzz::text_of(data, size).substr(sizeof index_bytes);
  const std::string_view index_text = rest.substr(0, index_bytes), ids = rest.substr(index_text.size());
  fuzz::accepts(ExitCode::bad_input, [&] {
    const TokenIndex index(std::as_bytes(std::span(index_text)), "input.idx", ids.size(), "input.bin");
    check_ranges(index, ids.size());
    if (index.tokens() > most_tokens || index.documents() > most_tokens) return;
    const std::string prefix = pair.write(index_text, ids);
    std::shared_ptr<const TokenFile> file;
    fuzz::require(fuzz::accepts(ExitCode::bad_input, [&] { file = TokenFile::open(prefix); }), "what is sound opens");
    check_file(*file, index, ids);
  });
  return 0;
}
