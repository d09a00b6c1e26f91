// Ends of sentences from ids alone, against the pre-tokens of the whole text.

#include "runtime/data/sentences.h"

#include "tests/data/token_support.h"

namespace interlock {
namespace {

std::vector<int64_t> found_ends(const SentenceTable& table, const Ids& ids, size_t at_once) {
  SentenceEnds sentences(table);
  SentenceEnds::Found found;
  for (size_t at = 0; at < ids.size(); at += at_once) {
    sentences.add(std::span(ids).subspan(at, std::min(at_once, ids.size() - at)), found);
  }
  sentences.finish(found);
  return found.ends;
}

// The definition: the text is cut after each pre-token with a line feed; each piece between special tokens for itself.
std::vector<int64_t> expected_ends(const Tokenizer& tokenizer, const Ids& ids) {
  std::vector<int64_t> ends;
  std::string text;
  int64_t first = 0;
  const auto end_stretch = [&](int64_t end) {
    std::vector<size_t> cuts;
    size_t begin = 0;
    for (const size_t pretoken : pretoken_ends(text)) {
      if (text.find('\n', begin) < pretoken) cuts.push_back(pretoken);
      begin = pretoken;
    }
    size_t bytes = 0;
    for (int64_t i = first; i < end; ++i) {
      bytes += tokenizer.bytes_of(ids[static_cast<size_t>(i)]).size();
      if (std::ranges::find(cuts, bytes) != cuts.end()) {
        ends.push_back(i + 1);
        std::erase(cuts, bytes);
      }
    }
    EXPECT_TRUE(cuts.empty()) << "a pre-token ends inside a token";
    text.clear();
    first = end + 1;
  };
  for (size_t i = 0; i < ids.size(); ++i) {
    if (tokenizer.is_special(ids[i])) {
      end_stretch(static_cast<int64_t>(i));
    } else {
      text += tokenizer.bytes_of(ids[i]);
    }
  }
  end_stretch(std::ssize(ids));
  if (!ids.empty() && (ends.empty() || ends.back() != std::ssize(ids))) ends.push_back(std::ssize(ids));
  return ends;
}

class Sentences : public testing::Test {
 protected:
  TemporaryFolder folder_;
  std::shared_ptr<const Tokenizer> tokenizer_ = small_tokenizer(folder_.file("tokenizer"));
  SentenceTable table_{*tokenizer_};
};

TEST_F(Sentences, ByHand) {
  const auto texts = [&](const std::string& text) {
    const Ids ids = ids_of(*tokenizer_, text);
    std::vector<std::string> sentences;
    int64_t begin = 0;
    for (const int64_t end : found_ends(table_, ids, 1)) {
      sentences.push_back(
          tokenizer_->decode(std::span(ids).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin))));
      begin = end;
    }
    return sentences;
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(texts(""), Texts{});
  EXPECT_EQ(texts("the"), Texts{"the"});
  EXPECT_EQ(texts("the\n"), Texts{"the\n"});
  EXPECT_EQ(texts("a\nb\n"), (Texts{"a\n", "b\n"}));
  EXPECT_EQ(texts("a\n\nb"), (Texts{"a\n", "\n", "b"})) << "a run before text leaves its last character alone";
  EXPECT_EQ(texts("a\n\n\nb\n\n\n"), (Texts{"a\n\n", "\n", "b\n\n\n"}));
  EXPECT_EQ(texts("a\n b"), (Texts{"a\n", " b"}));
  EXPECT_EQ(texts("a \n\t  b"), (Texts{"a \n\t ", " b"}));
  EXPECT_EQ(texts("\n\nthe"), (Texts{"\n", "\n", "the"}));
  EXPECT_EQ(texts("a\n\xe3\x80\x80 b"), (Texts{"a\n\xe3\x80\x80", " b"}));
  EXPECT_EQ(texts("a\n\n</s>b"), (Texts{"a\n\n", "</s>b"})) << "text is cut at special tokens first";
}

TEST_F(Sentences, AsThePretokensOfTheWholeText) {
  std::mt19937 random(3);
  size_t sentences = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string text = spaced_text(random, random() % 60);
    if (round % 4 == 0) text += "<s>" + spaced_text(random, random() % 10) + "</s>" + spaced_text(random, 10);
    const Ids ids = ids_of(*tokenizer_, text);
    const auto expected = expected_ends(*tokenizer_, ids);
    ASSERT_EQ(found_ends(table_, ids, 1 + random() % 7), expected) << testing::PrintToString(text);
    sentences += expected.size();
  }
  EXPECT_GT(sentences, 5000u);
}

