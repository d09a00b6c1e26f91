// Seconds in which a rank waited for batches, against a dataset that takes a known time at least for each.

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/support/run_for_test.h"

namespace interlock {
namespace {

using Seconds = std::chrono::duration<double>;
constexpr std::chrono::milliseconds training_nap{40}, counting_nap{2}, held_out_nap{300};

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

RunSummary run_slowly(std::vector<std::string> overrides) {
  overrides.insert(overrides.end(), {"learning.rule=local", "parallel.stages=2", "run.evaluate_sequences=1"});
  const RunSettings settings = settings_for_test(overrides);
  const auto quick = make_dataset(settings);
  quick->open();
  EXPECT_GT(quick->samples(Split::held_out), 0);
  const auto slow = std::make_shared<const Slow>(quick);
  RunSummary summary;
  run_loopback(settings.parallel.processes(), [&](Transport& transport) {
    RunSummary mine = run_rank(settings, transport, slow, {}, {.checkpoints = false});
    if (transport.rank() == 0) summary = std::move(mine);
  });
  return summary;
}

// Steps that ask for batches as fast as they can. Two are made before the first is asked for, and the others while a
// rank computes, which takes a millisecond or two for each: half of their time is left for a busy machine. The second
// rank may find its batch ready and wait for the first rank's output instead.
TEST(Loading, IsAFigureOfItsOwnOnEveryRank) {
  constexpr int steps = 4, microbatches = 3;
  const RunSummary summary =
      run_slowly({"parallel.ranks=2", "parallel.microbatches=3", "run.steps=4", "run.evaluate_every=4"});
  ASSERT_EQ(summary.ranks.size(), 2U);
  const Seconds asked = (steps * microbatches - 2) * training_nap, counted = steps * counting_nap;
  for (const RankSummary& rank : summary.ranks) {
    const double for_others = rank.rank == 0 ? 0.0 : rank.waited;
    EXPECT_GE(rank.loader_seconds + for_others, asked.count() / 2) << rank.rank;
    EXPECT_GE(rank.loader_seconds, counted.count()) << rank.rank << ": targets are counted when a step begins";
    EXPECT_LT(rank.loader_seconds, rank.seconds) << "held-out batches belong to no step";
    EXPECT_GE(rank.seconds, asked.count()) << rank.rank;
    // The first stage's F take the batches; what they computed does not hold that time. The first step is left out.
    const MeasuredCost forward = rank.costs.begin()->second[static_cast<size_t>(Kind::forward)];
    EXPECT_EQ(forward.times, (steps - 1) * microbatches);
    EXPECT_LT(forward.seconds, asked.count() / 2) << rank.rank;
  }
}

// Evaluations take far longer than a batch: the next one is ready when they are over, and nobody waits for it. Only the
// first has no such time.
TEST(Loading, IsNotTheTimeOfBatchesThatWereMadeMeanwhile) {
  constexpr int steps = 6;
  const RunSummary summary =
      run_slowly({"parallel.ranks=1", "parallel.microbatches=1", "run.steps=6", "run.evaluate_every=1"});
  ASSERT_EQ(summary.ranks.size(), 1U);
  const Seconds all = steps * training_nap, counted = steps * counting_nap;
  EXPECT_LT(summary.ranks[0].loader_seconds, all.count());
  EXPECT_GE(summary.ranks[0].loader_seconds, counted.count());
}

}  // namespace
}  // namespace interlock
