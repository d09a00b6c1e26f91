#include "runtime/data/token_vocabulary.h"

#include <algorithm>

namespace interlock {
namespace {

void refuse_without(int64_t id, const std::string& path, const std::string& token, const std::string& use) {
  if (id >= 0) return;
  throw Error(ExitCode::bad_input,
              message("tokenizer.path: ", path, " has no ", token, ", which ", use,
                      "; train one with `interlock tokenize train`, or add the token to its files"));
}

}  // namespace

int64_t document_end(const Tokenizer& tokenizer, const std::string& path) {
  if (const int64_t end = tokenizer.specials().end; end >= 0) return end;
  // GPT-2 has it last.
  for (int64_t id = tokenizer.vocabulary() - 1; id >= 0; --id)
    if (tokenizer.is_special(id) && tokenizer.bytes_of(id) == "<|endoftext|>") return id;
  refuse_without(-1, path, "</s> and no <|endoftext|>", "ends every document");
  return -1;
}

MaskVocabulary mask_vocabulary(const Tokenizer& tokenizer, const std::string& path) {
  const Tokenizer::Specials specials = tokenizer.specials();
  refuse_without(specials.begin, path, "<s>", "begins every sample");
  refuse_without(specials.end, path, "</s>", "ends every sample");
  refuse_without(specials.pad, path, "<pad>", "fills short samples");
  refuse_without(specials.mask, path, "<mask>", "stands for what the model predicts");
  std::vector<bool> special;
  for (int64_t id = 0; id < tokenizer.vocabulary(); ++id) special.push_back(tokenizer.is_special(id));
  if (std::find(special.begin(), special.end(), false) == special.end()) {
    throw Error(ExitCode::bad_input, message("tokenizer.path: ", path, " has special tokens only"));
  }
  return MaskVocabulary(specials.mask, special);
}

}  // namespace interlock
