#pragma once
// Where the words of a sample end, for whole-word masking: words are the pre-tokens of its text.

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/data/tokenizer.h"

namespace interlock {

// Places after the last token of each word, ascending; the last is tokens.size(). The text between special tokens is
// taken for itself, and so is the sample: white space at its end is one word. Bytes that are no whole character (the
// sample begins or ends inside one, as a piece of a long sentence may) count as letters. Where a token of another
// scheme holds the end of a word inside, the word ends with the token.
std::vector<uint32_t> word_ends(const Tokenizer& tokenizer, std::span<const int64_t> tokens);

}  // namespace interlock
