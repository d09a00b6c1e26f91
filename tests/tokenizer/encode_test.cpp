// Ids against those of the `tokenizers` library (golden files made by make_golden.py), and against slower ways.
#include <gmock/gmock.h>

#include <thread>

#include "runtime/data/tokenizer/pretokens.h"
#include "runtime/data/tokenizer/read_content.h"
#include "tests/tokenizer/support.h"

namespace interlock {
namespace {

using nlohmann::json;

const json& encodings() {
  static const json read = json::parse(content_of(golden("encodings.json")));
  return read;
}

class Encode : public WithFolder {
 protected:
  // The golden tokenizer with other keys in its tokenizer.json.
  std::shared_ptr<const ByteLevelTokenizer> variant(const json& keys) const {
    json file = json::parse(content_of(golden("tokenizer.json")));
    file.update(keys);
    return ByteLevelTokenizer::open(write("tokenizer.json", file.dump()));
  }
  const std::shared_ptr<const ByteLevelTokenizer> small_ = ByteLevelTokenizer::open(golden("tokenizer.json"));
};

TEST_F(Encode, GivesTheIdsOfTheLibrary) {
  ASSERT_GT(encodings()["texts"].size(), 30U);
  for (const json& one : encodings()["texts"])
    EXPECT_EQ(ids_of(*small_, one["text"].get<std::string>()), one["ids"].get<std::vector<int32_t>>()) << one["name"];
  for (const json& one : encodings()["broken"])
    EXPECT_EQ(ids_of(*small_, one["text"].get<std::string>()), one["ids"].get<std::vector<int32_t>>()) << one["hex"];
}

TEST_F(Encode, TreatsAddedTokensAsTheLibraryDoes) {
  for (const json& one : encodings()["variants"]) {
    const auto tokenizer = variant(one["keys"]);
    for (const json& text : one["texts"])
      EXPECT_EQ(ids_of(*tokenizer, text["text"].get<std::string>()), text["ids"].get<std::vector<int32_t>>())
          << one["name"] << ": " << text["text"];
  }
}

TEST_F(Encode, AppendsAndIsTheSameWarmAndCold) {
  std::vector<int32_t> ids = {7};
  small_->encode("the loss", ids);
  const size_t first = ids.size();
  small_->encode("the loss", ids);
  EXPECT_EQ(ids.size(), 2 * first - 1);
  EXPECT_TRUE(std::equal(ids.begin() + 1, ids.begin() + static_cast<ptrdiff_t>(first),
                         ids.begin() + static_cast<ptrdiff_t>(first)));
}

TEST_F(Encode, TextMustBeUtf8) {
  EXPECT_THAT(reason([&] { ids_of(*small_, "ab\xC3"); }), testing::HasSubstr("not UTF-8 at byte 2"));
}

// The definition: of all neighbours the pair of the lowest rank, leftmost, until there is none.
std::vector<int32_t> merged_plainly(const std::vector<Merge>& merges, std::vector<int32_t> symbols) {
  for (;;) {
    size_t best = merges.size(), place = 0;
    for (size_t at = 0; at + 1 < symbols.size(); ++at) {
      for (size_t rank = 0; rank < best; ++rank) {
        if (merges[rank].left == symbols[at] && merges[rank].right == symbols[at + 1]) {
          best = rank;
          place = at;
        }
      }
    }
    if (best == merges.size()) return symbols;
    symbols[place] = merges[best].result;
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(place) + 1);
  }
}

TEST(MergeWord, BothWaysAreTheDefinition) {
  // Tokens 0, 1, 2 and merges of any of what is there, in an order that no trainer would choose.
  std::mt19937 draw(3);
  for (int round = 0; round < 300; ++round) {
    std::vector<Merge> merges;
    for (int32_t token = 3; token < 15; ++token) {
      const Merge merge{static_cast<int32_t>(draw() % static_cast<uint32_t>(token)),
                        static_cast<int32_t>(draw() % static_cast<uint32_t>(token)), token};
      const bool known = std::any_of(merges.begin(), merges.end(), [&](const Merge& one) {
        return one.left == merge.left && one.right == merge.right;
      });
      if (!known) merges.push_back(merge);
    }
    std::shuffle(merges.begin(), merges.end(), draw);
    const MergeTable table(merges);
    WordMerger merger;
    for (const size_t size : {0, 1, 2, 5, 20, 64, 65, 200}) {  // 64: where the way changes
      std::vector<int32_t> symbols(size);
      for (int32_t& symbol : symbols) symbol = static_cast<int32_t>(draw() % 3);
      const std::vector<int32_t> expected = merged_plainly(merges, symbols);
      merger.merge(table, symbols);
      ASSERT_EQ(symbols, expected) << "round " << round << ", size " << size;
    }
  }
}

// A megabyte in one word: some 20 million steps with a queue, 10^12 without, which the time limit ends.
TEST_F(Encode, AWordOfAMegabyteIsNotQuadratic) {
  std::string word;
  while (word.size() < (1 << 20)) word += "learninglossstage";
  std::vector<int32_t> ids = ids_of(*small_, word);
  EXPECT_EQ(small_->decode(ids), word);
  EXPECT_LT(ids.size(), word.size() / 2);
  const std::string same(1 << 20, 'a');
  EXPECT_EQ(small_->decode(ids_of(*small_, same)), same);
}

TEST_F(Encode, DecodesAnyBytes) {
  std::mt19937 draw(4);
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  for (int round = 0; round < 50; ++round) {
    std::string bytes = round == 0 ? all : "";
    while (bytes.size() < 300) bytes += static_cast<char>(draw());
    // Not text: token by token, as ids come out of a file.
    std::vector<int32_t> ids;
    for (const char byte : bytes) {
      for (int32_t id = 0; id < small_->vocabulary(); ++id) {
        if (!small_->is_special(id) && small_->bytes_of(id) == std::string_view(&byte, 1)) ids.push_back(id);
      }
    }
    EXPECT_EQ(ids.size(), bytes.size());
    EXPECT_EQ(small_->decode(ids), bytes);
  }
  for (const json& one : encodings()["texts"]) {
    const std::string text = one["text"];
    if (text.find("<mask>") != std::string::npos) continue;  // it takes the spaces before it
    EXPECT_EQ(small_->decode(ids_of(*small_, text)), text) << one["name"];
  }
}

TEST_F(Encode, ManyThreadsAtOnceAgree) {
  const std::string text = content_of(golden("corpus.txt"));
  const std::vector<int32_t> expected = ids_of(*small_, text);
  std::vector<std::vector<int32_t>> found(4);
  {
    std::vector<std::jthread> threads;
    for (auto& ids : found) threads.emplace_back([&] { small_->encode(text, ids); });
  }
  for (const auto& ids : found) EXPECT_EQ(ids, expected);
}

// Cuts wherever they are allowed, with added tokens that reach over spaces and neighbours.
TEST_F(Encode, PartsGiveTheIdsOfTheWhole) {
  std::mt19937 draw(5);
  std::vector<std::shared_ptr<const ByteLevelTokenizer>> tokenizers = {small_};
  for (const json& one : encodings()["variants"]) tokenizers.push_back(variant(one["keys"]));
  int64_t cuts = 0;
  for (int round = 0; round < 2000; ++round) {
    const std::string text = random_text(draw, 1 + draw() % 24);
    for (const auto& tokenizer : tokenizers) {
      std::vector<int32_t> parts;
      size_t begin = 0;
      for (size_t at = 1; at < text.size(); ++at) {
        if (draw() % 3 == 0 || !tokenizer->is_cut(std::string_view(text).substr(begin), at - begin)) continue;
        tokenizer->encode_part(std::string_view(text).substr(begin, at - begin), begin > 0, parts);
        begin = at;
        ++cuts;
      }
      tokenizer->encode_part(std::string_view(text).substr(begin), begin > 0, parts);
      ASSERT_EQ(parts, ids_of(*tokenizer, text)) << testing::PrintToString(text);
    }
  }
  EXPECT_GT(cuts, 10'000);
}

TEST_F(Encode, SpecialsAndWhatPeopleSee) {
  const Tokenizer::Specials specials = small_->specials();
  EXPECT_EQ(specials.begin, 0);
  EXPECT_EQ(specials.pad, 1);
  EXPECT_EQ(specials.end, 2);
  EXPECT_EQ(specials.unknown, 3);
  EXPECT_EQ(specials.mask, small_->vocabulary() - 1);
  EXPECT_TRUE(small_->is_special(1));
  EXPECT_FALSE(small_->is_special(4));
  EXPECT_FALSE(small_->is_special(-1));
  EXPECT_EQ(small_->shown(specials.mask), "<mask>");
  const auto shown = [&](const std::string& text) {
    std::string all;
    for (const int32_t id : ids_of(*small_, text)) all += small_->shown(id);
    return all;
  };
  EXPECT_EQ(shown(" a\n\t\\\x7f"), " a\\n\\t\\\\\\x7f");
  EXPECT_EQ(shown("🙂").substr(0, 4), "\\xf0");
  EXPECT_EQ(small_->shown(100'000), "<token 100000>");
  EXPECT_THAT(reason([&] { small_->bytes_of(640); }), testing::HasSubstr("token 640 is not of this tokenizer"));
  EXPECT_THAT(reason([&] { small_->decode(std::vector<int32_t>{-1}); }), testing::HasSubstr("token -1"));
}

}  // namespace
}  // namespace interlock
