// A tokenizer.json. What is accepted encodes text that it was never made for and decodes to the same.
#include <algorithm>
#include <vector>

#include "runtime/data/tokenizer/byte_level_tokenizer.h"
#include "runtime/data/tokenizer/read_content.h"
#include "tests/fuzz/target.h"

using namespace interlock;

namespace {

// All classes of the pattern: letters, numbers, spaces, contractions, marks, emoji, and bytes of two to four in a row.
constexpr std::string_view text =
    "It's 1 of\t the 23 words,\n\n  na\xc3\xafve  \xe2\x82\xac"
    "5 \xf0\x9f\x99\x82\xcc\x81<s><mask> aaaaaaa'll \r\n ";

void check(TokenizerContent content) {
  const bool as_it_stands = content.added.empty() && !content.add_prefix_space;
  const ByteLevelTokenizer tokenizer(std::move(content));
  std::vector<int32_t> ids;
  tokenizer.encode(text, ids);
  for (const int32_t id : ids) fuzz::require(id >= 0 && id < tokenizer.vocabulary(), "an id is in the vocabulary");
  const std::string decoded = tokenizer.decode(ids);
  fuzz::require(!as_it_stands || decoded == text, "what was encoded decodes to the same");
  std::string pieces;
  for (const int32_t id : ids) pieces += tokenizer.bytes_of(id);
  fuzz::require(pieces == decoded, "a text is its tokens' bytes in a row");
  for (int64_t id = 0; id < tokenizer.vocabulary(); ++id) {
    fuzz::require(!tokenizer.shown(id).empty() || tokenizer.bytes_of(id).empty(), "a token can be shown");
  }
  const Tokenizer::Specials specials = tokenizer.specials();
  for (const int64_t id : {specials.begin, specials.pad, specials.end, specials.unknown, specials.mask}) {
    fuzz::require(id >= -1 && id < tokenizer.vocabulary(), "a special token is in the vocabulary");
  }
  fuzz::require(tokenizer.fingerprint().size() == 64, "there is a fingerprint");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::accepts(ExitCode::bad_input,
                [&] { check(parse_tokenizer_json(fuzz::text_of(data, size), "input/tokenizer.json")); });
  return 0;
}
