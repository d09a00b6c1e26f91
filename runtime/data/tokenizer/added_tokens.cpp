// Added tokens in text. A vocabulary has a handful, so that lists by first byte are enough.

#include "runtime/data/tokenizer/added_tokens.h"

#include <algorithm>
#include <cstring>

#include "runtime/data/tokenizer/pretokens.h"
#include "runtime/data/tokenizer/utf8.h"

namespace interlock {
namespace {

bool stands_alone(std::string_view text, size_t begin, size_t end) {
  if (end < text.size() && is_word_at(text, end)) return false;
  return begin == 0 || !is_word_at(text, begin - utf8_step_back(text, begin).length);
}

size_t spaces_begin(std::string_view text, size_t at, size_t least) {
  while (at > least) {
    const size_t before = at - utf8_step_back(text, at).length;
    if (class_at(text, before) != CharacterClass::space) break;
    at = before;
  }
  return std::max(at, least);
}

size_t spaces_end(std::string_view text, size_t at) {
  while (at < text.size() && class_at(text, at) == CharacterClass::space) at += utf8_step(text, at).length;
  return at;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  for (const AddedToken& token : tokens_) {
    add_to(token.normalized ? second_ : first_, token);
    longest_ = std::max(longest_, token.text.size());
  }
}

void AddedTokens::add_to(Pass& pass, const AddedToken& token) {
  const auto byte = static_cast<uint8_t>(token.text.front());
  pass.only_first_byte = pass.empty || pass.only_first_byte == byte ? byte : -1;
  pass.empty = false;
  auto& list = pass.by_first_byte[byte];
  list.push_back(&token);
  std::stable_sort(list.begin(), list.end(),
                   [](const auto* one, const auto* other) { return one->text.size() > other->text.size(); });
}

const AddedToken* AddedTokens::Pass::at(std::string_view text, size_t at) const {
  for (const AddedToken* token : by_first_byte[static_cast<uint8_t>(text[at])]) {
    if (text.substr(at).starts_with(token->text)) return token;
  }
  return nullptr;
}

size_t AddedTokens::Pass::next_candidate(std::string_view text, size_t from) const {
  if (only_first_byte >= 0) return std::min(text.find(static_cast<char>(only_first_byte), from), text.size());
  while (from < text.size() && by_first_byte[static_cast<uint8_t>(text[from])].empty()) ++from;
  return from;
}

void AddedTokens::split(const Pass& pass, std::string_view whole, Piece part, std::vector<Piece>& pieces) const {
  const std::string_view text = whole.substr(part.begin, part.end - part.begin);
  size_t taken = 0, at = 0;
  while (!pass.empty && (at = pass.next_candidate(text, at)) < text.size()) {
    const AddedToken* token = pass.at(text, at);
    if (token == nullptr) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + token->text.size();
    at = end;
    if (token->single_word && !stands_alone(text, begin, end)) continue;
    if (token->lstrip) begin = spaces_begin(text, begin, taken);
    if (token->rstrip) end = spaces_end(text, end);
    if (taken < begin) pieces.push_back({part.begin + taken, part.begin + begin, -1});
    pieces.push_back({part.begin + begin, part.begin + end, token->id});
    taken = end;
  }
  if (taken < text.size()) pieces.push_back({part.begin + taken, part.end, -1});
}

void AddedTokens::split(std::string_view text, std::vector<Piece>& pieces) const {
  pieces.clear();
  const Piece all{0, text.size(), -1};
  if (second_.empty) return split(first_, text, all, pieces);
  std::vector<Piece> between;
  split(first_, text, all, between);
  for (const Piece& piece : between) {
    if (piece.id >= 0) {
      pieces.push_back(piece);
    } else {
      split(second_, text, piece, pieces);
    }
  }
}

bool AddedTokens::touches(std::string_view text, size_t at) const {
  for (const AddedToken& token : tokens_) {
    const size_t reach = std::min(at, token.text.size());
    for (size_t begin = at - reach; begin <= at; ++begin) {
      if (text.substr(begin).starts_with(token.text)) return true;
    }
  }
  return false;
}

}  // namespace interlock
