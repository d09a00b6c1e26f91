// Batches made ahead against those that the loader makes when asked.

#include "runtime/data/batch_stream.h"

#include <algorithm>
#include <thread>

#include "tests/data/batch_support.h"

namespace interlock {
namespace {

// Which parts are needed changes from step to step, as when a learning rule is followed by another.
BatchParts parts_of(int64_t step) { return every_choice_of_parts[step % 4]; }

TEST(BatchStream, MakesTheLoadersBatches) {
  const TemporaryFolder folder;
  std::mt19937 random(5);
  for (const auto& [name, dataset] : every_dataset(folder)) {
    for (const int64_t replica : {0, 1}) {
      // A ramp of the batch, and a run that goes on after step 2.
      const auto loader = std::make_shared<const Loader>(
          dataset, BatchShape{2, 5, 3}, std::vector<BatchPhase>{{1, 1}, {4, 2}, {6, 5}}, DataPosition{2, 17});
      BatchStream stream(loader, {.replica = replica, .first_step = 3, .last_step = 9, .parts = parts_of});
      for (int64_t step = 3; step <= 9; ++step) {
        std::vector<int64_t> microbatches = numbers(0, loader->microbatches(step));
        if (step % 2 == 0) std::ranges::shuffle(microbatches, random);
        for (const int64_t microbatch : microbatches) {
          expect_parts(stream.take(step, microbatch), loader->training(step, replica, microbatch), parts_of(step),
                       message(name, ", replica ", replica, ", step ", step, ", microbatch ", microbatch));
        }
      }
      EXPECT_THROW(stream.take(10, 0), std::logic_error);
    }
  }
}

TEST(BatchStream, SeveralAtOnceOverOneDataset) {
  const TemporaryFolder folder;
  const auto datasets = every_dataset(folder);
  for (const char* name : {"text", "tokens, full_sentences, whole words true", "idx"}) {
    const auto loader = std::make_shared<const Loader>(datasets.at(name), BatchShape{4, 3, 2});
    std::vector<Batch> taken[4];
    {
      std::vector<std::jthread> ranks;
      for (int64_t replica = 0; replica < 4; ++replica) {
        ranks.emplace_back([&, replica] {
          BatchStream stream(loader, {.replica = replica, .last_step = 20});
          for (int64_t step = 1; step <= 20; ++step) {
            for (int64_t m = 0; m < 3; ++m) taken[replica].push_back(stream.take(step, m));
          }
        });
      }
    }
    for (int64_t replica = 0; replica < 4; ++replica) {
      for (int64_t i = 0; i < 60; ++i) {
        expect_parts(taken[replica][static_cast<size_t>(i)], loader->training(1 + i / 3, replica, i % 3), {},
                     message(name, " ", replica, " ", i));
      }
    }
  }
}

TEST(BatchStream, AFileThatWasCutMeanwhileIsNamed) {
  const TemporaryFolder folder;
  put(folder.file("text"), std::string(5000, 'x'));
  const std::shared_ptr<const Dataset> dataset = text_dataset(quoted(folder.file("text")));
  std::filesystem::resize_file(folder.file("text"), 70);
  const auto loader = std::make_shared<const Loader>(dataset, BatchShape{1, 2, 2});
  BatchStream stream(loader, {.last_step = 5});
  for (int again = 0; again < 2; ++again) {
    const auto error = error_of([&] { stream.take(1, again); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ExitCode::bad_input);
    EXPECT_NE(std::string(error->what()).find(folder.file("text") + " changed while it was in use"), std::string::npos)
        << error->what();
  }
}

// Counts what it is asked for.
class Counting final : public Dataset {
 public:
  explicit Counting(std::shared_ptr<const Dataset> other) : other_(std::move(other)) {}
  int64_t samples(Split split) const override { return other_->samples(split); }
  Batch batch(Split split, std::span<const int64_t> list, BatchParts parts) const override {
    ++batches;
    return other_->batch(split, list, parts);
  }
  int64_t predicted(Split split, std::span<const int64_t> list) const override {
    samples_counted += std::ssize(list);
    return other_->predicted(split, list);
  }
  int64_t classes() const override { return other_->classes(); }
  int64_t features() const override { return other_->features(); }
  int64_t sample_length() const override { return other_->sample_length(); }
  double unigram_baseline(int64_t count) const override { return other_->unigram_baseline(count); }
  std::string describe(const Batch& batch, int64_t row) const override { return other_->describe(batch, row); }
  mutable std::atomic<int64_t> batches = 0, samples_counted = 0;

 private:
  std::shared_ptr<const Dataset> other_;
};

TEST(BatchStream, NothingBeyondTheLastStep) {
  const TemporaryFolder folder;
  const auto counting = std::make_shared<const Counting>(every_dataset(folder).at("spirals"));
  const auto loader = std::make_shared<const Loader>(counting, BatchShape{1, 4, 2});
  {
    BatchStream stream(loader, {.last_step = 3});
    for (int64_t step = 1; step <= 3; ++step) {
      for (int64_t m = 0; m < 4; ++m) stream.take(step, m);
    }
  }
  EXPECT_EQ(counting->batches, 12);
  { BatchStream nothing(loader, {.first_step = 4, .last_step = 3}); }
  EXPECT_EQ(counting->batches, 12);
}

TEST(BatchStream, AReplicaCountsItsOwnTargets) {
  const TemporaryFolder folder;
  for (const auto& [name, dataset] : every_dataset(folder)) {
    const auto counting = std::make_shared<const Counting>(dataset);
    const Loader loader(counting, {3, 4, 2}, {{1, 2}, {3, 4}}, {0, 5});
    for (int64_t step = 1; step <= 4; ++step) {
      int64_t sum = 0;
      for (int64_t replica = 0; replica < 3; ++replica) {
        int64_t targets = 0;
        for (int64_t m = 0; m < loader.microbatches(step); ++m) {
          const Batch batch = loader.training(step, replica, m);
          targets += batch.targets.numel();  // scores are all predicted
          if (batch.targets.scalar_type() == at::kFloat) continue;
          const int64_t* target = batch.targets.const_data_ptr<int64_t>();
          targets -= std::count(target, target + batch.targets.numel(), ignored_target);
        }
        counting->samples_counted = 0;
        EXPECT_EQ(loader.training_targets(step, replica), targets) << name;
        EXPECT_EQ(counting->samples_counted, 2 * loader.microbatches(step)) << "its share alone is walked";
        sum += targets;
      }
      EXPECT_EQ(loader.training_targets(step), sum) << name;
    }
  }
}

}  // namespace
}  // namespace interlock
