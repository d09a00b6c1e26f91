// Published tables, when the data is there: the counts that their papers and GLUE state.

#include <gmock/gmock.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "runtime/data/labelled/labelled_texts.h"
#include "tests/data/support.h"

namespace interlock {
namespace {

using testing::ElementsAre;

class RealTables : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(data_ / "sst2" / "train.tsv.xz"))
      GTEST_SKIP() << "no sst2 below " << data_ << " (set INTERLOCK_DATA)";
  }

  std::string unpacked(const std::string& set, const std::string& name) const {
    const std::string path = folder_.file(set + "-" + name), from = (data_ / set / (name + ".xz")).string();
    EXPECT_EQ(std::system(("xz -dc '" + from + "' > '" + path + "'").c_str()), 0);
    return path;
  }
  // All rows to train on, read as bytes.
  static LabelledTexts open(const std::vector<std::string>& paths, const std::string& text, const std::string& pair,
                            const std::string& label, std::optional<bool> header = {}) {
    LabelledRequest request;
    request.paths = paths;
    request.text = text;
    request.pair = pair;
    request.label = label;
    request.header = header;
    request.length = 4096;
    return {request, TextEncoder(nullptr)};
  }
  static std::vector<int64_t> counts(const LabelledTexts& texts) {
    std::vector<int64_t> found(static_cast<size_t>(texts.classes().size()));
    for (int64_t i = 0; i < texts.samples(Split::training); ++i)
      ++found[static_cast<size_t>(texts.label(Split::training, i))];
    return found;
  }

  const std::filesystem::path data_ = std::getenv("INTERLOCK_DATA") != nullptr
                                          ? std::filesystem::path(std::getenv("INTERLOCK_DATA"))
                                          : std::filesystem::path(INTERLOCK_SOURCE_FOLDER) / ".." / "shared" / "data";
  TemporaryFolder folder_;
};

TEST_F(RealTables, SentimentByName) {
  const LabelledTexts texts = open({unpacked("sst2", "train.tsv")}, "sentence", "", "label");
  EXPECT_THAT(counts(texts), ElementsAre(29780, 37569));
  EXPECT_THAT(texts.classes().names(), ElementsAre("0", "1"));
  EXPECT_TRUE(texts.notes().empty());
}

TEST_F(RealTables, AcceptabilityByNumberOutOfTwoFiles) {
  const LabelledTexts texts = open({unpacked("cola", "train.tsv"), unpacked("cola", "val.tsv")}, "3", "", "1");
  EXPECT_EQ(texts.samples(Split::training), 8551);
  EXPECT_THAT(texts.classes().names(), ElementsAre("0", "1"));
}

TEST_F(RealTables, EntailmentOfPairsWithWords) {
  const LabelledTexts texts = open({unpacked("rte", "train.tsv")}, "sentence1", "sentence2", "label");
  EXPECT_EQ(texts.samples(Split::training), 2127);
  EXPECT_THAT(texts.classes().names(), ElementsAre("not_entailment", "entailment"));
  // <s> A </s></s> B </s>
  for (int64_t i = 0; i < 100; ++i)
    EXPECT_EQ(std::ranges::count(texts.tokens(Split::training, i), byte_tokens::end), 3);
}

// Its header begins with a mark that was encoded twice, so columns go by number.
TEST_F(RealTables, ParaphrasesUnderABrokenHeader) {
  const LabelledTexts texts = open({unpacked("mrpc", "msr_paraphrase_train.txt")}, "3", "4", "0", true);
  EXPECT_THAT(counts(texts), ElementsAre(4076 - 2753, 2753));
}

}  // namespace
}  // namespace interlock
