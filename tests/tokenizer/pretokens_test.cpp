// The pattern, the way around it, and places where text may be cut.
#include "runtime/data/tokenizer/pretokens.h"

#include <gmock/gmock.h>

#include "tests/tokenizer/support.h"

namespace interlock {
namespace {

using testing::ElementsAre;

std::vector<std::string> pretokens(const std::string& text) {
  std::vector<std::string> words;
  size_t begin = 0;
  for (const size_t end : pretoken_ends(text)) {
    words.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  EXPECT_EQ(begin, text.size());
  return words;
}

std::vector<size_t> ends_by_pattern(std::string_view text) {
  std::vector<size_t> ends;
  for (size_t at = 0; at < text.size();) ends.push_back(at = pretoken_end_by_pattern(text, at));
  return ends;
}

// Written down from the pattern's meaning, one alternative after the other.
TEST(Pretokens, AreWhatThePatternSays) {
  EXPECT_THAT(pretokens("I'll go, won't I'LL"), ElementsAre("I", "'ll", " go", ",", " won", "'t", " I", "'", "LL"));
  EXPECT_THAT(pretokens("a  b   c"), ElementsAre("a", " ", " b", "  ", " c"));
  EXPECT_THAT(pretokens("x \n y\n\n"), ElementsAre("x", " \n", " y", "\n\n"));
  EXPECT_THAT(pretokens("a\nb \tc"), ElementsAre("a", "\n", "b", " ", "\t", "c"));
  EXPECT_THAT(pretokens(" 12ab!? 3"), ElementsAre(" 12", "ab", "!?", " 3"));
  EXPECT_THAT(pretokens("é\u00a0中 \u3000 x"), ElementsAre("é", "\u00a0", "中", " \u3000", " x"));
  EXPECT_THAT(pretokens("e\u0301x"), ElementsAre("e", "\u0301", "x"));  // a mark is neither letter nor number
  EXPECT_THAT(pretokens("a\u180eb"), ElementsAre("a", "\u180e", "b"));  // no space since Unicode 6.3
  EXPECT_THAT(pretokens("''s 's"), ElementsAre("''", "s", " '", "s"));
  EXPECT_THAT(pretokens("   "), ElementsAre("   "));
  EXPECT_THAT(pretokens(""), ElementsAre());
}

TEST(Pretokens, TheWayForAsciiIsThePattern) {
  std::mt19937 draw(1);
  for (int round = 0; round < 4000; ++round) {
    std::string text;
    const size_t size = draw() % 40;
    static constexpr std::string_view often = "    \n\t'''sstdmrevl.,aZ09\r\v\f\x1f";
    for (size_t at = 0; at < size; ++at)
      text += draw() % 4 == 0 ? static_cast<char>(draw() % 128) : often[draw() % often.size()];
    if (draw() % 3 == 0) text += "é";
    ASSERT_EQ(pretoken_ends(text), ends_by_pattern(text)) << testing::PrintToString(text);
    const std::string mixed = random_text(draw, 12);
    ASSERT_EQ(pretoken_ends(mixed), ends_by_pattern(mixed)) << testing::PrintToString(mixed);
  }
}

TEST(Pretokens, SafeCutsChangeNothing) {
  std::mt19937 draw(2);
  int64_t cuts = 0;
  for (int round = 0; round < 3000; ++round) {
    const std::string text = random_text(draw, 1 + draw() % 16);
    const std::vector<size_t> whole = pretoken_ends(text);
    for (size_t at = 1; at < text.size(); ++at) {
      if (!is_safe_cut(text, at)) continue;
      ++cuts;
      std::vector<size_t> parts = pretoken_ends(text.substr(0, at));
      for (const size_t end : pretoken_ends(text.substr(at))) parts.push_back(at + end);
      ASSERT_EQ(parts, whole) << testing::PrintToString(text) << " at " << at;
    }
  }
  EXPECT_GT(cuts, 10'000);
}

TEST(Pretokens, CutsAreFoundInAllScripts) {
  const auto first_cut = [](const std::string& text) {
    size_t at = 1;
    while (at < text.size() && !is_safe_cut(text, at)) ++at;
    return at;
  };
  EXPECT_EQ(first_cut("word next"), 4U);
  EXPECT_EQ(first_cut("静か。です"), 6U);
  EXPECT_EQ(first_cut("a1"), 1U);
  EXPECT_EQ(first_cut("!! x"), 2U);
  EXPECT_EQ(first_cut("don't"), 3U);
  EXPECT_EQ(first_cut("🙂🙂"), 8U);  // none: the second may belong to the first
  EXPECT_EQ(first_cut("'ll"), 3U);
  EXPECT_EQ(first_cut("   x"), 4U);
}

// Two megabytes take a fraction of a second when each pre-token is looked at once or twice; were it quadratic, hours,
// and the test's time limit ends it.
TEST(Pretokens, LongRunsAreLinear) {
  constexpr size_t long_run = 2 << 20;
  for (const std::string unit : {" ", "a", "é", "\u3000", "1", "!", "🙂", "'"}) {
    std::string text;
    while (text.size() < long_run) text += unit;
    EXPECT_EQ(pretoken_ends(text).size(), 1U) << unit;
    EXPECT_EQ(pretoken_ends(text + "x é").back(), text.size() + 4) << unit;
  }
  std::string steps;
  for (int number = 0; number < 100'000; ++number) steps += "  é'";
  EXPECT_EQ(pretoken_ends(steps).back(), steps.size());
}

TEST(Pretokens, TextMustBeUtf8) {
  EXPECT_THAT(reason([] { pretoken_ends("abc\xFF"); }), testing::HasSubstr("not UTF-8 at byte 3"));
}

}  // namespace
}  // namespace interlock
