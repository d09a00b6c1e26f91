// vocab.json with merges.txt, and what tokenizer.json has of them.

#include "runtime/data/tokenizer/read_vocabulary.h"

#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/tokenizer/read_content.h"
#include "runtime/data/tokenizer/strict_json.h"

namespace interlock {

using nlohmann::json;

namespace {

[[noreturn]] void refuse(const std::string& place, const std::string& what) {
  throw Error(ExitCode::bad_input, place + ": " + what);
}

}  // namespace

TokenIds read_token_ids(const json& vocabulary, const std::string& place) {
  if (!vocabulary.is_object()) refuse(place, "no vocabulary: a JSON object of tokens and their ids is expected");
  TokenIds ids;
  ids.reserve(vocabulary.size());
  for (const auto& [token, id] : vocabulary.items()) {
    const bool fits = id.is_number_unsigned() && id.get<uint64_t>() <= INT32_MAX;
    if (!fits) refuse(place, message("token ", json(token).dump(), " has the id ", id.dump(), "; ids count from 0"));
    ids.emplace(token, static_cast<int32_t>(id.get<uint64_t>()));
  }
  return ids;
}

std::vector<std::string> tokens_by_id(const TokenIds& ids, const std::string& place) {
  std::vector<std::string> tokens(ids.size());
  std::vector<bool> known(ids.size());
  for (const auto& [token, id] : ids) {
    const auto at = static_cast<size_t>(id);
    if (at >= tokens.size())
      refuse(place, message("token ", json(token).dump(), " has the id ", id, ", but there are only ", ids.size(),
                            " tokens: ids must be 0 to ", ids.size() - 1, " without a gap"));
    if (known[at])
      refuse(place, message("tokens ", json(tokens[at]).dump(), " and ", json(token).dump(), " share the id ", id));
    tokens[at] = token;
    known[at] = true;
  }
  return tokens;
}

Merge parse_merge(const TokenIds& ids, std::string_view line, const std::string& place) {
  const size_t space = line.find(' ');
  if (space == 0 || space == std::string_view::npos || space + 1 == line.size() ||
      line.find(' ', space + 1) != std::string_view::npos)
    refuse(place, message("\"", line, "\" is no merge: two tokens with one space between them are expected"));
  return make_merge(ids, std::string(line.substr(0, space)), std::string(line.substr(space + 1)), place);
}

TokenizerContent read_vocabulary_and_merges(const std::string& vocabulary, const std::string& merges) {
  const TokenIds ids = read_token_ids(read_strict_json(vocabulary), vocabulary);
  TokenizerContent content;
  content.tokens = tokens_by_id(ids, vocabulary);
  content.added = usual_special_tokens(ids);
  const std::string text = read_bounded(merges);
  size_t line_number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line(text.data() + at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    at = end + 1;
    ++line_number;
    if (line_number == 1 && line.starts_with("#version")) continue;
    if (line.empty() && at >= text.size()) continue;
    content.merges.push_back(parse_merge(ids, line, message(merges, ":", line_number)));
  }
  check_content(content, vocabulary);
  return content;
}

}  // namespace interlock