TEST_F(Sentences, EndAtPunctuationWhereAskedFor) {
  const SentenceTable table(*tokenizer_, SentenceRule::punctuation);
  const auto texts = [&](const std::string& text) {
    const Ids ids = ids_of(*tokenizer_, text);
    std::vector<std::string> sentences;
    int64_t begin = 0;
    const std::vector<int64_t> ends = found_ends(table, ids, 1);
    EXPECT_EQ(found_ends(table, ids, 5), ends);
    for (const int64_t end : ends) {
      sentences.push_back(
          tokenizer_->decode(std::span(ids).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin))));
      begin = end;
    }
    return sentences;
  };
  using Texts = std::vector<std::string>;
  // This tokenizer has no token of a space and a capital: the space stays with the sentence before.
  EXPECT_EQ(texts("It is. He was! Who? 12"), (Texts{"It is. ", "He was! ", "Who? ", "12"}));
  EXPECT_EQ(texts("He said \"no.\" (Then.) \"Go!\""), (Texts{"He said \"no.\" ", "(Then.) ", "\"Go!\""}));
  EXPECT_EQ(texts("e.g. the 3.5 of a.b"), Texts{"e.g. the 3.5 of a.b"}) << "neither before a small letter nor inside";
  EXPECT_EQ(texts("A.\nB.  C"), (Texts{"A.\n", "B.  ", "C"})) << "line feeds as ever";
  EXPECT_EQ(texts("A. \nB"), (Texts{"A. \n", "B"})) << "no sentence of white space alone";
  EXPECT_EQ(texts("A.</s> B"), Texts{"A.</s> B"}) << "the mark does not reach over a special token";
  EXPECT_EQ(texts("A."), Texts{"A."});
}

TEST(PunctuationOfTokens, SaysWhatEndsBeginsAndCloses) {
  EXPECT_TRUE(punctuation_of(".").stops && punctuation_of("?!\"").stops && punctuation_of(" end.)").stops);
  EXPECT_TRUE(punctuation_of("\xe2\x80\xa6\xe2\x80\x9d").stops) << "an ellipsis and a quote that closes";
  EXPECT_FALSE(punctuation_of(".x").stops || punctuation_of(",").stops || punctuation_of(".\n").stops);
  EXPECT_TRUE(punctuation_of("\xe3\x80\x82").full && punctuation_of("\xef\xbc\x9f\xe3\x80\x8d").full);
  EXPECT_TRUE(punctuation_of("\")").closes);
  EXPECT_FALSE(punctuation_of(" \"").closes || punctuation_of("").closes) << "with a space before it, it opens";
  EXPECT_TRUE(punctuation_of(" The").spaced && !punctuation_of(" The").small);
  EXPECT_TRUE(punctuation_of(" the").small && punctuation_of("the").small);
  EXPECT_TRUE(punctuation_of(" \t").blank && !punctuation_of(" \n").blank);
}

// Ids that come from elsewhere may have anything in a token: cut characters, and line feeds among letters.
TEST_F(Sentences, IdsOfAnotherSchemeKeepTheirTokensWhole) {
  class Foreign final : public Tokenizer {
   public:
    int64_t vocabulary() const override { return std::ssize(tokens_); }
    void encode(std::string_view, std::vector<int32_t>&) const override {}
    std::string decode(std::span<const int32_t>) const override { return ""; }
    std::string_view bytes_of(int64_t id) const override { return tokens_[static_cast<size_t>(id)]; }
    bool is_special(int64_t) const override { return false; }
    std::string shown(int64_t) const override { return ""; }
    Specials specials() const override { return {}; }
    void save(const std::string&) const override {}
    std::string fingerprint() const override { return ""; }

   private:
    std::vector<std::string> tokens_ = {"a\nb\nc",
                                        "d",
                                        "\n \xe3\x80",
                                        "\x80"
                                        "e",
                                        "\x81",
                                        " \n "};
  } tokenizer;
  const SentenceTable table(tokenizer);
  EXPECT_EQ(found_ends(table, {0, 1, 0}, 1), (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(found_ends(table, {2, 3, 1}, 2), (std::vector<int64_t>{1, 3})) << "U+3000 is the run's last character";
  EXPECT_EQ(found_ends(table, {2, 4, 1}, 2), (std::vector<int64_t>{1, 3})) << "U+3001 is no white space";
  EXPECT_EQ(found_ends(table, {5, 5, 1, 5}, 3), (std::vector<int64_t>{2, 4}));
}

}  // namespace
}  // namespace interlock
