// How a corpus is split: by content, by bytes where content leaves a side empty, or by named files.

#include <random>
#include <set>

#include "runtime/data/text_corpus.h"
#include "runtime/storage/sha256.h"
#include "tests/data/support.h"

namespace interlock {
namespace {

std::string bytes_of(const TextCorpus& corpus, Split split) {
  std::string text;
  for (int64_t i = 0; i < corpus.samples(split); ++i) {
    const TextCorpus::Sample sample = corpus.sample(split, i);
    EXPECT_EQ(static_cast<int64_t>(sample.bytes.size()), corpus.sample_size(split, i));
    text.append(reinterpret_cast<const char*>(sample.bytes.data()), sample.bytes.size());
  }
  return text;
}

std::string noise(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string text;
  for (size_t i = 0; i < size; ++i) text += static_cast<char>(random());
  return text;
}

class SplitTest : public testing::Test {
 protected:
  TextCorpus corpus(double held_out, int64_t sample_bytes = 10, std::vector<std::string> validation = {}) const {
    return TextCorpus({{folder_.file("train")}, std::move(validation), held_out, sample_bytes});
  }
  void SetUp() override { std::filesystem::create_directory(folder_.file("train")); }
  void file(const std::string& name, const std::string& content) const { put(folder_.file("train/" + name), content); }
  TemporaryFolder folder_;
};

TEST_F(SplitTest, ByContentAndCopiesTogether) {
  // 400 contents, each in two files under unlike names; sides told from the bytes read back.
  for (uint32_t i = 0; i < 400; ++i) {
    file("a" + std::to_string(i), noise(50 + i % 7, i));
    file("z" + std::to_string(1000 - i), noise(50 + i % 7, i));
  }
  const TextCorpus split = corpus(0.2, 100);
  std::map<std::string, std::set<Split>> sides;
  size_t held = 0;
  for (const Split side : {Split::training, Split::held_out}) {
    for (int64_t i = 0; i < split.samples(side); ++i) {
      const auto bytes = split.sample(side, i).bytes;
      sides[std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())].insert(side);
    }
  }
  ASSERT_EQ(sides.size(), 400u);
  for (const auto& [content, where] : sides) {
    EXPECT_EQ(where.size(), 1u);
    Sha256 digest;
    digest.add(content);
    // 0.2 of 2^64 in hexadecimal begins with 3333: the first four digits decide all but 1 in 65536.
    EXPECT_EQ(where.contains(Split::held_out), digest.hex().substr(0, 4) < "3333");
    held += where.contains(Split::held_out);
  }
  EXPECT_NEAR(static_cast<double>(held), 80, 5 * 8);  // 5 standard deviations of a binomial count of 400 x 0.2
}

TEST_F(SplitTest, OneFileIsCutBetweenSamples) {
  const std::string text = noise(1003, 1);
  file("only", text);
  const TextCorpus split = corpus(0.1);
  // A tenth is 100.3 bytes; the last sample has 3 bytes, nine whole ones more make 93, another would make 103.
  EXPECT_EQ(bytes_of(split, Split::held_out), text.substr(910));
  EXPECT_EQ(bytes_of(split, Split::training), text.substr(0, 910));
}

TEST_F(SplitTest, FewFilesGiveTheLastBytesOfTheirOrder) {
  // With a share of 1e-9 no hash holds a file out, so bytes decide; at least one sample is held out.
  file("a", noise(95, 1));
  file("b", noise(25, 2));
  const TextCorpus tiny = corpus(1e-9);
  EXPECT_EQ(bytes_of(tiny, Split::held_out), noise(25, 2).substr(20));
  EXPECT_EQ(bytes_of(tiny, Split::training), noise(95, 1) + noise(25, 2).substr(0, 20));
  // With nearly all held out, at least one sample is left to train on.
  const TextCorpus most = corpus(0.999999999);
  EXPECT_EQ(bytes_of(most, Split::training), noise(95, 1).substr(0, 10));
  EXPECT_EQ(bytes_of(most, Split::held_out), noise(95, 1).substr(10) + noise(25, 2));
}

TEST_F(SplitTest, CopiesAreCutAlikeByBytes) {
  const std::string text = noise(1000, 3);
  file("a", text);
  file("copy", text);
  const TextCorpus split = corpus(0.1);
  EXPECT_EQ(bytes_of(split, Split::held_out), text.substr(900) + text.substr(900));
  EXPECT_EQ(bytes_of(split, Split::training), text.substr(0, 900) + text.substr(0, 900));
}

TEST_F(SplitTest, NothingHeldOut) {
  file("a", noise(95, 1));
  const TextCorpus whole = corpus(0);
  EXPECT_EQ(whole.samples(Split::held_out), 0);
  EXPECT_EQ(bytes_of(whole, Split::training), noise(95, 1));
  const TextCorpus single = corpus(0.5, 95);  // one sample cannot be shared
  EXPECT_EQ(single.samples(Split::training), 1);
  EXPECT_EQ(single.samples(Split::held_out), 0);
}

TEST_F(SplitTest, ValidationPathsOverride) {
  file("a", noise(95, 1));
  file("b", noise(25, 2));
  file("copy of the validation file", noise(33, 9));
  put(folder_.file("valid"), noise(33, 9));
  const TextCorpus split = corpus(0.5, 10, {folder_.file("valid")});
  EXPECT_EQ(bytes_of(split, Split::held_out), noise(33, 9));
  EXPECT_EQ(bytes_of(split, Split::training), noise(95, 1) + noise(25, 2));
  const auto error = error_of([&] { corpus(0.5, 10, {folder_.file("train")}); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ExitCode::bad_input);
  EXPECT_NE(std::string(error->what()).find("nothing is left"), std::string::npos);
  EXPECT_NE(std::string(error_of([&] { corpus(0.5, 10, {folder_.file("no")}); })->what()).find("data.validation_paths"),
            std::string::npos);
}

TEST_F(SplitTest, RandomCorporaAreCoveredWithoutOverlap) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<CorpusFile> files;
    std::vector<std::string> hashes;
    const auto count = 1 + random() % 6;
    int64_t total = 0;
    for (size_t i = 0; i < count; ++i) {
      Sha256 digest;
      digest.add(std::to_string(random() % 8));  // copies are likely, and copies have one size
      hashes.push_back(digest.hex());
      files.push_back(
          {std::to_string(i), 1 + static_cast<int64_t>(std::stoul(hashes.back().substr(0, 4), nullptr, 16) % 90)});
      total += files.back().size;
    }
    const double held_out = std::uniform_real_distribution<>(0.01, 0.99)(random);
    const int64_t sample = 1 + static_cast<int64_t>(random() % 20);
    const auto cuts = split_corpus(files, hashes, held_out, sample);
    int64_t training = 0, held = 0, distinct = 0;
    for (size_t i = 0; i < count; ++i) {
      EXPECT_EQ(cuts[i].chunks, (files[i].size + sample - 1) / sample);
      EXPECT_GE(cuts[i].cut, 0);
      EXPECT_LE(cuts[i].cut, cuts[i].chunks);
      training += cuts[i].cut;
      held += cuts[i].chunks - cuts[i].cut;
      bool fresh = true;
      for (size_t j = 0; j < i; ++j) {
        if (hashes[j] != hashes[i]) continue;
        EXPECT_EQ(cuts[j].cut, cuts[i].cut);
        fresh = false;
      }
      if (fresh) distinct += cuts[i].chunks;
    }
    EXPECT_GT(training, 0);
    EXPECT_EQ(held > 0, distinct > 1) << "two samples or more are always shared";
  }
}

}  // namespace
}  // namespace interlock
