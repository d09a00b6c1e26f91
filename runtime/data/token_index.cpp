// Layouts, little-endian and without padding. Megatron: magic (9 bytes), u64 version, u8 type, u64 sequences, u64
// entries of the document index, i32 length of each sequence, i64 byte offset of each, i64 document index (the first
// sequence of each document, then the number of sequences), and for multimodal data one i8 per sequence, which is not
// needed here. fairseq: the same magic without the document index and its count, and other codes of types.

#include "runtime/data/token_index.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <optional>

#include "runtime/core/error.h"

namespace interlock {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are little-endian");

constexpr char magic[] = "MMIDIDX\0";  // with the end of the literal: two zero bytes
constexpr size_t version_at = 9, type_at = 17, sequences_at = 18, documents_at = 26;
constexpr uint64_t fairseq_header = 26, megatron_header = 34;

template <class T>
T number_at(const std::byte* place) {
  T value;
  std::memcpy(&value, place, sizeof(T));
  return value;
}

// a + b * c, or nothing where 64 bits do not hold it.
std::optional<uint64_t> add_product(std::optional<uint64_t> a, uint64_t b, uint64_t c) {
  uint64_t product = 0, sum = 0;
  if (!a || __builtin_mul_overflow(b, c, &product) || __builtin_add_overflow(*a, product, &sum)) return std::nullopt;
  return sum;
}

struct Layout {
  TokenType type;
  int64_t width;
};

std::optional<Layout> layout_of(uint8_t code, bool megatron) {
  switch (code) {
    case 1:
      return Layout{TokenType::uint8, 1};
    case 2:
      return Layout{TokenType::int8, 1};
    case 3:
      return Layout{TokenType::int16, 2};
    case 4:
      return Layout{TokenType::int32, 4};
    case 5:
      return Layout{TokenType::int64, 8};
    case 8:
      return Layout{TokenType::uint16, 2};
    case 9:
      if (!megatron) return Layout{TokenType::uint32, 4};
      return std::nullopt;
    case 10:
      if (!megatron) return Layout{TokenType::uint64, 8};
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

[[noreturn]] void refuse(const std::string& name, const std::string& what) {
  throw Error(ExitCode::bad_input, message(name, ": ", what));
}

}  // namespace

TokenIndex::TokenIndex(std::span<const std::byte> bytes, std::string name, uint64_t ids_bytes,
                       const std::string& ids_name)
    : bytes_(bytes), name_(std::move(name)) {
  read_header();
  if (ids_bytes % static_cast<uint64_t>(width_) != 0) {
    refuse(ids_name, message("its ", ids_bytes, " bytes are no multiple of the ", width_,
                             " bytes of an id: the file is cut short, or belongs to another index"));
  }
  check_sequences(ids_bytes, ids_name);
  if (first_sequences_ != nullptr) check_documents();
}

void TokenIndex::read_header() {
  const std::byte* data = bytes_.data();
  if (bytes_.size() < sizeof(magic) || std::memcmp(data, magic, sizeof(magic)) != 0) {
    if (bytes_.size() >= 6 && std::memcmp(data, "TNTIDX", 6) == 0) {
      refuse(name_, "is fairseq's old index (TNTIDX), which is not read; write the data again in its mmap format");
    }
    refuse(name_, "is no token index: it does not begin with MMIDIDX");
  }
  if (bytes_.size() < fairseq_header) refuse(name_, "is cut short inside its header");
  const auto version = number_at<uint64_t>(data + version_at);
  if (version != 1) refuse(name_, message("has version ", version, "; only version 1 is known"));

  // The size tells the two layouts apart: for one number of sequences they never agree.
  const auto sequences = number_at<uint64_t>(data + sequences_at);
  const auto lists = add_product(fairseq_header, sequences, 4 + 8);
  std::optional<uint64_t> with_documents, with_modes;
  uint64_t entries = 0;
  if (bytes_.size() >= megatron_header) {
    entries = number_at<uint64_t>(data + documents_at);
    with_documents = add_product(add_product(megatron_header, sequences, 4 + 8), entries, 8);
    with_modes = add_product(with_documents, sequences, 1);
  }
  const bool megatron = with_documents == bytes_.size() || with_modes == bytes_.size();
  if (!megatron && lists != bytes_.size()) {
    refuse(name_, message("has ", bytes_.size(), " bytes, which do not fit its header (", sequences,
                          " sequences): it is cut short, or no token index of Megatron's or fairseq's"));
  }
  const auto code = number_at<uint8_t>(data + type_at);
  const auto layout = layout_of(code, megatron);
  if (!layout) refuse(name_, message("has elements of type ", int{code}, ", which are no whole numbers"));
  type_ = layout->type;
  width_ = layout->width;
  sequences_ = static_cast<int64_t>(sequences);
  lengths_ = data + (megatron ? megatron_header : fairseq_header);
  offsets_ = lengths_ + 4 * sequences_;
  documents_ = sequences_;
  if (!megatron) return;
  if (entries == 0) refuse(name_, "has an empty document index; it takes at least its end");
  first_sequences_ = offsets_ + 8 * sequences_;
  documents_ = static_cast<int64_t>(entries) - 1;
}

void TokenIndex::check_sequences(uint64_t ids_bytes, const std::string& ids_name) {
  uint64_t end = 0;  // of the sequence before
  for (int64_t i = 0; i < sequences_; ++i) {
    const int64_t tokens = length(i), begin = offset(i);
    if (tokens < 0) refuse(name_, message("sequence ", i, " has a length of ", tokens));
    if (begin < 0) refuse(name_, message("sequence ", i, " begins at byte ", begin));
    const auto last =
        add_product(static_cast<uint64_t>(begin), static_cast<uint64_t>(tokens), static_cast<uint64_t>(width_));
    if (!last || *last > ids_bytes) {
      refuse(name_, message("sequence ", i, " (", tokens, " ids from byte ", begin, ") reaches beyond the ", ids_bytes,
                            " bytes of ", ids_name));
    }
    if (i > 0 && static_cast<uint64_t>(begin) != end) contiguous_ = false;
    end = *last;
    ids_end_ = std::max(ids_end_, end);
    // Sequences may share bytes, so that their sum may exceed the file.
    if (__builtin_add_overflow(tokens_, tokens, &tokens_)) refuse(name_, "has more tokens than can be counted");
  }
}

void TokenIndex::check_documents() const {
  int64_t before = 0;
  for (int64_t i = 0; i <= documents_; ++i) {
    const int64_t first = first_sequence(i);
    if (i == 0 && first != 0) refuse(name_, message("its document index begins with ", first, " instead of 0"));
    if (first < before || first > sequences_) {
      refuse(name_, message("entry ", i, " of its document index is ", first, " after ", before, "; ", sequences_,
                            " sequences are there"));
    }
    before = first;
  }
  if (before != sequences_) {
    refuse(name_, message("its document index ends at sequence ", before, " of ", sequences_));
  }
}

int64_t TokenIndex::length(int64_t sequence) const {
  assert(sequence >= 0 && sequence < sequences_);
  return number_at<int32_t>(lengths_ + 4 * sequence);
}

int64_t TokenIndex::offset(int64_t sequence) const {
  assert(sequence >= 0 && sequence < sequences_);
  return number_at<int64_t>(offsets_ + 8 * sequence);
}

int64_t TokenIndex::first_sequence(int64_t document) const {
  assert(document >= 0 && document <= documents_);
  return first_sequences_ == nullptr ? document : number_at<int64_t>(first_sequences_ + 8 * document);
}

}  // namespace interlock
