// The sample sequence: the same for any shape of one global batch, and for any length of run.

#include "tests/data/support.h"

namespace interlock {
namespace {

// Samples of steps 1..steps in the order step, replica, microbatch, row: their numbers, inputs and targets.
struct Sequence {
  std::vector<int64_t> ids;
  std::vector<std::vector<int64_t>> inputs, targets;
  std::vector<int64_t> predicted;  // per step
  bool operator==(const Sequence&) const = default;
};

Sequence sequence(const std::shared_ptr<const Dataset>& dataset, BatchShape shape, int64_t steps) {
  const Loader loader(dataset, shape);
  Sequence all;
  for (int64_t step = 1; step <= steps; ++step) {
    int64_t predicted = 0;
    for (int64_t replica = 0; replica < shape.replicas; ++replica) {
      for (int64_t m = 0; m < shape.microbatches; ++m) {
        const Batch batch = loader.training(step, replica, m);
        all.ids.insert(all.ids.end(), batch.sample_ids.begin(), batch.sample_ids.end());
        for (int64_t i = 0; i < shape.microbatch_size; ++i) {
          all.inputs.push_back(row(batch.inputs, i));
          all.targets.push_back(row(batch.targets, i));
        }
        predicted += batch.predicted;
      }
    }
    EXPECT_EQ(loader.training_targets(step), predicted);
    all.predicted.push_back(predicted);
  }
  return all;
}

class LoaderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string text;
    for (int i = 0; i < 62 * 40 + 5; ++i) text += static_cast<char>('a' + i * i % 23);
    put(folder_.file("a"), text);
    put(folder_.file("b"), text.substr(7, 700));
    dataset_ = text_dataset(quoted(folder_.path().string()));
  }
  TemporaryFolder folder_;
  std::shared_ptr<const Dataset> dataset_;
};

TEST_F(LoaderTest, AnyShapeOfOneGlobalBatch) {
  const Sequence expected = sequence(dataset_, {1, 1, 12}, 10);  // 120 samples: more than two epochs
  EXPECT_EQ(expected.ids, numbers(0, 120));
  for (const int64_t replicas : {1, 2, 3, 4, 6, 12}) {
    for (int64_t microbatches = 1; microbatches <= 12 / replicas; ++microbatches) {
      if (12 / replicas % microbatches != 0) continue;
      EXPECT_EQ(sequence(dataset_, {replicas, microbatches, 12 / replicas / microbatches}, 10), expected)
          << replicas << " x " << microbatches;
    }
  }
}

TEST_F(LoaderTest, AStepDoesNotDependOnWhatWasAskedBefore) {
  const Loader loader(dataset_, {2, 3, 2});
  const Batch late = loader.training(1000, 1, 2);
  EXPECT_EQ(late.sample_ids, (std::vector<int64_t>{999 * 12 + 10, 999 * 12 + 11}));
  loader.training(1, 0, 0);
  const Batch again = Loader(dataset_, {2, 3, 2}).training(1000, 1, 2);
  EXPECT_EQ(row(late.inputs, 0), row(again.inputs, 0));
  EXPECT_EQ(row(late.targets, 1), row(again.targets, 1));
}

TEST_F(LoaderTest, HeldOutMicrobatchesCoverTheLimit) {
  const int64_t held = dataset_->samples(Split::held_out);
  ASSERT_GE(held, 2);
  for (const int64_t limit : {int64_t{0}, int64_t{1}, int64_t{2}, held, held + 100}) {
    for (const int64_t size : {1, 2, 3, 100}) {
      const Loader loader(dataset_, {2, 4, size});
      std::vector<int64_t> seen;
      for (int64_t i = 0; i < loader.held_out_microbatches(limit); ++i) {
        const Batch batch = loader.held_out(limit, i);
        EXPECT_EQ(static_cast<int64_t>(batch.sample_ids.size()), loader.held_out_samples(limit, i));
        EXPECT_EQ(batch.inputs.size(0), loader.held_out_samples(limit, i));
        seen.insert(seen.end(), batch.sample_ids.begin(), batch.sample_ids.end());
      }
      EXPECT_EQ(seen, numbers(0, std::min(limit, held))) << limit << " by " << size;
    }
  }
}

}  // namespace
}  // namespace interlock
