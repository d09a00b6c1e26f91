// The sample sequence: the same for any shape of one global batch, and for any length of run.

#include "tests/data/token_support.h"

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

TEST_F(LoaderTest, AnyShapeOfOneGlobalBatchOfTokens) {
  const auto tokenizer = small_tokenizer(folder_.file("tokenizer"));
  std::mt19937 random(2);
  std::vector<std::string> texts(30);
  for (std::string& text : texts) text = lined_text(random, 20, 12);
  write_texts(folder_.file("tokens"), texts, *tokenizer);
  const std::string tokens = quoted(folder_.file("tokens"));
  const std::shared_ptr<Dataset> dataset =
      make_dataset("tokens", "[tokenizer]\npath = " + quoted(folder_.file("tokenizer")) + "\n[data]\npaths = [" +
                                 tokens + ", " + tokens + "]\nweights = [1, 2]\nsequence_length = 16");
  dataset->open();
  const Sequence expected = sequence(dataset, {1, 1, 12}, 10);
  EXPECT_EQ(sequence(dataset, {1, 4, 3}, 10), expected);
  EXPECT_EQ(sequence(dataset, {2, 3, 2}, 10), expected);
  EXPECT_EQ(sequence(dataset, {4, 3, 1}, 10), expected);
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

// Numbers of the samples of a step, in order.
std::vector<int64_t> ids_of_step(const Loader& loader, int64_t step) {
  std::vector<int64_t> ids;
  for (int64_t replica = 0; replica < loader.shape().replicas; ++replica) {
    for (int64_t m = 0; m < loader.microbatches(step); ++m) {
      const Batch batch = loader.training(step, replica, m);
      ids.insert(ids.end(), batch.sample_ids.begin(), batch.sample_ids.end());
    }
  }
  return ids;
}

TEST_F(LoaderTest, ARampLeavesNoSampleOutAndTakesNoneTwice) {
  const std::vector<BatchPhase> phases = {{3, 1}, {4, 2}, {7, 6}};  // steps 1 and 2 have the full batch
  const std::vector<int64_t> microbatches = {6, 6, 1, 2, 2, 2, 6, 6, 6};
  for (const BatchShape shape : {BatchShape{2, 6, 2}, BatchShape{1, 6, 4}, BatchShape{4, 6, 1}}) {
    const Loader loader(dataset_, shape, phases);
    std::vector<int64_t> ids;
    for (int64_t step = 1; step <= 9; ++step) {
      const int64_t samples = 4 * microbatches[static_cast<size_t>(step - 1)];
      EXPECT_EQ(loader.microbatches(step), microbatches[static_cast<size_t>(step - 1)]);
      EXPECT_EQ(loader.samples_per_step(step), samples);
      EXPECT_EQ(loader.first_sample(step), std::ssize(ids));
      int64_t targets = 0;
      for (const int64_t number : numbers(std::ssize(ids), samples))
        targets += dataset_->predicted(Split::training, {&number, 1});
      EXPECT_EQ(loader.training_targets(step), targets);
      const auto more = ids_of_step(loader, step);
      ids.insert(ids.end(), more.begin(), more.end());
    }
    EXPECT_EQ(ids, numbers(0, 4 * 37));
  }
  // Exact far beyond what a double holds.
  const Loader loader(dataset_, {3, 1000, 1}, {{1, 1}, {1000000001, 1000}});
  EXPECT_EQ(loader.first_sample(1000000001), 3000000000);
  EXPECT_EQ(loader.first_sample(3000000000000001), 3000000000 + 3000 * (int64_t{3000000000000000} - 1000000000));
  EXPECT_TRUE(error_of([&] { loader.first_sample(INT64_MAX); }));
}

TEST_F(LoaderTest, AResumedRunGoesOnWhereTheFirstStopped) {
  const std::vector<BatchPhase> phases = {{1, 1}, {4, 3}};
  const Loader whole(dataset_, {2, 3, 2}, phases);
  for (const int64_t stop : {0, 1, 2, 3, 4, 7}) {
    const DataPosition at{stop, whole.first_sample(stop + 1)};
    const Loader same(dataset_, {2, 3, 2}, phases, at), other(dataset_, {1, 5, 3}, {}, at);
    for (int64_t step = stop + 1; step < stop + 6; ++step) {
      EXPECT_EQ(ids_of_step(same, step), ids_of_step(whole, step)) << stop;
      EXPECT_EQ(ids_of_step(other, step), numbers(at.samples + 15 * (step - stop - 1), 15)) << stop;
    }
  }
}

TEST_F(LoaderTest, RefusesShapesThatCannotWork) {
  const auto refuses = [&](BatchShape shape, const std::vector<BatchPhase>& phases, const std::string& word) {
    const auto error = error_of([&] { Loader(dataset_, shape, phases); });
    ASSERT_TRUE(error) << word;
    EXPECT_EQ(error->code(), ExitCode::config);
    EXPECT_NE(std::string(error->what()).find(word), std::string::npos) << error->what();
  };
  refuses({1, 1, 2147483647}, {}, "microbatch_size 2147483647");
  refuses({1 << 21, 1 << 20, 1}, {}, "is more than");
  refuses({INT64_MAX, INT64_MAX, 2}, {}, "is more than");
  refuses({1, 4, 1}, {{1, 5}}, "1 to 4");
  refuses({1, 4, 1}, {{1, 0}}, "0 microbatches");
  refuses({1, 4, 1}, {{5, 1}, {5, 2}}, "5 stands after 5");
  refuses({1, 4, 1}, {{0, 1}}, "from 1 on");
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
