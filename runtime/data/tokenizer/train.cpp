// From counts to merges.

#include "runtime/data/tokenizer/train.h"

#include <algorithm>

#include "runtime/core/error.h"
#include "runtime/data/tokenizer/byte_alphabet.h"
#include "runtime/data/tokenizer/pair_counts.h"

namespace interlock {
namespace {

constexpr std::array<const char*, 4> first_specials = {"<s>", "<pad>", "</s>", "<unk>"};
constexpr const char* last_special = "<mask>";

bool is_special_text(const std::string& token) {
  return token == last_special ||
         std::find(first_specials.begin(), first_specials.end(), token) != first_specials.end();
}

}  // namespace

void TrainOptions::check() const {
  if (vocabulary < least_vocabulary || vocabulary > INT32_MAX)
    throw Error(ExitCode::usage,
                message("--vocabulary ", vocabulary, " is out of range: it counts 5 special tokens and ",
                        "256 bytes, so ", least_vocabulary, " is the least"));
}

TokenizerContent train_bpe(const WordCounts& words, const TrainOptions& options) {
  options.check();
  TokenizerContent content;
  TokenIds ids;
  const auto add = [&](const std::string& token) {
    const auto [place, fresh] = ids.emplace(token, static_cast<int32_t>(content.tokens.size()));
    if (fresh) content.tokens.push_back(token);
    return place->second;
  };
  for (const char* token : first_specials) add(token);
  std::array<int32_t, 256> byte_symbols{};
  for (const uint8_t byte : alphabet_order()) byte_symbols[byte] = add(alphabet_character(byte));

  PairCounts pairs(words, byte_symbols);
  while (static_cast<int64_t>(content.tokens.size()) + 1 < options.vocabulary) {
    const PairCounts::Best best = pairs.take_best();
    if (best.count < std::max<int64_t>(options.min_frequency, 1)) break;
    const std::string token =
        content.tokens[static_cast<size_t>(best.left)] + content.tokens[static_cast<size_t>(best.right)];
    if (is_special_text(token)) continue;  // taken out, it does not come up again
    // Two pairs may make one token ("a" "bc" and "ab" "c"); the second is a merge without a new id.
    const int32_t symbol = add(token);
    content.merges.push_back({best.left, best.right, symbol});
    pairs.merge(best, symbol);
    if (options.progress) options.progress(static_cast<int64_t>(content.tokens.size()));
  }
  add(last_special);
  content.added = usual_special_tokens(ids);
  check_content(content, "the trained tokenizer");
  return content;
}

}  // namespace interlock
