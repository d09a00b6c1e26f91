#include "runtime/data/text_encoder.h"

#include <algorithm>

#include "runtime/core/error.h"
#include "runtime/data/byte_tokens.h"

namespace interlock {
namespace {

// How many tokens of each text of a pair stay: the `longest_first` of Hugging Face's tokenizers. The shorter stays
// whole while it is below half of what fits.
std::pair<size_t, size_t> shares(size_t first, size_t second, size_t most) {
  size_t shorter = std::min(first, second), longer = std::max(first, second);
  longer = shorter > most ? shorter : std::max(shorter, most - shorter);
  if (shorter + longer > most) {
    shorter = most / 2;
    longer = most - shorter;
  }
  return first > second ? std::pair(longer, shorter) : std::pair(shorter, longer);
}

}  // namespace

TextEncoder::TextEncoder(std::shared_ptr<const Tokenizer> tokenizer, const std::string& path)
    : tokenizer_(std::move(tokenizer)) {
  if (!tokenizer_) {
    specials_ = {byte_tokens::begin, byte_tokens::pad, byte_tokens::end, byte_tokens::unknown, byte_tokens::mask};
    return;
  }
  specials_ = tokenizer_->specials();
  if (specials_.begin < 0 || specials_.end < 0 || specials_.pad < 0)
    throw Error(ExitCode::bad_input,
                message("tokenizer.path: ", path, " lacks one of <s>, </s> and <pad>, which stand ",
                        "around and behind every text"));
}

void TextEncoder::encode(std::string_view text, std::vector<int32_t>& ids) const {
  if (tokenizer_) return tokenizer_->encode(text, ids);
  for (const char byte : text) ids.push_back(static_cast<int32_t>(byte_tokens::of_byte(static_cast<uint8_t>(byte))));
}

int64_t TextEncoder::encode_sample(std::string_view first, const std::string_view* second, int64_t most,
                                   std::vector<int32_t>& ids) const {
  const auto end = static_cast<int32_t>(specials_.end);
  const auto room = static_cast<size_t>(most - (second != nullptr ? 4 : 2));
  std::vector<int32_t> one, two;
  encode(first, one);
  if (second != nullptr) encode(*second, two);
  const size_t before = one.size() + two.size();
  if (before > room) {
    const auto [of_one, of_two] = second != nullptr ? shares(one.size(), two.size(), room) : std::pair(room, size_t{0});
    one.resize(of_one);
    two.resize(of_two);
  }
  ids.push_back(static_cast<int32_t>(specials_.begin));
  ids.insert(ids.end(), one.begin(), one.end());
  ids.push_back(end);
  if (second != nullptr) {
    ids.push_back(end);
    ids.insert(ids.end(), two.begin(), two.end());
    ids.push_back(end);
  }
  return static_cast<int64_t>(before - one.size() - two.size());
}

int64_t TextEncoder::vocabulary() const { return tokenizer_ ? tokenizer_->vocabulary() : byte_tokens::vocabulary; }

std::string TextEncoder::shown(int64_t id) const { return tokenizer_ ? tokenizer_->shown(id) : byte_tokens::shown(id); }

}  // namespace interlock
