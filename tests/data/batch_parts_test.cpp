// Parts of a batch against the same part of the whole one, and the work that is not done for what nobody asks for.

#include "tests/data/batch_support.h"

namespace interlock {
namespace {

TEST(BatchParts, AreThoseOfTheWholeBatch) {
  const TemporaryFolder folder;
  int64_t padded = 0;
  for (const auto& [name, dataset] : every_dataset(folder)) {
    for (const Split split : {Split::training, Split::held_out}) {
      const int64_t samples = dataset->samples(split);
      ASSERT_GT(samples, 3) << name;
      // All samples at once, and alone, where a batch may have no padding.
      std::vector<std::vector<int64_t>> lists = {numbers(0, samples)};
      for (int64_t number = 0; number < std::min<int64_t>(samples, 30); ++number) lists.push_back({number});
      for (const auto& list : lists) {
        const Batch whole = dataset->batch(split, list);
        ASSERT_TRUE(whole.inputs.defined() && whole.targets.defined()) << name;
        padded += whole.lengths.defined();
        for (const BatchParts parts : every_choice_of_parts) {
          expect_parts(
              dataset->batch(split, list, parts), whole, parts,
              message(name, ", sample ", list.front(), " of ", list.size(), ", parts ", parts.inputs, parts.targets));
        }
      }
    }
  }
  EXPECT_GT(padded, 10);
}

TEST(BatchParts, NoTokenIsReadWhenNeitherIsAskedFor) {
  const TemporaryFolder folder;
  const auto datasets = every_dataset(folder);
  const auto held = [&](const std::string& name, BatchParts parts) {
    const Dataset& dataset = *datasets.at(name);
    return dataset.batch(Split::training, numbers(0, dataset.samples(Split::training)), parts);
  };
  std::filesystem::resize_file(folder.file("text"), 1);
  EXPECT_GT(held("text", {false, false}).predicted, 0);
  const auto error = error_of([&] { held("text", {false, true}); });
  ASSERT_TRUE(error);
  EXPECT_NE(std::string(error->what()).find("changed while it was in use"), std::string::npos) << error->what();
  // A read of a mapped file beyond its end would end the program.
  for (const char* name : {"tokens-a.bin", "tokens-b.bin"}) std::filesystem::resize_file(folder.file(name), 0);
  for (const auto& [name, dataset] : datasets) {
    if (!name.starts_with("tokens")) continue;
    EXPECT_GT(held(name, {false, false}).predicted, 0) << name;
  }
}

}  // namespace
}  // namespace interlock
