#pragma once
// Token files: Megatron's indexed format (`PREFIX.bin` with the ids, `PREFIX.idx` with lengths, byte offsets and where
// documents begin), mapped and never loaded. fairseq's variant of the index is read, not written. Torch-free.

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace interlock {

class TokenFile {
 public:
  // Error(bad_input) names the file, the offset or entry, and the rule that is broken: magic, version, element type,
  // size, an offset or length outside PREFIX.bin, a document index that falls or does not end at the last sequence.
  static std::shared_ptr<const TokenFile> open(const std::string& prefix);
  virtual ~TokenFile() = default;

  virtual const std::string& prefix() const = 0;
  virtual int64_t documents() const = 0;
  virtual int64_t tokens() const = 0;  // in all documents
  virtual int64_t document_tokens(int64_t document) const = 0;
  // Tokens [begin, begin + out.size()) of a document, which must lie within it.
  virtual void read(int64_t document, int64_t begin, std::span<int32_t> out) const = 0;
  virtual int64_t largest_id() const = 0;  // reads everything once; Error(bad_input) names the place of a negative one
};

// Writes a pair, document by document, in memory that does not grow with the tokens (8 + 4 bytes per document). Until
// commit() only temporary files exist; both get their names then, the index last, so that an index never lacks its ids.
class TokenFileWriter {
 public:
  // A vocabulary below 65,500 is stored as uint16, else int32, as Megatron's writer does. An index holds lengths in 31
  // bits, so that a longer document becomes several sequences.
  TokenFileWriter(const std::string& prefix, int64_t vocabulary,
                  int64_t longest_sequence = std::numeric_limits<int32_t>::max());
  ~TokenFileWriter();  // removes the temporary files when commit() was not reached
  TokenFileWriter(const TokenFileWriter&) = delete;
  // One document, one sequence; may be empty. Ids must be below the vocabulary.
  void add(std::span<const int32_t> ids);
  // The same in parts, for a document that is not held as a whole: all parts, then end_document().
  void add_part(std::span<const int32_t> ids);
  void end_document();
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interlock
