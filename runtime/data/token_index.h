#pragma once
// The `.idx` half of a token file: where each sequence of ids lies in the `.bin` half, and which sequences make a
// document. Every number in it is checked once, when it is opened.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace interlock {

enum class TokenType : uint8_t { uint8 = 1, int8 = 2, int16 = 3, int32 = 4, int64 = 5, uint16 = 8, uint32, uint64 };

class TokenIndex {
 public:
  // `bytes` must outlive the index. Error(bad_input) names `name` (the index) and `ids_name` (the `.bin` file of
  // `ids_bytes` bytes).
  TokenIndex(std::span<const std::byte> bytes, std::string name, uint64_t ids_bytes, const std::string& ids_name);

  TokenType type() const { return type_; }
  int64_t width() const { return width_; }  // bytes of an id
  int64_t sequences() const { return sequences_; }
  int64_t documents() const { return documents_; }
  int64_t tokens() const { return tokens_; }
  int64_t length(int64_t sequence) const;  // tokens
  int64_t offset(int64_t sequence) const;  // bytes
  // The first sequence of a document; of `documents()` the end of the last.
  int64_t first_sequence(int64_t document) const;
  // Each sequence begins where the one before it ends: what every writer makes. A document is then one piece.
  bool contiguous() const { return contiguous_; }
  // Up to where the ids are read, in bytes. What lies behind belongs to no sequence.
  uint64_t ids_end() const { return ids_end_; }

 private:
  void read_header();
  void check_sequences(uint64_t ids_bytes, const std::string& ids_name);
  void check_documents() const;

  std::span<const std::byte> bytes_;
  std::string name_;
  TokenType type_ = TokenType::uint16;
  int64_t width_ = 0, sequences_ = 0, documents_ = 0, tokens_ = 0;
  const std::byte *lengths_ = nullptr, *offsets_ = nullptr;
  const std::byte* first_sequences_ = nullptr;  // null: every sequence is a document (fairseq)
  bool contiguous_ = true;
  uint64_t ids_end_ = 0;
};

}  // namespace interlock
