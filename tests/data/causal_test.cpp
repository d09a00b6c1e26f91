// Samples of the causal objective against streams put together by hand: every token predicted once, from the one before
// it; documents; the held-out part; what is refused.
#include <gmock/gmock.h>

#include <cmath>
#include <map>

#include "runtime/data/byte_tokens.h"
#include "tests/data/token_support.h"

namespace interlock {
namespace {

using testing::HasSubstr;
constexpr int64_t length = 16;

class Causal : public testing::Test {
 protected:
  std::shared_ptr<Dataset> open(const std::string& name, const std::string& data, const std::string& objective = "",
                                const std::string& tokenizer = "") const {
    const Config config =
        Config::from_text("[data]\nsequence_length = 16\n" + data + "\n[objective]\nname = \"causal\"\n" + objective +
                          "\n[tokenizer]\n" + tokenizer);
    const DatasetSettings settings{.data = config.section("data"),
                                   .objective = config.section("objective"),
                                   .tokenizer = config.section("tokenizer"),
                                   .seed = 3};
    std::shared_ptr<Dataset> dataset = Datasets::instance().create("dataset", name, settings);
    config.reject_unknown();
    dataset->open();
    return dataset;
  }
  std::shared_ptr<Dataset> of_text(const std::string& data = "held_out = 0.0",
                                   const std::string& objective = "") const {
    return open("text", "paths = [" + quoted(folder_.file("texts")) + "]\n" + data, objective);
  }
  void text(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories(folder_.file("texts"));
    put(folder_.file("texts") + "/" + name, content);
  }

