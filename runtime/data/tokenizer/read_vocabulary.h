#pragma once
// The pieces that both kinds of tokenizer files share.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/tokenizer/content.h"

namespace interlock {

// {"token": id, ...}: ids are whole numbers, 0 or more.
TokenIds read_token_ids(const nlohmann::json& vocabulary, const std::string& place);
// Tokens by id; an id that is missing or twice is an error.
std::vector<std::string> tokens_by_id(const TokenIds& ids, const std::string& place);
// Splits "left right".
Merge parse_merge(const TokenIds& ids, std::string_view line, const std::string& place);

}  // namespace interlock
