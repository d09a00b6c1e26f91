// The rules that hold for a tokenizer from any file.

#include "runtime/data/tokenizer/content.h"

#include <algorithm>
#include <unordered_set>

#include "runtime/core/error.h"
#include "runtime/data/tokenizer/byte_alphabet.h"

namespace interlock {

std::vector<AddedToken> usual_special_tokens(const TokenIds& ids) {
  std::vector<AddedToken> added;
  for (const char* text : {"<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"}) {
    const auto found = ids.find(text);
    if (found == ids.end()) continue;
    AddedToken token{text, found->second};
    token.lstrip = token.text == "<mask>";
    token.normalized = false;
    token.special = true;
    added.push_back(token);
  }
  std::sort(added.begin(), added.end(), [](const auto& one, const auto& other) { return one.id < other.id; });
  return added;
}

Merge make_merge(const TokenIds& ids, const std::string& left, const std::string& right, const std::string& place) {
  const auto id_of = [&](const std::string& token) {
    const auto found = ids.find(token);
    if (found != ids.end()) return found->second;
    throw Error(ExitCode::bad_input, message(place, ": the merge of \"", left, "\" and \"", right, "\" needs \"", token,
                                             "\", which is not in the vocabulary"));
  };
  return {id_of(left), id_of(right), id_of(left + right)};
}

namespace {

void check_bytes(const TokenizerContent& content, const std::string& path) {
  const std::unordered_set<std::string> known(content.tokens.begin(), content.tokens.end());
  for (int byte = 0; byte < 256; ++byte) {
    const std::string& character = alphabet_character(static_cast<uint8_t>(byte));
    if (!known.contains(character))
      throw Error(ExitCode::bad_input, message(path, ": the vocabulary has no token \"", character, "\" for byte ",
                                               byte, "; a byte-level vocabulary holds all 256"));
  }
}

void check_merges(const TokenizerContent& content, const std::string& path) {
  std::unordered_set<uint64_t> pairs;
  for (size_t rank = 0; rank < content.merges.size(); ++rank) {
    const Merge& merge = content.merges[rank];
    if (!pairs.insert(static_cast<uint64_t>(merge.left) << 32 | static_cast<uint32_t>(merge.right)).second)
      throw Error(ExitCode::bad_input,
                  message(path, ": merge ", rank + 1, ", \"", content.tokens[static_cast<size_t>(merge.left)],
                          "\" and \"", content.tokens[static_cast<size_t>(merge.right)], "\", is there twice"));
  }
}

void check_added(const TokenizerContent& content, const std::string& path) {
  std::unordered_set<std::string> texts;
  for (const AddedToken& token : content.added) {
    if (token.text.empty()) throw Error(ExitCode::bad_input, message(path, ": an added token has no text"));
    if (!texts.insert(token.text).second)
      throw Error(ExitCode::bad_input, message(path, ": added token \"", token.text, "\" is there twice"));
  }
}

}  // namespace

void check_content(const TokenizerContent& content, const std::string& path) {
  check_bytes(content, path);
  check_merges(content, path);
  check_added(content, path);
}

}  // namespace interlock
