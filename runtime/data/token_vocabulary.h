#pragma once
// The vocabulary of a tokenizer as masking sees it.

#include <string>

#include "runtime/data/masking.h"
#include "runtime/data/tokenizer.h"

namespace interlock {

// Error(bad_input) names what of <s>, </s>, <pad> and <mask> the tokenizer in `path` lacks.
MaskVocabulary mask_vocabulary(const Tokenizer& tokenizer, const std::string& path);

}  // namespace interlock
