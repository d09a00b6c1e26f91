// Weights between token files, and what the dataset `tokens` refuses.

#include "runtime/data/token_corpus.h"
#include "tests/data/token_support.h"

namespace interlock {
namespace {

class WeightedTokens : public testing::Test {
 protected:
  // Every document is one sample whose tokens tell its file and number.
  void file(const std::string& name, int32_t letter, int documents) {
    std::vector<Ids> all;
    for (int i = 0; i < documents; ++i) all.push_back({letter, 10 + i / 100, 10 + i % 100});
    write_tokens(folder_.file(name), all, tokenizer_->vocabulary());
  }
  TokenRequest request(const std::vector<std::string>& names, const std::vector<double>& weights) const {
    TokenRequest request;
    for (const std::string& name : names) request.paths.push_back(folder_.file(name));
    request.weights = weights;
    request.held_out = 0;
    request.packing = {3, false};
    return request;
  }
  void expect(const std::string& toml, ExitCode code, const std::vector<std::string>& words) const {
    const auto error = error_of([&] { make_dataset("tokens", toml)->open(); });
    ASSERT_TRUE(error) << toml;
    EXPECT_EQ(error->code(), code) << error->what();
    for (const std::string& word : words) {
      EXPECT_NE(std::string(error->what()).find(word), std::string::npos) << word << " in: " << error->what();
    }
  }
  TemporaryFolder folder_;
  std::shared_ptr<const Tokenizer> tokenizer_ = small_tokenizer(folder_.file("tokenizer"));
};

TEST_F(WeightedTokens, SharesAddUpAndFollowTheWeights) {
  EXPECT_EQ(shares_of_block({1, 1}), (std::vector<int64_t>{32768, 32768}));
  EXPECT_EQ(shares_of_block({0, 5}), (std::vector<int64_t>{0, 65536}));
  EXPECT_EQ(shares_of_block({3, 1, 0}), (std::vector<int64_t>{49152, 16384, 0}));
  EXPECT_EQ(shares_of_block({1e-30, 1, 1e300}), (std::vector<int64_t>{1, 1, 65534}));
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<double> weights(1 + random() % 50);
    double sum = 0;
    for (double& weight : weights) sum += weight = static_cast<double>(random() % 1000);
    if (sum == 0) continue;
    const auto shares = shares_of_block(weights);
    int64_t total = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      total += shares[i];
      EXPECT_NEAR(static_cast<double>(shares[i]), weights[i] / sum * share_block, 1.0);
    }
    EXPECT_EQ(total, share_block);
  }
}

TEST_F(WeightedTokens, EachBlockHoldsTheSharesAndEachFileItsEpochs) {
  file("a", 5, 3000);
  file("b", 6, 1000);
  file("c", 7, 500);
  const TokenRequest asked = request({"a", "b", "c"}, {1, 1, 2});
  const TokenCorpus corpus(asked, *tokenizer_);
  EXPECT_EQ(corpus.samples(Split::training), 4500);
  const auto sample_of = [&](int64_t number) {
    Ids ids(3);
    EXPECT_EQ(corpus.read(Split::training, corpus.find(Split::training, number).sample, ids), 3);
    return ids;
  };
  std::map<Ids, int64_t> times;
  std::map<int32_t, int64_t> files;
  int64_t early = 0;
  for (int64_t number = 0; number < share_block; ++number) {
    const Ids ids = sample_of(number);
    const SamplePlace place = corpus.find(Split::training, number);
    EXPECT_EQ(static_cast<int64_t>(place.epoch), times[ids]++) << "a sample comes once per epoch of its file";
    ++files[ids[0]];
    early += number < 1000 && ids[0] == 7;
  }
  EXPECT_EQ(files, (std::map<int32_t, int64_t>{{5, 16384}, {6, 16384}, {7, 32768}}));
  EXPECT_NEAR(static_cast<double>(early), 500, 80) << "files are mixed within a block";  // 5 deviations of 16

  TokenRequest reseeded = asked;
  ++reseeded.seed;
  const TokenCorpus again(asked, *tokenizer_), other(reseeded, *tokenizer_);
  int64_t elsewhere = 0;
  for (int64_t number = 7 * share_block; number < 7 * share_block + 1000; ++number) {
    const SamplePlace place = corpus.find(Split::training, number), same = again.find(Split::training, number);
    ASSERT_EQ(std::pair(same.sample, same.epoch), std::pair(place.sample, place.epoch)) << number;
    elsewhere += other.find(Split::training, number).sample != place.sample;
  }
  EXPECT_GT(elsewhere, 900) << "of 1000; files of 500 and more samples leave few in place by chance";
  EXPECT_NE(corpus.find(Split::training, 5).sample, corpus.find(Split::training, share_block + 5).sample);
}

