// Seconds spent on making batches, against a dataset that takes a known time at least.

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/support/run_for_test.h"

namespace interlock {
namespace {

constexpr std::chrono::milliseconds training_nap{5}, counting_nap{2}, held_out_nap{300};

// Another dataset's samples, slowly. A sleep may take longer than it says, never shorter.
class Slow final : public Dataset {
 public:
  explicit Slow(std::shared_ptr<const Dataset> other) : other_(std::move(other)) {}
  int64_t samples(Split split) const override { return other_->samples(split); }
  Batch batch(Split split, std::span<const int64_t> numbers, BatchParts parts) const override {
    std::this_thread::sleep_for(split == Split::training ? training_nap : held_out_nap);
    return other_->batch(split, numbers, parts);
  }
  int64_t predicted(Split split, std::span<const int64_t> numbers) const override {
    std::this_thread::sleep_for(counting_nap);
    return other_->predicted(split, numbers);
  }
  int64_t classes() const override { return other_->classes(); }
  int64_t features() const override { return other_->features(); }
  int64_t sample_length() const override { return other_->sample_length(); }
  double predicted_share() const override { return other_->predicted_share(); }
  int64_t mask_token() const override { return other_->mask_token(); }
  double unigram_baseline(int64_t count) const override { return other_->unigram_baseline(count); }
  std::string describe(const Batch& batch, int64_t row) const override { return other_->describe(batch, row); }

 private:
  std::shared_ptr<const Dataset> other_;
};

TEST(Loading, IsAFigureOfItsOwnOnEveryRank) {
  constexpr int64_t steps = 4, microbatches = 3;
  const RunSettings settings =
      settings_for_test({"learning.rule=local", "parallel.stages=2", "parallel.ranks=2",
                         "parallel.microbatches=" + std::to_string(microbatches), "run.steps=" + std::to_string(steps),
                         "run.evaluate_every=4", "run.evaluate_sequences=1"});
  const auto quick = make_dataset(settings);
  quick->open();
  ASSERT_GT(quick->samples(Split::held_out), 0);
  const auto slow = std::make_shared<const Slow>(quick);
  RunSummary summary;
  run_loopback(2, [&](Transport& transport) {
    RunSummary mine = run_rank(settings, transport, slow, {}, {.checkpoints = false});
    if (transport.rank() == 0) summary = std::move(mine);
  });
  ASSERT_EQ(summary.ranks.size(), 2U);
  const std::chrono::duration<double> least = steps * (microbatches * training_nap + counting_nap);
  for (const RankSummary& rank : summary.ranks) {
    EXPECT_GE(rank.loader_seconds, least.count()) << rank.rank;
    EXPECT_LT(rank.loader_seconds, rank.seconds) << "held-out batches belong to no step";
  }
}

}  // namespace
}  // namespace interlock
