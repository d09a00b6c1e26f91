// Labelled texts: frames, pairs, cuts, classes, splits, and batches of samples of like length.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "runtime/data/loader.h"
#include "runtime/data/text_encoder.h"
#include "tests/data/token_support.h"

namespace interlock {
namespace {

using testing::HasSubstr;
using TokenRow = std::vector<int64_t>;

class Labelled : public testing::Test {
 protected:
  std::shared_ptr<Dataset> open(const std::string& data, const std::string& more = "", uint64_t seed = 1) const {
    std::shared_ptr<Dataset> dataset = make_dataset("labelled", "[data]\n" + data + "\n" + more, seed);
    dataset->open();
    return dataset;
  }
  std::string table(const std::string& name, const std::string& content) const {
    put(folder_.file(name), content);
    return quoted(folder_.file(name));
  }
  std::string refusal(const std::string& data, const std::string& more = "") const {
    try {
      open(data, more);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }
  // `rows` rows of texts of 1 to 40 bytes.
  std::string many(int rows) const {
    std::string content = "text\tlabel\n";
    for (int i = 0; i < rows; ++i)
      content += std::string(static_cast<size_t>(1 + i * 13 % 40), static_cast<char>('a' + i % 26)) +
                 std::to_string(i) + "\t" + (i % 3 == 0 ? "x" : "y") + "\n";
    return table("many.tsv", content);
  }

  TemporaryFolder folder_;
};

TokenRow bytes(const std::string& text) {
  TokenRow ids;
  for (const char byte : text) ids.push_back(byte_tokens::of_byte(static_cast<uint8_t>(byte)));
  return ids;
}

// <s> A </s></s> B </s>, as RoBERTa's tokenizer frames a pair.
TokenRow framed(const std::string& first, const std::string& second, size_t width) {
  TokenRow ids{byte_tokens::begin};
  for (const int64_t id : bytes(first)) ids.push_back(id);
  ids.push_back(byte_tokens::end);
  if (!second.empty()) {
    ids.push_back(byte_tokens::end);
    for (const int64_t id : bytes(second)) ids.push_back(id);
    ids.push_back(byte_tokens::end);
  }
  ids.resize(width, byte_tokens::pad);
  return ids;
}

TEST_F(Labelled, SinglesAndPairsInTheirFrames) {
  const std::string file = table("a.tsv", "text\tsecond\tlabel\nabc\tde\tyes\nf\tg\tno\n");
  const auto single = open("paths = [" + file + "]\nheld_out = 0.0"),
             pair = open("paths = [" + file + "]\nheld_out = 0.0\npair = 'second'");
  for (int64_t number = 0; number < 2; ++number) {
    const Batch one = single->batch(Split::training, std::span(&number, 1)),
                two = pair->batch(Split::training, std::span(&number, 1));
    const bool first = one.targets.const_data_ptr<int64_t>()[0] == 0;  // "yes", which appears first
    EXPECT_EQ(row(one.inputs, 0), first ? framed("abc", "", 8) : framed("f", "", 8));
    EXPECT_EQ(row(two.inputs, 0), first ? framed("abc", "de", 16) : framed("f", "g", 8));
    EXPECT_EQ(two.lengths.const_data_ptr<int64_t>()[0], first ? 9 : 6);
    EXPECT_EQ(single->describe(one, 0), first ? "<s>abc</s> -> yes" : "<s>f</s> -> no");
  }
  EXPECT_EQ(single->labels(), (std::vector<std::string>{"yes", "no"}));
  EXPECT_EQ(single->classes(), 2);
  EXPECT_EQ(single->features(), byte_tokens::vocabulary);
}

// As the `longest_first` of Hugging Face's tokenizers: ("aaaaaaaa", "bbbb") in room for 8 keeps four of each, the odd
// one goes to the longer, and a text below half stays whole.
TEST_F(Labelled, LongPairsLoseTheEndOfTheLongerFirst) {
  const auto cut = [&](size_t first, size_t second, int64_t length) {
    std::vector<int32_t> ids;
    const std::string a(first, 'a'), b(second, 'b');
    const std::string_view pair = b;
    const int64_t lost = TextEncoder(nullptr).encode_sample(a, &pair, length, ids);
    const auto count = [&](char letter) {
      return std::ranges::count(ids, byte_tokens::of_byte(static_cast<uint8_t>(letter)));
    };
    EXPECT_EQ(lost + count('a') + count('b'), static_cast<int64_t>(first + second));
    return std::pair<int64_t, int64_t>(count('a'), count('b'));
  };
  EXPECT_EQ(cut(8, 4, 12), std::pair(4L, 4L));
  EXPECT_EQ(cut(8, 2, 12), std::pair(6L, 2L));
  EXPECT_EQ(cut(2, 90, 12), std::pair(2L, 6L));
  EXPECT_EQ(cut(30, 20, 13), std::pair(5L, 4L));
  EXPECT_EQ(cut(20, 30, 13), std::pair(4L, 5L));
  EXPECT_EQ(cut(20, 20, 13), std::pair(4L, 5L));
  EXPECT_EQ(cut(3, 4, 12), std::pair(3L, 4L));
}

TEST_F(Labelled, WhatIsCutOrLeftOutIsSaid) {
  const std::string file = table("a.tsv", "text\tlabel\n\nshort\t1\n" + std::string(50, 'x') + "\t0\n");
  const auto dataset = open("paths = [" + file + "]\nheld_out = 0.0\nsequence_length = 20");
  ASSERT_EQ(dataset->notes().size(), 2U);
  EXPECT_THAT(dataset->notes()[0], HasSubstr("1 empty lines left out"));
  EXPECT_THAT(dataset->notes()[1],
              testing::AllOf(HasSubstr("1 of 2 samples are longer than 20 tokens"), HasSubstr("32 tokens cut")));
  const std::vector<int64_t> both = numbers(0, 2);
  EXPECT_EQ(dataset->batch(Split::training, both).inputs.size(1), 20);
  EXPECT_EQ(dataset->padded_length(Split::training, both), 20);
}

// Words are told apart as they are written, and numbers too.
TEST_F(Labelled, ClassesThatAreOneNumberAreSaid) {
  const std::string file = table("a.tsv", "text\tlabel\na\t1\nb\t1.0\nc\t0\n");
  const auto dataset = open("paths = [" + file + "]\nheld_out = 0.0");
  EXPECT_EQ(dataset->labels().size(), 3U);
  ASSERT_EQ(dataset->notes().size(), 1U);
  EXPECT_THAT(dataset->notes()[0], HasSubstr("\"1\" and \"1.0\" are one number written in two ways"));
}

// A text may be missing where there is a label; whoever does not know it is told.
TEST_F(Labelled, RowsWithoutTextAreSaid) {
  const std::string file = table("a.tsv", "text\tlabel\n\t1\nb\t0\n\t0\n");
  const auto dataset = open("paths = [" + file + "]\nheld_out = 0.0");
  ASSERT_EQ(dataset->notes().size(), 1U);
  EXPECT_THAT(dataset->notes()[0], HasSubstr("2 rows have no text"));
  EXPECT_EQ(dataset->samples(Split::training), 3);
}

TEST_F(Labelled, ScoresAreFloatsAndTheirBaselineIsTheMean) {
  const std::string file = table("a.tsv", "text\tlabel\na\t1.5\nb\t2.5\nc\t5\n"),
                    held = table("b.tsv", "text\tlabel\nd\t1\ne\t3\n");
  const auto dataset =
      open("paths = [" + file + "]\nvalidation_paths = [" + held + "]", "[objective]\nname = 'regression'");
  const Batch batch = dataset->batch(Split::training, numbers(0, 3));
  EXPECT_EQ(batch.targets.scalar_type(), at::kFloat);
  std::multiset<float> found(batch.targets.const_data_ptr<float>(), batch.targets.const_data_ptr<float>() + 3);
  EXPECT_EQ(found, (std::multiset<float>{1.5F, 2.5F, 5.0F}));
  EXPECT_EQ(dataset->classes(), 1);
  EXPECT_NEAR(dataset->unigram_baseline(100), (4.0 + 0.0) / 2, 1e-12);  // the mean is 3
  EXPECT_THAT(refusal("paths = [" + table("c.tsv", "text\tlabel\na\tx\n") + "]", "[objective]\nname = 'regression'"),
              HasSubstr("line 2: the label \"x\" is no score"));
}

TEST_F(Labelled, BaselineOfClassesIsTheirFrequency) {
  const std::string file = table("a.tsv", "text\tlabel\na\tx\nb\tx\nc\tx\nd\ty\n"),
                    held = table("b.tsv", "text\tlabel\ne\tx\nf\ty\n");
  const auto dataset = open("paths = [" + file + "]\nvalidation_paths = [" + held + "]");
  EXPECT_NEAR(dataset->unigram_baseline(100), (std::log(6.0 / 4) + std::log(6.0 / 2)) / 2, 1e-12);
}

TEST_F(Labelled, CopiesFallOnOneSideOfASplit) {
  std::string content = "text\tlabel\n";
  for (int i = 0; i < 400; ++i) content += "text " + std::to_string(i % 100) + "\t" + std::to_string(i % 2) + "\n";
  const auto dataset = open("paths = [" + table("a.tsv", content) + "]\nheld_out = 0.25");
  const auto texts = [&](Split split) {
    std::set<TokenRow> found;
    for (int64_t number = 0; number < dataset->samples(split); ++number)
      found.insert(row(dataset->batch(split, std::span(&number, 1)).inputs, 0));
    return found;
  };
  const auto training = texts(Split::training), held_out = texts(Split::held_out);
  EXPECT_EQ(training.size() + held_out.size(), 100U);  // no text on both sides
  // Of 100 texts 25 expected; four deviations of sqrt(100 / 4 * 3 / 4).
  EXPECT_NEAR(static_cast<double>(held_out.size()), 25, 18);
  EXPECT_EQ(dataset->samples(Split::training), 4 * static_cast<int64_t>(training.size()));
}

TEST_F(Labelled, ASideIsNeverEmpty) {
  const auto dataset =
      open("paths = [" + table("a.tsv", "text\tlabel\nsame\tx\nsame\ty\nsame\tx\n") + "]\nheld_out = 0.2");
  EXPECT_EQ(dataset->samples(Split::held_out), 1);
  EXPECT_EQ(dataset->samples(Split::training), 2);
}

// Sorted by length within a step: the same samples, each once, in batches that are padded less; the same batches for
// any number of replicas.
TEST_F(Labelled, BucketsChangeNothingOfWhatAStepHolds) {
  const auto dataset = open("paths = [" + many(103) + "]\nheld_out = 0.0");
  const Loader one(dataset, {1, 6, 4}), three(dataset, {3, 2, 4});
  int64_t sorted = 0, unsorted = 0;
  for (int64_t step = 1; step <= 9; ++step) {  // through the end of an epoch
    std::multiset<int64_t> held;
    for (int64_t microbatch = 0; microbatch < 6; ++microbatch) {
      const Batch batch = one.training(step, 0, microbatch),
                  same = three.training(step, microbatch / 2, microbatch % 2);
      EXPECT_EQ(batch.sample_ids, same.sample_ids);
      held.insert(batch.sample_ids.begin(), batch.sample_ids.end());
      EXPECT_EQ(batch.inputs.size(1), one.width(step, 0, microbatch));
      EXPECT_EQ(batch.predicted, 4);
      sorted += batch.inputs.numel();
      unsorted += dataset->batch(Split::training, numbers((step - 1) * 24 + microbatch * 4, 4)).inputs.numel();
    }
    const auto expected = numbers((step - 1) * 24, 24);
    EXPECT_EQ(held, std::multiset<int64_t>(expected.begin(), expected.end()));
    EXPECT_EQ(one.training_targets(step), 24);
    EXPECT_EQ(three.training_targets(step, 1), 8);
  }
  EXPECT_LT(sorted, unsorted * 8 / 10);
  int64_t tokens = 0;
  for (int64_t step = 1; step <= 9; ++step) tokens += one.tokens(step);
  EXPECT_EQ(tokens, sorted);
}

TEST_F(Labelled, HeldOutSamplesComeOnceEach) {
  const auto dataset = open("paths = [" + many(300) + "]\nheld_out = 0.4");
  const Loader loader(dataset, {1, 1, 4});
  const int64_t limit = dataset->samples(Split::held_out) - 3;
  std::multiset<int64_t> seen;
  for (int64_t i = 0; i < loader.held_out_microbatches(limit); ++i) {
    const Batch batch = loader.held_out(limit, i);
    EXPECT_EQ(batch.inputs.size(1), loader.held_out_width(limit, i));
    EXPECT_EQ(batch.inputs.size(0), loader.held_out_samples(limit, i));
    seen.insert(batch.sample_ids.begin(), batch.sample_ids.end());
  }
  const auto expected = numbers(0, limit);
  EXPECT_EQ(seen, std::multiset<int64_t>(expected.begin(), expected.end()));
}

TEST_F(Labelled, UnderTheMaskedObjectiveTextsAreMasked) {
  const auto dataset =
      open("paths = [" + many(60) + "]\nlabel = 'absent'\nsequence_length = 32", "[objective]\nname = 'masked'");
  EXPECT_EQ(dataset->objective(), Objective::masked);
  EXPECT_EQ(dataset->classes(), byte_tokens::vocabulary);
  const Batch batch = dataset->batch(Split::training, numbers(0, 8));
  ASSERT_EQ(batch.targets.sizes(), batch.inputs.sizes());
  std::set<std::string> texts;
  for (int i = 0; i < 60; ++i)
    texts.insert(
        (std::string(static_cast<size_t>(1 + i * 13 % 40), static_cast<char>('a' + i % 26)) + std::to_string(i))
            .substr(0, 30));
  for (int64_t i = 0; i < 8; ++i) EXPECT_TRUE(texts.contains(original(batch, i)));
}

TEST_F(Labelled, WhatIsRefused) {
  const std::string good = table("good.tsv", "text\tlabel\na\tx\nb\ty\n");
  EXPECT_THAT(
      refusal("paths = [" + good + "]\nvalidation_paths = [" + table("v.tsv", "text\tlabel\na\tx\nc\tz\n") + "]"),
      HasSubstr("v.tsv: line 3: the label \"z\" does not occur in training, which has \"x\", \"y\""));
  EXPECT_THAT(refusal("paths = [" + table("one.tsv", "text\tlabel\na\tx\nb\tx\n") + "]"),
              HasSubstr("all 2 rows have the label \"x\": there is nothing to tell apart"));
  EXPECT_THAT(refusal("paths = [" + table("score.tsv", "text\tlabel\na\t2\nb\t2.0\n") + "]",
                      "[objective]\nname = 'regression'"),
              HasSubstr("score.tsv, column label: all 2 rows have the score 2: there is nothing to learn"));
  EXPECT_THAT(refusal("paths = [" + table("none.tsv", "text\tlabel\na\tx\nb\t \n") + "]"),
              HasSubstr("none.tsv: line 3: the label is empty"));
  EXPECT_THAT(refusal("paths = [" + good + "]\nlabel = 'lable'"),
              HasSubstr("unknown column \"lable\"; did you mean \"label\"?"));
  EXPECT_THAT(refusal("paths = [" + good + "]\nlabels = ['x', 'x']"), HasSubstr("data.labels"));
  EXPECT_THAT(refusal("paths = [" + good + "]\nlabels = ['x', 'q']"), HasSubstr("the label \"y\" does not occur"));
  EXPECT_THAT(refusal(""), HasSubstr("data.paths"));
  EXPECT_THAT(refusal("paths = [" + good + "]", "[objective]\nname = 'ranking'"), HasSubstr("objective.name"));
}

}  // namespace
}  // namespace interlock