  TemporaryFolder folder_;
};

// What each sample of an epoch takes in and predicts, by its first number's place in the stream: a sample begins with a
// token that the one before ended with, so samples are told apart by sorting them into the stream.
struct Row {
  std::vector<int64_t> inputs, targets;
};
std::vector<Row> rows_of(const Dataset& dataset, Split split) {
  std::vector<Row> rows;
  for (int64_t number = 0; number < dataset.samples(split); ++number) {
    const Batch batch = dataset.batch(split, {&number, 1});
    const int64_t count = batch.lengths.defined() ? batch.lengths.const_data_ptr<int64_t>()[0] : length;
    const int64_t *inputs = batch.inputs.const_data_ptr<int64_t>(), *targets = batch.targets.const_data_ptr<int64_t>();
    rows.push_back({{inputs, inputs + count}, {targets, targets + count}});
    EXPECT_EQ(batch.predicted, count);
    EXPECT_EQ(dataset.predicted(split, {&number, 1}), count);
    for (int64_t place = count; place < length; ++place) EXPECT_EQ(targets[place], ignored_target);
  }
  return rows;
}

// The rows that a stream gives, sorted.
std::vector<std::pair<std::vector<int64_t>, std::vector<int64_t>>> cut(const std::vector<int64_t>& stream,
                                                                       int64_t end) {
  std::vector<std::pair<std::vector<int64_t>, std::vector<int64_t>>> rows;
  const auto size = std::ssize(stream);
  for (int64_t begin = 0; begin < size; begin += length) {
    std::vector<int64_t> inputs, targets;
    for (int64_t i = begin; i < std::min(size, begin + length); ++i) {
      inputs.push_back(i == 0 ? end : stream[static_cast<size_t>(i - 1)]);
      targets.push_back(stream[static_cast<size_t>(i)]);
    }
    rows.emplace_back(inputs, targets);
  }
  std::ranges::sort(rows);
  return rows;
}
std::vector<std::pair<std::vector<int64_t>, std::vector<int64_t>>> sorted(const std::vector<Row>& rows) {
  std::vector<std::pair<std::vector<int64_t>, std::vector<int64_t>>> all;
  for (const Row& row : rows) all.emplace_back(row.inputs, row.targets);
  std::ranges::sort(all);
  return all;
}

TEST_F(Causal, BytesOfAllFilesAreOneStreamWithEnds) {
  std::vector<int64_t> stream;
  for (size_t size : {1, 15, 16, 17, 31, 100, 1000}) {
    std::string content;
    for (size_t i = 0; i < size; ++i) content += static_cast<char>(i * i % 251 + size % 5);
    text(std::string(1, static_cast<char>('a' + size % 26)) + std::to_string(size), content);
  }
  std::map<std::string, std::string> files;
  for (const auto& file : std::filesystem::directory_iterator(folder_.file("texts"))) {
    std::ifstream in(file.path(), std::ios::binary);
    files[file.path()] = std::string(std::istreambuf_iterator<char>(in), {});
  }
  for (const auto& [name, content] : files) {  // in the order of their names
    for (const char byte : content) stream.push_back(byte_tokens::of_byte(static_cast<uint8_t>(byte)));
    stream.push_back(byte_tokens::end);
  }
  const auto dataset = of_text();
  EXPECT_EQ(dataset->objective(), Objective::causal);
  EXPECT_EQ(dataset->mask_token(), -1);
  EXPECT_EQ(dataset->predicted_share(), 1);
  EXPECT_EQ(sorted(rows_of(*dataset, Split::training)), cut(stream, byte_tokens::end));
}

TEST_F(Causal, AHeldOutTailIsNoPartOfTheTraining) {
  std::string content;
  for (int i = 0; i < 1600; ++i) content += static_cast<char>('a' + i * i % 23);
  text("one", content);
  const auto dataset = of_text("held_out = 0.25");
  std::vector<int64_t> all;
  for (const char byte : content) all.push_back(byte_tokens::of_byte(static_cast<uint8_t>(byte)));
  // 1600 bytes are 100 samples; of these 25 are held out, and with them the end of the file.
  const std::vector<int64_t> training(all.begin(), all.begin() + 1200);
  std::vector<int64_t> held(all.begin() + 1200, all.end());
  held.push_back(byte_tokens::end);
  EXPECT_EQ(sorted(rows_of(*dataset, Split::training)), cut(training, byte_tokens::end));
  EXPECT_EQ(sorted(rows_of(*dataset, Split::held_out)), cut(held, byte_tokens::end));
}

TEST_F(Causal, TheBaselineIsThatOfCountedTokens) {
  text("one", std::string(320, 'a') + std::string(320, 'b'));
  const auto dataset = of_text("held_out = 0.25");
  // Training: 320 a and 160 b; 160 b and an end are held out.
  const double total = 480 + byte_tokens::vocabulary;
  const double truth = (160 * std::log(total / 161) + std::log(total / 1)) / 161;
  EXPECT_NEAR(dataset->unigram_baseline(1000), truth, 1e-12);
}

TEST_F(Causal, TokenFilesAreOneStreamWithEnds) {
  const auto tokenizer = small_tokenizer(folder_.file("tokenizer"));
  std::vector<Ids> documents;
  int32_t next = 4;
  for (const int64_t tokens : {3, 0, 16, 15, 40, 1, 0, 64}) {
    documents.emplace_back();
    for (int64_t i = 0; i < tokens; ++i) documents.back().push_back(4 + (next = next * 31 % 211));
  }
  write_tokens(folder_.file("all"), documents, tokenizer->vocabulary());
  std::vector<int64_t> stream;
  for (const Ids& document : documents) {
    stream.insert(stream.end(), document.begin(), document.end());
    if (!document.empty()) stream.push_back(tokenizer->specials().end);
  }
  const std::string paths = "paths = [" + quoted(folder_.file("all")) + "]\n",
                    path = "path = " + quoted(folder_.file("tokenizer"));
  const auto dataset = open("tokens", paths + "held_out = 0.0", "", path);
  EXPECT_EQ(sorted(rows_of(*dataset, Split::training)), cut(stream, tokenizer->specials().end));
  // Documents of a held-out part come from the same files, and none is in both.
  const auto apart = open("tokens", paths + "held_out = 0.4", "", path);
  int64_t tokens = 0;
  for (const Split split : {Split::training, Split::held_out})
    for (const Row& row : rows_of(*apart, split)) tokens += std::ssize(row.targets);
  EXPECT_EQ(tokens, std::ssize(stream));
}

TEST_F(Causal, PositionsBeginAnewBehindEachEnd) {
  text("a", "abcdefg");
  text("b", "hi");
  text("c", std::string(30, 'x'));
  const auto dataset = of_text("held_out = 0.0", "document_mask = true");
  // </s> abcdefg </s> hi </s> xxx...: the stream's first sample takes in an end, 7 bytes, an end, 2 bytes, an end, 4 x.
  bool seen = false;
  for (int64_t number = 0; number < dataset->samples(Split::training); ++number) {
    const Batch batch = dataset->batch(Split::training, {&number, 1}, {.inputs = false, .targets = false});
    ASSERT_TRUE(batch.positions.defined());
    EXPECT_FALSE(batch.inputs.defined());
    const int64_t* places = batch.positions.const_data_ptr<int64_t>();
    seen |= std::vector<int64_t>(places, places + length) ==
            std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 0, 1, 2, 3, 4};
  }
  EXPECT_TRUE(seen);
  const int64_t first = 0;
  EXPECT_FALSE(of_text()->batch(Split::training, {&first, 1}).positions.defined());
}

TEST_F(Causal, RefusesWhatDoesNotFit) {
  text("a", "abc");
  const auto refusal = [&](const auto& act) -> std::string {
    try {
      act();
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal([&] { of_text(); }), AllOf(HasSubstr("the corpus has 3 bytes"), HasSubstr("16")));
  EXPECT_THAT(refusal([&] { of_text("packing = \"full_sentences\""); }), HasSubstr("packing"));
  EXPECT_THAT(refusal([&] { of_text("", "mask_rate = 0.2"); }), HasSubstr("mask_rate"));
  small_tokenizer(folder_.file("bare"), {"</s>"});
  EXPECT_THAT(refusal([&] { open("tokens", "paths = [\"x\"]", "", "path = " + quoted(folder_.file("bare"))); }),
              HasSubstr("</s>"));
}

}  // namespace
}  // namespace interlock
