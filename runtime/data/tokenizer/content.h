#pragma once
// What a tokenizer consists of, whatever files it came from: tokens by id, merges by rank, added tokens. Readers fill
// it, check_content() makes it trustworthy, and the tokenizer, the writer and the trainer take it as it is.

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace interlock {

// A token that is found in text as it stands, before anything else happens to the text.
struct AddedToken {
  std::string text;
  int32_t id = -1;
  bool single_word = false;  // not where a letter or the like stands beside it
  bool lstrip = false;       // takes the white space on its left with it
  bool rstrip = false;
  bool normalized = true;  // sought in a second pass, in what the first left; without a normalizer that is all it means
  bool special = false;
};

struct Merge {
  int32_t left = -1, right = -1, result = -1;
};

struct TokenizerContent {
  std::vector<std::string> tokens;  // by id, as files spell them: in the byte alphabet, added ones as they are
  std::vector<Merge> merges;        // by rank
  std::vector<AddedToken> added;
  bool add_prefix_space = false;  // text that does not start with a space gets one
};

// Ids by spelling.
using TokenIds = std::unordered_map<std::string, int32_t>;

// What RoBERTa's and GPT-2's special tokens are where files name none: those of their usual texts that the vocabulary
// has. <mask> takes the space before it.
std::vector<AddedToken> usual_special_tokens(const TokenIds& ids);

// Makes the merge of two spellings. Error(bad_input) says, after `place`, which of left, right and result the
// vocabulary lacks.
Merge make_merge(const TokenIds& ids, const std::string& left, const std::string& right, const std::string& place);

// Error(bad_input), after `path`: every byte has a token, no pair is merged twice, and texts of added tokens are sound.
void check_content(const TokenizerContent& content, const std::string& path);

}  // namespace interlock
