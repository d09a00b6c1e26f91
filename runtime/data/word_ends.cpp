// From ends in bytes to ends in tokens.

#include "runtime/data/word_ends.h"

#include <algorithm>
#include <string>

#include "runtime/data/tokenizer/utf8.h"

namespace interlock {
namespace {

void make_valid(std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    if (!step.valid) std::fill_n(text.begin() + static_cast<std::ptrdiff_t>(at), step.length, 'x');
    at += step.length;
  }
}

// Text of neighbouring tokens without special ones, and where each token ends in it.
struct Stretch {
  std::string text;
  std::vector<size_t> token_ends;

  void add_words(uint32_t first_token, std::vector<uint32_t>& ends) {
    if (token_ends.empty()) return;
    make_valid(text);
    const std::vector<size_t> words = pretoken_ends(text);
    auto word = words.begin();
    for (size_t token = 0; token < token_ends.size(); ++token) {
      const auto first = word;
      while (word != words.end() && *word <= token_ends[token]) ++word;
      if (word != first) ends.push_back(first_token + static_cast<uint32_t>(token) + 1);
    }
    text.clear();
    token_ends.clear();
  }
};

}  // namespace

std::vector<uint32_t> word_ends(const Tokenizer& tokenizer, std::span<const int64_t> tokens) {
  std::vector<uint32_t> ends;
  Stretch stretch;
  uint32_t first = 0;
  for (uint32_t place = 0; place < tokens.size(); ++place) {
    if (tokenizer.is_special(tokens[place])) {
      stretch.add_words(first, ends);
      ends.push_back(place + 1);
      first = place + 1;
    } else {
      stretch.text += tokenizer.bytes_of(tokens[place]);
      stretch.token_ends.push_back(stretch.text.size());
    }
  }
  stretch.add_words(first, ends);
  return ends;
}

}  // namespace interlock
