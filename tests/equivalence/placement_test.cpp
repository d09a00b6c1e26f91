// Where and in what order a run is performed never changes what it learns: equal digests, dropout on, in float32.

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "launch/settings/plans.h"
#include "tests/support/run_for_test.h"

namespace interlock {
namespace {

using Overrides = std::vector<std::string>;

TestRun run_with(Overrides rule, const Overrides& more) {
  rule.insert(rule.end(), more.begin(), more.end());
  return run_on_loopback(settings_for_test(rule));
}

const std::vector<std::string> rules = {"local", "furthest", "sum", "global", "chunked", "deep_supervision"};

class Placement : public testing::TestWithParam<std::string> {
 protected:
  Overrides rule() const { return {"learning.rule=" + GetParam(), "learning.horizon=2", "learning.window=2"}; }
};

TEST_P(Placement, SameDigestForAnyRanksScheduleAndPlacement) {
  const std::string four = run_with(rule(), {"parallel.ranks=4"}).digest;
  for (const char* schedule : {"parallel.schedule=wavefront", "parallel.schedule=gpipe", "parallel.schedule=steady",
                               "parallel.schedule=zero_bubble"}) {
    // Of four stages on one rank, or on four, there is but one placement.
    for (const char* ranks : {"parallel.ranks=1", "parallel.ranks=4"})
      EXPECT_EQ(run_with(rule(), {ranks, schedule}).digest, four) << ranks << " " << schedule;
    for (const char* placement :
         {"parallel.placement=contiguous", "parallel.placement=interleaved", "parallel.placement=v"})
      EXPECT_EQ(run_with(rule(), {"parallel.ranks=2", schedule, placement}).digest, four)
          << schedule << " " << placement;
  }
  for (const char* ranks : {"parallel.ranks=1", "parallel.ranks=2", "parallel.ranks=4"})
    EXPECT_EQ(run_with(rule(), {ranks, "parallel.schedule=interleaved", "parallel.placement=interleaved"}).digest, four)
        << ranks;
  EXPECT_EQ(run_with(rule(), {"parallel.ranks=2", "parallel.schedule=zbv", "parallel.placement=v"}).digest, four);
}

// Where W is put off, it works on what I has recorded: with as many microbatches in flight as there can be, with
// replicas, with tied ends, and where passes back compute their forwards again. Of all combinations of rule, kind and
// schedule a third, such that each two of them meet.
TEST_P(Placement, WeightGradientsPutOffChangeNoBit) {
  const std::vector<Overrides> schedules = {
      {"parallel.ranks=4", "parallel.schedule=zero_bubble", "parallel.in_flight=7"},
      {"parallel.ranks=4", "parallel.schedule=steady"},
      {"parallel.ranks=2", "parallel.schedule=zbv", "parallel.placement=v"},
      {"parallel.ranks=2", "parallel.schedule=interleaved", "parallel.placement=interleaved"},
      {"parallel.ranks=4", "parallel.schedule=gpipe"},
      {"parallel.ranks=4", "parallel.schedule=auto"}};
  const std::vector<Overrides> kinds = {{"parallel.replicas=2", "parallel.microbatches=3"},
                                        {"model.tie_embeddings=true", "parallel.microbatches=5"},
                                        {"model.layers=8", "run.recompute=block"},
                                        {"model.layers=8", "run.recompute=stage"},
                                        {"optimizer.clip=0"},
                                        {"model.name=gpt", "objective.name=causal"},
                                        {"model.name=gpt", "objective.name=causal", "model.tie_embeddings=true"}};
  const size_t number = std::find(rules.begin(), rules.end(), GetParam()) - rules.begin();
  for (size_t kind = 0; kind < kinds.size(); ++kind) {
    Overrides plain = rule();
    plain.insert(plain.end(), kinds[kind].begin(), kinds[kind].end());
    const std::string digest = run_with(plain, {"parallel.ranks=4", "parallel.schedule=wavefront"}).digest;
    for (size_t schedule = (number + kind) % 3; schedule < schedules.size(); schedule += 3)
      EXPECT_EQ(run_with(plain, schedules[schedule]).digest, digest)
          << kinds[kind].front() << ", " << schedules[schedule][1];
  }
}

TEST_P(Placement, SameDigestForAnyPlacementWithReplicas) {
  const Overrides replicas{"parallel.replicas=3", "parallel.microbatches=2"};
  Overrides two = replicas;
  two.push_back("parallel.ranks=2");
  EXPECT_EQ(run_with(rule(), two).digest, run_with(rule(), replicas).digest);
}

TEST_P(Placement, EvaluationChangesNothingAndIsTheSameEverywhere) {
  const TestRun plain = run_with(rule(), {});
  const TestRun evaluated = run_with(rule(), {"run.evaluate_every=2", "run.evaluate_sequences=7"});
  const TestRun elsewhere = run_with(rule(), {"run.evaluate_every=2", "run.evaluate_sequences=7", "parallel.ranks=2",
                                              "parallel.placement=interleaved"});
  EXPECT_EQ(evaluated.digest, plain.digest);
  ASSERT_TRUE(evaluated.summary.validation_loss.has_value());
  EXPECT_EQ(evaluated.summary.validation_loss, elsewhere.summary.validation_loss);
}

TEST_P(Placement, RecomputationChangesNoBit) {
  const Overrides two_blocks{"model.layers=8", "parallel.ranks=2"};
  Overrides kept = rule();
  kept.insert(kept.end(), two_blocks.begin(), two_blocks.end());
  const std::string digest = run_with(kept, {}).digest;
  EXPECT_EQ(run_with(kept, {"run.recompute=block"}).digest, digest);
  EXPECT_EQ(run_with(kept, {"run.recompute=stage"}).digest, digest);
}

// bfloat16 rounds at every boundary between stages, whether a message crosses it or not.
TEST_P(Placement, SameDigestInMixedPrecision) {
  const Overrides mixed{"run.precision=bf16"};
  Overrides four = rule();
  four.insert(four.end(), mixed.begin(), mixed.end());
  const std::string digest = run_with(four, {}).digest;
  EXPECT_EQ(run_with(four, {"parallel.ranks=1", "run.recompute=block"}).digest, digest);
  EXPECT_EQ(run_with(four, {"parallel.ranks=2", "parallel.placement=interleaved"}).digest, digest);
}

TEST_P(Placement, SameDigestForAnyPlacementWhenTied) {
  Overrides tied = rule();
  tied.emplace_back("model.tie_embeddings=true");
  const std::string digest = run_with(tied, {}).digest;
  for (const char* ranks : {"parallel.ranks=1", "parallel.ranks=2"})
    for (const char* placement : {"parallel.placement=contiguous", "parallel.placement=interleaved"})
      EXPECT_EQ(run_with(tied, {ranks, placement}).digest, digest) << ranks << " " << placement;
}

TEST_P(Placement, SharingTheOptimizerStateOutChangesNoBit) {
  for (const char* optimizer : {"optimizer.name=adamw", "optimizer.name=lamb"}) {
    Overrides replicas = rule();
    replicas.insert(replicas.end(), {optimizer, "parallel.replicas=3", "parallel.microbatches=1", "parallel.ranks=2",
                                     "model.tie_embeddings=true"});
    EXPECT_EQ(run_with(replicas, {"parallel.shard_optimizer=true"}).digest, run_with(replicas, {}).digest) << optimizer;
  }
}

TEST_P(Placement, MessagesAreThoseOfThePlan) {
  for (const char* ranks : {"parallel.ranks=2", "parallel.ranks=4"}) {
    Overrides overrides = rule();
    overrides.insert(overrides.end(), {ranks, "parallel.replicas=2"});
    const RunSettings settings = settings_for_test(overrides);
    const TestRun run = run_on_loopback(settings);
    const Plan plan = make_plan(plan_request(settings, *make_model(settings, *make_dataset(settings))));
    const std::vector<int64_t> forward = plan.forward_messages(), backward = plan.backward_messages();
    const uint64_t times = static_cast<uint64_t>(settings.steps * settings.parallel.shape.replicas);
    uint64_t between_ranks = 0, by_engine = 0, by_transport = 0;
    for (int k = 0; k + 1 < settings.parallel.shape.stages; ++k) {
      uint64_t up = 0, down = 0;
      for (const RankSummary& rank : run.summary.ranks)
        up += rank.counters.forward[k], down += rank.counters.backward[k];
      EXPECT_EQ(up, times * static_cast<uint64_t>(forward[k])) << "boundary " << k;
      EXPECT_EQ(down, times * static_cast<uint64_t>(backward[k])) << "boundary " << k;
      if (settings.parallel.shape.rank_of(k) != settings.parallel.shape.rank_of(k + 1)) between_ranks += up + down;
    }
    for (const RankSummary& rank : run.summary.ranks) by_engine += rank.counters.messages;
    for (const TransportCounters& counters : run.counters) by_transport += counters.messages_sent;
    EXPECT_EQ(by_engine, between_ranks);
    EXPECT_EQ(by_transport, between_ranks);
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, Placement, testing::ValuesIn(rules));

TEST(Identities, FurthestOneIsLocal) {
  EXPECT_EQ(run_with({"learning.rule=furthest", "learning.horizon=1"}, {}).digest,
            run_with({"learning.rule=local"}, {}).digest);
}

TEST(Identities, SumOneIsLocal) {
  EXPECT_EQ(run_with({"learning.rule=sum", "learning.horizon=1"}, {}).digest,
            run_with({"learning.rule=local"}, {}).digest);
}

TEST(Identities, FurthestKIsGlobal) {
  EXPECT_EQ(run_with({"learning.rule=furthest", "learning.horizon=4"}, {}).digest,
            run_with({"learning.rule=global"}, {}).digest);
}

TEST(Identities, HeadsThatTeachNobodyChangeNoBitOfTheBody) {
  for (const char* rule : {"learning.rule=global", "learning.rule=furthest"}) {
    const TestRun needed = run_with({rule, "learning.horizon=3"}, {}),
                  all = run_with({rule, "learning.horizon=3"}, {"learning.heads=all"});
    EXPECT_GT(all.weights->tensors().size(), needed.weights->tensors().size());
    for (const TensorEntry& tensor : needed.weights->tensors()) {
      const auto a = needed.weights->bytes(tensor), b = all.weights->bytes(*all.weights->find(tensor.name));
      EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << tensor.name;
    }
  }
}

TEST(Identities, OneMicrobatchOfAllIsTheSameInDoublePrecision) {
  const Overrides base{"learning.rule=sum", "run.precision=float64"};
  const TestRun many = run_with(base, {"parallel.microbatches=6", "parallel.microbatch_size=1"});
  const TestRun one = run_with(base, {"parallel.microbatches=1", "parallel.microbatch_size=6"});
  const TestRun replicas =
      run_with(base, {"parallel.replicas=3", "parallel.microbatches=1", "parallel.microbatch_size=2"});
  for (const TensorEntry& tensor : many.weights->tensors())
    for (const TestRun* other : {&one, &replicas})
      // Other sums of the same samples: three Adam steps in double keep 1e-10.
      EXPECT_LE(largest_entry(minus(tensor_of(*many.weights, tensor.name), tensor_of(*other->weights, tensor.name))),
                1e-10)
          << tensor.name;
}

TEST(Identities, StepsWithConstantRateAreThoseOfALongerRun) {
  const Overrides constant{"optimizer.decay=constant", "learning.rule=furthest"};
  const TestRun shorter = run_with(constant, {"run.steps=3"}), longer = run_with(constant, {"run.steps=5"});
  ASSERT_EQ(shorter.losses.size(), 3U);
  ASSERT_EQ(longer.losses.size(), 5U);
  for (size_t step = 0; step < 3; ++step) EXPECT_EQ(shorter.losses[step], longer.losses[step]);
  // After the third update both stand at the same weights.
  const TestRun third = run_with(constant, {"run.steps=3", "run.evaluate_every=3"});
  double after_third = 0;
  RunSettings settings = settings_for_test({constant[0], constant[1], "run.steps=5", "run.evaluate_every=3"});
  for (const StepMetrics& metrics : run_on_loopback(settings).metrics)
    if (metrics.step == 3) after_third = metrics.validation_loss.value();
  EXPECT_EQ(third.summary.validation_loss, after_third);
}

TEST(WeightsFile, HoldsTheDecoderBiasUnderBothNames) {
  const TestRun run = run_with({"learning.rule=local"}, {});
  for (const char* name : {"lm_head.bias", "lm_head.decoder.bias"}) ASSERT_NE(run.weights->find(name), nullptr) << name;
  EXPECT_EQ(tensor_sha256(*run.weights, *run.weights->find("lm_head.bias")),
            tensor_sha256(*run.weights, *run.weights->find("lm_head.decoder.bias")));
}

TEST(StartWeights, AnyCutContinuesFromTheWeightsOfAnother) {
  const TestRun first = run_with({"learning.rule=local"}, {});
  const std::string path = testing::TempDir() + "start.safetensors";
  {
    SafetensorsWriter writer(path, first.weights->tensors(), first.weights->metadata());
    for (const TensorEntry& tensor : writer.order())
      writer.write(tensor.name, first.weights->bytes(*first.weights->find(tensor.name)));
    writer.commit();
  }
  // No step: what comes out is what went in, cut into two stages (which keeps the head above block 2) and into four.
  const Overrides none{"learning.rule=local", "run.steps=0", "run.weights=" + path};
  EXPECT_EQ(run_with(none, {}).digest, first.digest);
  const TestRun two = run_with(none, {"parallel.stages=2", "parallel.ranks=2"});
  for (const TensorEntry& tensor : two.weights->tensors()) {
    const auto got = two.weights->bytes(tensor), had = first.weights->bytes(*first.weights->find(tensor.name));
    EXPECT_TRUE(std::equal(got.begin(), got.end(), had.begin(), had.end())) << tensor.name;
  }
  // Another cut needs a head that the file lacks: it starts fresh, the rest is loaded.
  const TestRun fresh =
      run_with(none, {"parallel.stages=2", "parallel.ranks=2", "parallel.partition=[1,3]", "learning.head=block"});
  EXPECT_EQ(first.weights->find("heads.1.block.attention.self.query.weight"), nullptr);
  EXPECT_NE(fresh.weights->find("heads.1.block.attention.self.query.weight"), nullptr);
}

}  // namespace
}  // namespace interlock