TEST_F(WeightedTokens, RefusesWhatCannotWork) {
  file("a", 5, 100);
  file("b", 6, 100);
  const std::string a = folder_.file("a"), b = folder_.file("b");
  const auto toml = [&](const std::string& data, const std::string& tokenizer = "tokenizer") {
    return "[tokenizer]\npath = '" + folder_.file(tokenizer) + "'\n[data]\n" +
           (data.find("sequence_length") == std::string::npos ? "sequence_length = 5\n" : "") + data;
  };
  const std::string both = "paths = ['" + a + "', '" + b + "']\n", one = "paths = ['" + a + "']\n";
  EXPECT_FALSE(error_of([&] { make_dataset("tokens", toml(both + "weights = [1, 0.5]"))->open(); }));
  expect(toml(both + "weights = [1]"), ExitCode::config, {"data.weights", "1 entries for 2"});
  expect(toml(both + "weights = [1, -1]"), ExitCode::config, {"data.weights", "-1"});
  expect(toml(both + "weights = [1, nan]"), ExitCode::config, {"data.weights", "nan"});
  expect(toml(both + "weights = [0, 0]"), ExitCode::config, {"data.weights", "all 0"});
  expect(toml(one + "packing = 'sentences'"), ExitCode::config, {"data.packing", "full_sentences"});
  expect(toml(one + "sequence_length = 2"), ExitCode::config, {"sequence_length"});
  expect(toml(one + "held_out = 1.0"), ExitCode::config, {"data.held_out"});
  expect(toml(one + "[objective]\nname = 'next_token'"), ExitCode::config, {"objective.name"});
  expect(toml(""), ExitCode::config, {"data.paths", "is needed"});
  expect("[data]\n" + one, ExitCode::config, {"tokenizer.path", "is needed"});
  expect(toml(one, "none"), ExitCode::bad_input, {folder_.file("none")});
  expect(toml("paths = ['" + folder_.file("none") + "']"), ExitCode::bad_input, {"none.idx"});
  expect(toml(both + "validation_paths = ['" + folder_.file("../") + folder_.path().filename().string() + "/a']"),
         ExitCode::bad_input, {"data.validation_paths", "also in data.paths"});
  write_tokens(folder_.file("short"), {{5}, {6}}, 300);
  expect(toml("paths = ['" + folder_.file("short") + "']"), ExitCode::bad_input, {"2 tokens", "takes 3"});
  write_tokens(folder_.file("empty"), {{}, {}}, 300);
  expect(toml(one + "validation_paths = ['" + folder_.file("empty") + "']"), ExitCode::bad_input,
         {"data.validation_paths", "no tokens"});
  write_tokens(folder_.file("large"), {{5, 6, 7, 299}}, 300);
  expect(toml("paths = ['" + folder_.file("large") + "']"), ExitCode::bad_input,
         {"large.bin", "id 3 of document 0 is 299", "tokenizer.path"});
  for (const std::string special : {"<s>", "<pad>", "</s>", "<mask>"}) {
    small_tokenizer(folder_.file("lacking"), {special});
    expect(toml(one, "lacking"), ExitCode::bad_input, {"has no " + special});
  }
}

TEST_F(WeightedTokens, APlanNeedsNoFiles) {
  const auto dataset = make_dataset("tokens", "[tokenizer]\npath = '/no/such/folder'\n[data]\npaths = ['/no/such']");
  EXPECT_EQ(dataset->classes(), 0) << "not known";
  EXPECT_EQ(dataset->tokenizer(), nullptr);
  EXPECT_EQ(dataset->content(), SampleContent::tokens);
  EXPECT_EQ(dataset->sample_length(), 64);
  const auto present = make_dataset("tokens", "[tokenizer]\npath = '" + folder_.file("tokenizer") + "'");
  EXPECT_EQ(present->classes(), tokenizer_->vocabulary());
  ASSERT_NE(present->tokenizer(), nullptr);
  EXPECT_EQ(present->tokenizer()->fingerprint(), tokenizer_->fingerprint());
}

}  // namespace
}  // namespace interlock
