// Training against the library's merges (golden file), and against counting everything anew before each merge.
#include "runtime/data/tokenizer/train.h"

#include <gmock/gmock.h>

#include <map>

#include "runtime/data/tokenizer/byte_alphabet.h"
#include "runtime/data/tokenizer/pretokens.h"
#include "runtime/data/tokenizer/read_content.h"
#include "tests/tokenizer/support.h"

namespace interlock {
namespace {

using testing::HasSubstr;

TokenizerContent train(const std::vector<std::string>& texts, TrainOptions options, int workers = 1,
                       size_t local_bytes = 1 << 20) {
  WordCounts words(workers, local_bytes);
  for (size_t text = 0; text < texts.size(); ++text) words.add_text(texts[text], static_cast<int>(text) % workers);
  words.finish();
  return train_bpe(words, options);
}

std::vector<std::string> merge_texts(const TokenizerContent& content) {
  std::vector<std::string> lines;
  for (const Merge& merge : content.merges)
    lines.push_back(content.tokens[static_cast<size_t>(merge.left)] + " " +
                    content.tokens[static_cast<size_t>(merge.right)]);
  return lines;
}

TEST(Train, LearnsWhatTheLibraryLearns) {
  const TokenizerContent content = train({content_of(golden("corpus.txt"))}, {640, 2, {}});
  const TokenizerContent expected = read_content(golden("tokenizer.json"));
  EXPECT_EQ(content.tokens, expected.tokens);
  EXPECT_EQ(merge_texts(content), merge_texts(expected));
  EXPECT_EQ(ByteLevelTokenizer(content).fingerprint(), ByteLevelTokenizer(expected).fingerprint());
}

TEST(Train, IdsAreInRobertasOrder) {
  const TokenizerContent content = train({"aa aa"}, {262, 2, {}});
  ASSERT_EQ(content.tokens.size(), 262U);
  EXPECT_EQ(content.tokens[0], "<s>");
  EXPECT_EQ(content.tokens[1], "<pad>");
  EXPECT_EQ(content.tokens[2], "</s>");
  EXPECT_EQ(content.tokens[3], "<unk>");
  EXPECT_EQ(content.tokens[4], "!");
  EXPECT_EQ(content.tokens[4 + 255], "Ń");
  EXPECT_EQ(content.tokens[260], "aa");
  EXPECT_EQ(content.tokens[261], "<mask>");
}

// The definition, without anything kept between merges.
std::vector<std::string> merged_plainly(const std::string& text, int64_t merges, int64_t min_frequency) {
  std::map<std::string, int32_t> order;  // ids count up from the bytes
  for (const uint8_t byte : alphabet_order())
    order.emplace(alphabet_character(byte), static_cast<int32_t>(order.size()));
  std::map<std::vector<std::string>, int64_t> words;
  size_t begin = 0;
  for (const size_t end : pretoken_ends(text)) {
    std::vector<std::string> symbols;
    for (; begin < end; ++begin) symbols.push_back(alphabet_character(static_cast<uint8_t>(text[begin])));
    ++words[symbols];
  }
  std::vector<std::string> lines;
  while (static_cast<int64_t>(order.size()) < 256 + merges) {
    std::map<std::pair<int32_t, int32_t>, std::pair<int64_t, std::pair<std::string, std::string>>> pairs;
    for (const auto& [symbols, count] : words) {
      for (size_t at = 0; at + 1 < symbols.size(); ++at) {
        auto& pair = pairs[{order.at(symbols[at]), order.at(symbols[at + 1])}];
        pair.first += count;
        pair.second = {symbols[at], symbols[at + 1]};
      }
    }
    int64_t best = 0;
    std::pair<std::string, std::string> chosen;
    for (const auto& [ids, pair] : pairs) {  // in the order of ids
      if (pair.first > best) std::tie(best, chosen) = pair;
    }
    if (best < min_frequency) break;
    lines.push_back(chosen.first + " " + chosen.second);
    order.emplace(chosen.first + chosen.second, static_cast<int32_t>(order.size()));
    std::map<std::vector<std::string>, int64_t> next;
    for (const auto& [symbols, count] : words) {
      std::vector<std::string> merged;
      for (const std::string& symbol : symbols) {
        // Left to right: what was merged is no left side again, because it has another name.
        if (!merged.empty() && merged.back() == chosen.first && symbol == chosen.second) {
          merged.back() += symbol;
        } else {
          merged.push_back(symbol);
        }
      }
      next[merged] += count;
    }
    words = std::move(next);
  }
  return lines;
}

TEST(Train, IsTheDefinition) {
  std::mt19937 draw(6);
  for (int round = 0; round < 150; ++round) {
    // Few letters, so that runs ("aaaa"), ties, and two ways to one token come up.
    std::string text;
    const size_t size = 20 + draw() % 300;
    const uint32_t letters = 1 + draw() % 4;
    for (size_t at = 0; at < size; ++at) text += draw() % 7 == 0 ? ' ' : static_cast<char>('a' + draw() % letters);
    const int64_t frequency = 1 + draw() % 3;
    ASSERT_EQ(merge_texts(train({text}, {261 + 30, frequency, {}})), merged_plainly(text, 30, frequency)) << text;
  }
}

TEST(Train, DoesNotDependOnThreadsOrOrder) {
  const std::string text = content_of(golden("corpus.txt"));
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find("\nT", at), text.size());  // before a letter: pre-tokens stay what they are
    lines.push_back(text.substr(at, end - at));
    at = end;
    if (at < text.size() && at > 0) lines.push_back(text.substr(at, 1)), ++at;
  }
  ASSERT_GT(lines.size(), 10U);
  const TokenizerContent once = train(lines, {500, 2, {}});
  std::reverse(lines.begin(), lines.end());
  const TokenizerContent again = train(lines, {500, 2, {}}, 3, 1);  // each text empties its table
  EXPECT_EQ(again.tokens, once.tokens);
  EXPECT_EQ(merge_texts(again), merge_texts(once));
}

