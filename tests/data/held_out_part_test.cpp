// The halves of a held-out split: together all of it, never the same sample, and the same for every seed.
#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <random>
#include <set>

#include "runtime/core/error.h"
#include "runtime/data/held_out_part.h"
#include "tests/data/support.h"

namespace interlock {
namespace {

using Contents = std::multiset<std::string>;

class HeldOut : public testing::Test {
 protected:
  HeldOut() {
    std::mt19937 random(3);
    for (int file = 0; file < 8; ++file) {
      std::string content;
      for (int i = 0; i < 62 * 20; ++i) content += static_cast<char>(random());
      put(folder_.file(std::to_string(file)), content);
    }
  }
  std::shared_ptr<Dataset> part(HeldOutPart which, uint64_t seed = 1, double held_out = 0.4) const {
    std::shared_ptr<Dataset> whole = make_dataset(
        "text", message("[data]\npaths = [", quoted(folder_.path().string()), "]\nheld_out = ", held_out, "\n"), seed);
    auto dataset = with_held_out_part(whole, which);
    dataset->open();
    return dataset;
  }
  static Contents held_out(const Dataset& dataset) {
    Contents all;
    for (int64_t number = 0; number < dataset.samples(Split::held_out); ++number)
      all.insert(original(dataset.batch(Split::held_out, {&number, 1}), 0));
    return all;
  }
  TemporaryFolder folder_;
};

TEST_F(HeldOut, HalvesAreApartAndTogetherAll) {
  const auto all = part(HeldOutPart::all), validation = part(HeldOutPart::validation), test = part(HeldOutPart::test);
  Contents both = held_out(*validation);
  const Contents tested = held_out(*test);
  for (const std::string& sample : tested) EXPECT_FALSE(both.contains(sample));
  both.insert(tested.begin(), tested.end());
  EXPECT_EQ(both, held_out(*all));
  const auto size = static_cast<double>(both.size());
  // A fair coin for each: four deviations of its share.
  EXPECT_NEAR(static_cast<double>(tested.size()) / size, 0.5, 4 * 0.5 / std::sqrt(size));
  for (const auto& each : {validation, test}) EXPECT_EQ(each->samples(Split::training), all->samples(Split::training));
}

TEST_F(HeldOut, ASeedMovesNoSampleFromOneHalfToTheOther) {
  EXPECT_EQ(held_out(*part(HeldOutPart::test, 1)), held_out(*part(HeldOutPart::test, 2)));
}

TEST_F(HeldOut, NumbersOfAPartAreCountedAsItsBatches) {
  const auto test = part(HeldOutPart::test);
  const auto some = numbers(0, 5);
  EXPECT_EQ(test->predicted(Split::held_out, some), test->batch(Split::held_out, some).predicted);
  EXPECT_EQ(test->batch(Split::training, some).predicted, test->predicted(Split::training, some));
}

// Of tables: as any other data, and a text that is labelled twice is never on both sides.
TEST_F(HeldOut, TextsOfTablesLieInOneHalfWhateverTheirLabels) {
  const std::string path = folder_.file("table.tsv");
  std::string rows = "text\tlabel\n";
  for (int row = 0; row < 200; ++row)
    for (const char* label : {"yes", "no"}) rows += message("text number ", row, "\t", label, "\n");
  put(path, rows);
  const auto half = [&](HeldOutPart which) {
    std::shared_ptr<Dataset> whole = make_dataset("labelled",
                                                  message("[data]\npaths = [", quoted(path),
                                                          "]\nheld_out = 0.5\n"
                                                          "[objective]\nname = \"classification\"\n"),
                                                  1);
    auto dataset = with_held_out_part(whole, which);
    dataset->open();
    std::map<std::string, std::set<int64_t>> labels;  // by text
    for (int64_t number = 0; number < dataset->samples(Split::held_out); ++number) {
      const Batch one = dataset->batch(Split::held_out, {&number, 1});
      const std::string text(static_cast<const char*>(one.inputs.const_data_ptr()), one.inputs.nbytes());
      labels[text].insert(one.targets.item<int64_t>());
    }
    return labels;
  };
  const auto validation = half(HeldOutPart::validation), test = half(HeldOutPart::test);
  EXPECT_GT(validation.size(), 20U);
  EXPECT_GT(test.size(), 20U);
  for (const auto& [text, labels] : test) EXPECT_FALSE(validation.contains(text));
  for (const auto& [text, labels] : validation) EXPECT_EQ(labels.size(), 2U);
}

TEST_F(HeldOut, AnEmptyHalfIsRefused) {
  const auto open_both = [&] {
    put(folder_.file("one"), "x");
    for (const HeldOutPart half : {HeldOutPart::test, HeldOutPart::validation}) part(half, 1, 0.0001);
  };
  try {
    open_both();
    FAIL() << "one sample was shared by two halves";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    EXPECT_THAT(error.what(), testing::HasSubstr("data.held_out_part: nothing is left"));
  }
}

}  // namespace
}  // namespace interlock
