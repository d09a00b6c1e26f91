#pragma once
// The vocabulary of a tokenizer as masking sees it.

#include <string>

#include "runtime/data/masking.h"
#include "runtime/data/tokenizer.h"

namespace interlock {

// Error(bad_input) names what of <s>, </s>, <pad> and <mask> the tokenizer in `path` lacks.
MaskVocabulary mask_vocabulary(const Tokenizer& tokenizer, const std::string& path);

// What stands behind a document in a stream: </s>, or where a vocabulary has none GPT-2's <|endoftext|>.
// Error(bad_input) when the tokenizer in `path` has neither.
int64_t document_end(const Tokenizer& tokenizer, const std::string& path);

}  // namespace interlock
