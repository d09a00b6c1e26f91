// Text to ids and back.

#include "runtime/data/tokenizer/byte_level_tokenizer.h"

#include <algorithm>

#include "runtime/core/error.h"
#include "runtime/data/tokenizer/byte_alphabet.h"
#include "runtime/data/tokenizer/pretokens.h"
#include "runtime/data/tokenizer/read_content.h"
#include "runtime/data/tokenizer/utf8.h"
#include "runtime/data/tokenizer/word_cache.h"

namespace interlock {

struct ByteLevelTokenizer::Scratch {
  WordCache cache;
  WordMerger merger;
  std::vector<int32_t> symbols;
  std::vector<AddedTokens::Piece> pieces;
  std::string prefixed;
};

class ByteLevelTokenizer::Borrowed {
 public:
  explicit Borrowed(const ByteLevelTokenizer& owner) : owner_(owner) {
    const std::lock_guard lock(owner.scratches_mutex_);
    if (!owner.scratches_.empty()) {
      scratch_ = std::move(owner.scratches_.back());
      owner.scratches_.pop_back();
    }
    if (scratch_ == nullptr) scratch_ = std::make_unique<Scratch>();
  }
  ~Borrowed() {
    const std::lock_guard lock(owner_.scratches_mutex_);
    owner_.scratches_.push_back(std::move(scratch_));
  }
  Borrowed(const Borrowed&) = delete;
  Scratch& operator*() { return *scratch_; }

 private:
  const ByteLevelTokenizer& owner_;
  std::unique_ptr<Scratch> scratch_;
};

std::shared_ptr<const Tokenizer> Tokenizer::open(const std::string& path) { return ByteLevelTokenizer::open(path); }

std::shared_ptr<const ByteLevelTokenizer> ByteLevelTokenizer::open(const std::string& path) {
  return std::make_shared<const ByteLevelTokenizer>(read_content(path));
}

ByteLevelTokenizer::ByteLevelTokenizer(TokenizerContent content)
    : content_(std::move(content)), special_(content_.tokens.size()), merges_(content_.merges), added_(content_.added) {
  for (const std::string& token : content_.tokens) {
    const auto bytes = from_alphabet(token);
    bytes_.push_back(bytes ? *bytes : token);
    if (bytes && bytes->size() == 1)
      byte_ids_[static_cast<uint8_t>(bytes->front())] = static_cast<int32_t>(bytes_.size()) - 1;
  }
  for (const AddedToken& token : content_.added) {
    bytes_[static_cast<size_t>(token.id)] = token.text;
    special_[static_cast<size_t>(token.id)] = token.special;
    for (const auto& [text, id] : {std::pair("<s>", &Specials::begin),
                                   {"<pad>", &Specials::pad},
                                   {"</s>", &Specials::end},
                                   {"<unk>", &Specials::unknown},
                                   {"<mask>", &Specials::mask}}) {
      if (token.text != text) continue;
      specials_.*id = token.id;
      special_[static_cast<size_t>(token.id)] = true;  // by its role, even where a file forgot to flag it
    }
  }
}

ByteLevelTokenizer::~ByteLevelTokenizer() = default;

void ByteLevelTokenizer::encode(std::string_view text, std::vector<int32_t>& ids) const {
  require_utf8(text);
  encode_part(text, false, ids);
}

void ByteLevelTokenizer::encode_part(std::string_view text, bool continued, std::vector<int32_t>& ids) const {
  Borrowed borrowed(*this);
  Scratch& scratch = *borrowed;
  added_.split(text, scratch.pieces);
  for (const AddedTokens::Piece& piece : scratch.pieces) {
    const std::string_view part = text.substr(piece.begin, piece.end - piece.begin);
    const bool goes_on = continued && piece.begin == 0;
    if (piece.id >= 0) {
      ids.push_back(piece.id);
    } else if (content_.add_prefix_space && !part.starts_with(' ') && !goes_on) {
      scratch.prefixed.assign(1, ' ').append(part);
      encode_ordinary(scratch.prefixed, scratch, ids);
    } else {
      encode_ordinary(part, scratch, ids);
    }
  }
}

void ByteLevelTokenizer::encode_ordinary(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const {
  for (size_t at = 0; at < text.size();) {
    const size_t end = pretoken_end(text, at);
    const std::string_view word = text.substr(at, end - at);
    at = end;
    if (word.size() > WordCache::longest_word) {
      encode_word(word, scratch, ids);
      continue;
    }
    bool known = false;
    WordCache::Entry& entry = scratch.cache.slot(word, known);
    if (known) {
      ids.insert(ids.end(), entry.ids.begin(), entry.ids.begin() + entry.count);
    } else {
      const size_t before = ids.size();
      encode_word(word, scratch, ids);
      WordCache::put(entry, word, std::span(ids).subspan(before));
    }
  }
}

void ByteLevelTokenizer::encode_word(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const {
  if (word.size() >= UINT32_MAX)
    throw Error(ExitCode::bad_input, message("a word of ", word.size(), " bytes is too long to encode"));
  scratch.symbols.clear();
  for (const char byte : word) scratch.symbols.push_back(byte_ids_[static_cast<uint8_t>(byte)]);
  scratch.merger.merge(merges_, scratch.symbols);
  ids.insert(ids.end(), scratch.symbols.begin(), scratch.symbols.end());
}

bool ByteLevelTokenizer::is_cut(std::string_view text, size_t at) const {
  return is_safe_cut(text, at) && !added_.touches(text, at);
}

size_t ByteLevelTokenizer::cut_reach() const { return std::max<size_t>(added_.longest(), 4); }

std::string ByteLevelTokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) text += bytes_of(id);
  return text;
}

std::string_view ByteLevelTokenizer::bytes_of(int64_t id) const {
  if (id < 0 || id >= vocabulary())
    throw Error(ExitCode::bad_input,
                message("token ", id, " is not of this tokenizer, whose vocabulary has ", vocabulary(), " tokens"));
  return bytes_[static_cast<size_t>(id)];
}

bool ByteLevelTokenizer::is_special(int64_t id) const {
  return id >= 0 && id < vocabulary() && special_[static_cast<size_t>(id)];
}

std::string ByteLevelTokenizer::shown(int64_t id) const {
  if (id < 0 || id >= vocabulary()) return "<token " + std::to_string(id) + ">";
  const std::string& bytes = bytes_[static_cast<size_t>(id)];
  if (is_special(id)) return bytes;
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Step step = utf8_step(bytes, at);
    const char byte = bytes[at];
    if (byte == '\n' || byte == '\t' || byte == '\\') {
      text += {'\\', byte == '\n' ? 'n' : byte == '\t' ? 't' : '\\'};
    } else if (step.valid && !is_invisible_at(std::string_view(bytes).substr(at, step.length), 0)) {
      text += bytes.substr(at, step.length);
    } else {
      for (size_t part = at; part < at + step.length; ++part) {
        const auto value = static_cast<uint8_t>(bytes[part]);
        text += {'\\', 'x', digits[value >> 4], digits[value & 15]};
      }
    }
    at += step.length;
  }
  return text;
}

}  // namespace interlock
