#pragma once
// A byte-level BPE tokenizer (the scheme of GPT-2 and RoBERTa): text is cut into pre-tokens by one fixed pattern, bytes
// are mapped to printable characters, and pairs are merged by rank. Reads and writes the files of the Hugging Face
// `tokenizers` library and gives its ids. Torch-free. Immutable after opening: any number of threads may encode.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace interlock {

class Tokenizer {
 public:
  // `path`: a folder with tokenizer.json, or with vocab.json and merges.txt (or encoder.json and vocab.bpe, their first
  // names); or a tokenizer.json itself. Error(bad_input) names the file and what is wrong with it.
  static std::shared_ptr<const Tokenizer> open(const std::string& path);
  virtual ~Tokenizer() = default;

  virtual int64_t vocabulary() const = 0;  // ids are 0 .. vocabulary - 1
  // The ids of a whole document, appended: those of tokenizers' encode(text, add_special_tokens=False). The text must
  // be valid UTF-8. Added tokens ("<mask>") that occur in the text become their id, as there.
  virtual void encode(std::string_view text, std::vector<int32_t>& ids) const = 0;
  // The bytes that the tokens stand for; of a special token its text.
  virtual std::string decode(std::span<const int32_t> ids) const = 0;
  virtual std::string_view bytes_of(int64_t id) const = 0;
  // Flagged so by the files, or one of specials(). Counts of what can be predicted rest on it, so there is no other.
  virtual bool is_special(int64_t id) const = 0;
  // For people: printable characters as they are, others escaped (\n, \t, \xNN); specials as they are written.
  virtual std::string shown(int64_t id) const = 0;

  // Ids of the special tokens by their role, -1 where the vocabulary has none: <s> <pad> </s> <unk> <mask>.
  struct Specials {
    int64_t begin = -1, pad = -1, end = -1, unknown = -1, mask = -1;
  };
  virtual Specials specials() const = 0;

  // Writes tokenizer.json, vocab.json and merges.txt into `folder` (made when absent), each atomically.
  virtual void save(const std::string& folder) const = 0;
  // SHA-256 over vocabulary, merges and special tokens: the same for any files that mean the same tokenizer.
  virtual std::string fingerprint() const = 0;
};

// The byte positions in `text` (valid UTF-8) where pre-tokens end, ascending; the last is text.size(). For whole-word
// masking and for the ends of sentences.
std::vector<size_t> pretoken_ends(std::string_view text);

}  // namespace interlock
