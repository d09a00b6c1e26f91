// Reads a pair of files through memory maps.

#include "runtime/data/token_file.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <filesystem>
#include <limits>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/data/token_index.h"
#include "runtime/storage/mapped_file.h"

namespace interlock {
namespace {

// Calls act(T{}) with the element type of the file.
template <class Act>
decltype(auto) with_type(TokenType type, const Act& act) {
  switch (type) {
    case TokenType::uint8:
      return act(uint8_t{});
    case TokenType::int8:
      return act(int8_t{});
    case TokenType::int16:
      return act(int16_t{});
    case TokenType::uint16:
      return act(uint16_t{});
    case TokenType::int32:
      return act(int32_t{});
    case TokenType::uint32:
      return act(uint32_t{});
    case TokenType::int64:
      return act(int64_t{});
    default:
      return act(uint64_t{});
  }
}

class MappedTokenFile final : public TokenFile {
 public:
  explicit MappedTokenFile(const std::string& prefix)
      : prefix_(prefix),
        index_file_(prefix + ".idx"),
        ids_file_(prefix + ".bin"),
        index_(index_file_.bytes(), prefix + ".idx", ids_file_.bytes().size(), prefix + ".bin") {
    if (index_.ids_end() < ids_file_.bytes().size())
      log_warning(message(prefix, ".bin has ", ids_file_.bytes().size(), " bytes, but ", prefix,
                          ".idx leads to the first ", index_.ids_end(),
                          " only: the rest is not read; is the index that of another file?"));
  }

  const std::string& prefix() const override { return prefix_; }
  int64_t documents() const override { return index_.documents(); }
  int64_t tokens() const override { return index_.tokens(); }

  int64_t document_tokens(int64_t document) const override {
    const auto [first, last] = sequences(document);
    if (first == last) return 0;
    if (index_.contiguous()) {
      return (index_.offset(last - 1) - index_.offset(first)) / index_.width() + index_.length(last - 1);
    }
    int64_t tokens = 0;
    for (int64_t i = first; i < last; ++i) tokens += index_.length(i);
    return tokens;
  }

  void read(int64_t document, int64_t begin, std::span<int32_t> out) const override {
    if (out.empty()) return;
    auto [sequence, last] = sequences(document);
    int64_t position = begin;
    if (index_.contiguous()) {
      copy(index_.offset(sequence) + begin * index_.width(), out, document, position);
      return;
    }
    while (!out.empty()) {
      assert(sequence < last && "the tokens must lie within the document");
      const int64_t length = index_.length(sequence);
      if (begin < length) {
        const size_t count = std::min(out.size(), static_cast<size_t>(length - begin));
        copy(index_.offset(sequence) + begin * index_.width(), out.first(count), document, position);
        out = out.subspan(count);
        position += static_cast<int64_t>(count);
      }
      begin = std::max<int64_t>(0, begin - length);
      ++sequence;
    }
  }

  int64_t largest_id() const override {
    int64_t largest = -1;
    std::vector<int32_t> ids(size_t{1} << 16);
    for (int64_t document = 0; document < documents(); ++document) {
      const int64_t length = document_tokens(document);
      for (int64_t begin = 0; begin < length; begin += std::ssize(ids)) {
        const auto part = std::span(ids).first(static_cast<size_t>(std::min(std::ssize(ids), length - begin)));
        read(document, begin, part);
        const auto [low, high] = std::ranges::minmax_element(part);
        if (*low < 0) refuse(document, begin + (low - part.begin()), message("is ", *low, ", a negative number"));
        largest = std::max<int64_t>(largest, *high);
      }
    }
    return largest;
  }

 private:
  std::pair<int64_t, int64_t> sequences(int64_t document) const {
    return {index_.first_sequence(document), index_.first_sequence(document + 1)};
  }

  [[noreturn]] void refuse(int64_t document, int64_t position, const std::string& what) const {
    throw Error(ExitCode::bad_input, message(prefix_, ".bin: id ", position, " of document ", document, " ", what));
  }

  // `position` is that of the first id within its document, for messages.
  void copy(int64_t offset, std::span<int32_t> out, int64_t document, int64_t position) const {
    const std::byte* from = ids_file_.bytes().data() + offset;
    assert(static_cast<size_t>(offset) + out.size() * static_cast<size_t>(index_.width()) <= ids_file_.bytes().size());
    with_type(index_.type(), [&](auto zero) {
      using T = decltype(zero);
      for (size_t i = 0; i < out.size(); ++i) {
        T id;
        std::memcpy(&id, from + i * sizeof(T), sizeof(T));
        if constexpr (sizeof(T) > 4 || std::is_same_v<T, uint32_t>) {
          if (!std::in_range<int32_t>(id)) {
            refuse(document, position + static_cast<int64_t>(i), message("is ", id, ": no vocabulary is so large"));
          }
        }
        out[i] = static_cast<int32_t>(id);
      }
      ids_file_.release(static_cast<size_t>(offset), out.size() * sizeof(T));
    });
  }

  std::string prefix_;
  MappedFile index_file_, ids_file_;
  TokenIndex index_;
};

}  // namespace

std::shared_ptr<const TokenFile> TokenFile::open(const std::string& prefix) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const std::string ending = fs::path(prefix).extension().string();
  if ((ending == ".idx" || ending == ".bin") && !fs::exists(prefix + ".idx", ignored)) {
    throw Error(ExitCode::bad_input, message(prefix, ": a token file is named by what its two files share, \"",
                                             prefix.substr(0, prefix.size() - ending.size()), "\""));
  }
  return std::make_shared<const MappedTokenFile>(prefix);
}

}  // namespace interlock