TEST(Train, ASpecialTokenIsNeverLearned) {
  std::string text;
  for (int line = 0; line < 100; ++line) text += "<s> </s> <mask> ";
  const TokenizerContent content = train({text}, {320, 2, {}});
  EXPECT_LT(content.tokens.size(), 320U);  // all is merged that can be
  const ByteLevelTokenizer tokenizer(content);
  EXPECT_EQ(tokenizer.specials().mask, tokenizer.vocabulary() - 1);
  for (const Merge& merge : content.merges) EXPECT_FALSE(tokenizer.is_special(merge.result));
}

TEST(Train, EndsWhenNoPairIsFrequentEnough) {
  EXPECT_EQ(train({"abcdefg"}, {300, 2, {}}).tokens.size(), 261U);
  EXPECT_EQ(train({"abcdefg"}, {300, 1, {}}).tokens.size(), 261U + 6);
  EXPECT_EQ(train({""}, {300, 1, {}}).tokens.size(), 261U);
}

TEST(Train, TooSmallAVocabularyIsRefused) {
  EXPECT_THAT(reason(
                  [] {
                    train({"a"}, {260, 2, {}});
                  },
                  ExitCode::usage),
              HasSubstr("--vocabulary 260 is out of range"));
}

// One word of 300,000 letters: places are kept, so that each merge costs its own places, not the word.
TEST(Train, ALongWordIsNotQuadratic) {
  std::mt19937 draw(7);
  std::string text;
  while (text.size() < 300'000) text += static_cast<char>('a' + draw() % 8);
  EXPECT_EQ(train({text}, {1500, 2, {}}).tokens.size(), 1500U);
}

TEST(WordTable, CountsAndGrows) {
  WordTable table;
  std::mt19937 draw(8);
  std::map<std::string, int64_t> expected;
  for (int word = 0; word < 30'000; ++word) {
    const std::string text = std::string(draw() % 20, 'x') + std::to_string(draw() % 9000);
    ++expected[text];
    table.add(text, WordTable::hash_of(text), 1);
  }
  std::map<std::string, int64_t> found;
  table.each([&](std::string_view word, uint64_t, int64_t count) { found.emplace(word, count); });
  EXPECT_EQ(found, expected);
  EXPECT_EQ(table.words(), expected.size());
  table.clear();
  EXPECT_EQ(table.words(), 0U);
}

}  // namespace
}  // namespace interlock
