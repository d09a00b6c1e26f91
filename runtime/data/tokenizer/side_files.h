#pragma once
// The files beside a vocabulary that say more about its tokens: tokenizer_config.json, special_tokens_map.json and
// added_tokens.json, read as transformers (5.24) read them.
//
// tokenizer_config.json: "added_tokens_decoder" lists all added tokens, and then the two other files are not looked at;
// "add_prefix_space"; the roles ("bos_token" ... "mask_token", "additional_special_tokens"), each a text or an object
// with flags. What a class of transformers has by default comes from "tokenizer_class".

#include <string>

#include "runtime/data/tokenizer/content.h"

namespace interlock {

enum class VocabularyFrom { pair, tokenizer_json };  // vocab.json and merges.txt, or tokenizer.json

// Lays what the files of `folder` say over `content`, which was read from its vocabulary: prefix, added tokens, new
// tokens behind the vocabulary. Nothing where none of the files is there. Error(bad_input) names the file and the key
// of what is wrong or not supported (another class beside a pair, code of its own, "split_special_tokens"), and a token
// whose id is not the one it would get.
void lay_side_files_over(TokenizerContent& content, const std::string& folder, VocabularyFrom from);

}  // namespace interlock
