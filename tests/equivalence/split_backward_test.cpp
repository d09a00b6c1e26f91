// Plans by hand in which every B is an I and a W that comes later, and every W later than a schedule puts it: what is
// learned has the same bits as under the plan of the schedule, whatever comes between the two.

#include <gtest/gtest.h>

#include <deque>

#include "launch/settings/plans.h"
#include "parallel/keeping/weights.h"
#include "parallel/plan/deferred_weights.h"
#include "parallel/plan/lower.h"
#include "parallel/plan/plan_check.h"
#include "tests/support/engine_for_test.h"
#include "tests/support/run_for_test.h"

namespace interlock {
namespace {

// Each W comes after `delay` more actions of its rank, or at the end of the step.
Plan deferred(Plan plan, size_t delay) {
  std::vector<std::vector<Action>> order;
  for (const std::vector<Action>& list : plan.ranks) {
    std::vector<Action> own;
    std::deque<std::pair<size_t, Action>> waiting;  // after so many actions
    const auto put_due = [&](size_t now) {
      for (; !waiting.empty() && waiting.front().first <= now; waiting.pop_front())
        own.push_back(waiting.front().second);
    };
    size_t now = 0;
    for (const Action& action : list) {
      if (action.kind > Kind::backward) continue;
      put_due(now++);
      if (action.kind != Kind::weight_gradient) {
        own.push_back(action);
        if (action.kind != Kind::backward) continue;
        own.back().kind = Kind::input_gradient;
      }
      waiting.emplace_back(now + delay, Action{Kind::weight_gradient, action.stage, action.microbatch, -1});
    }
    put_due(now + delay);
    order.push_back(own);
  }
  plan.schedule = "by hand";
  lower(plan, order);
  plan_check(plan);
  return plan;
}

// The digest after three steps. A gradient is summed over replicas in pieces of at least so many bytes: with small ones
// the sum of each segment begins on its own, and must not begin before its last term is there.
std::string digest_under(const RunSettings& settings, const Plan& plan, int64_t bucket_bytes = 256) {
  constexpr int64_t steps = 3;
  const std::string path = new_folder() + "/weights.safetensors";
  run_loopback(settings.parallel.processes(), [&](Transport& transport) {
    const EngineForTest rank = engine_for_test(settings, transport, steps, bucket_bytes);
    for (int64_t step = 1; step <= steps; ++step) rank.engine->train(plan, {step, 1, 1e-2, 0.05});
    rank.engine->drain();
    if (rank.context->topology.replica() == 0) write_weights(*rank.context, path, {}, {});
  });
  return weights_digest(*SafetensorsFile::open(path));
}

struct Case {
  std::string name;
  std::vector<std::string> overrides;
};
void PrintTo(const Case& item, std::ostream* out) { *out << item.name; }

class SplitPlans : public testing::TestWithParam<Case> {};

TEST_P(SplitPlans, LearnTheSameToTheBit) {
  // B in the plan to compare with, unless a case names another schedule.
  std::vector<std::string> overrides = {"parallel.schedule=wavefront"};
  overrides.insert(overrides.end(), GetParam().overrides.begin(), GetParam().overrides.end());
  const RunSettings settings = settings_for_test(overrides);
  const Plan plan = make_plan(plan_request(settings, *make_model(settings, *make_dataset(settings))));
  const std::string expected = digest_under(settings, plan, int64_t{8} << 20);
  EXPECT_EQ(digest_under(settings, plan), expected) << "pieces of another size";
  for (const size_t delay : {size_t{0}, size_t{2}, size_t{1000}}) {
    const Plan other = deferred(plan, delay);
    int64_t products = 0;
    for (const WeightPasses& of_stage : weight_passes(other)) products += of_stage.deferred;
    EXPECT_GT(products, 0) << "no W is deferred: nothing is tested";
    for (const auto& list : other.ranks)
      for (const Action& action : list) EXPECT_NE(action.kind, Kind::backward);
    EXPECT_EQ(digest_under(settings, other), expected) << "W " << delay << " actions later";
  }
}

std::vector<Case> cases() {
  const std::string matrix = "learning.matrix=[[0,0,0,1],[0,0,0,0.3],[0,0,0,0.7],[0,0,0,2]]";
  return {
      {"global", {"learning.rule=global"}},
      {"global_on_one_rank", {"learning.rule=global", "parallel.ranks=1"}},
      {"global_gpipe", {"learning.rule=global", "parallel.schedule=gpipe", "parallel.ranks=2"}},
      {"furthest2", {"learning.rule=furthest", "learning.horizon=2"}},
      {"sum2", {"learning.rule=sum", "learning.horizon=2"}},
      {"deep_supervision", {"learning.rule=deep_supervision"}},
      {"a_factor_between_both", {"learning.rule=matrix", matrix}},
      {"replicas", {"learning.rule=global", "parallel.ranks=2", "parallel.replicas=2", "parallel.microbatches=2"}},
      {"replicas_sum2",
       {"learning.rule=sum", "learning.horizon=2", "parallel.ranks=2", "parallel.replicas=2",
        "parallel.microbatches=2"}},
      {"replicas_share_the_state",
       {"learning.rule=global", "parallel.ranks=2", "parallel.replicas=2", "parallel.microbatches=2",
        "parallel.shard_optimizer=true"}},
      {"tied", {"learning.rule=global", "model.tie_embeddings=true"}},
      {"tied_replicas",
       {"learning.rule=deep_supervision", "model.tie_embeddings=true", "parallel.ranks=2", "parallel.replicas=2"}},
      {"block_again", {"learning.rule=global", "run.recompute=block", "model.layers=8", "parallel.ranks=2"}},
      {"stage_again", {"learning.rule=deep_supervision", "run.recompute=stage", "model.layers=8", "parallel.ranks=2"}},
      {"bf16", {"learning.rule=global", "run.precision=bf16"}},
      {"float64", {"learning.rule=furthest", "learning.horizon=3", "run.precision='float64'"}},
      {"mlp", {"model.name=mlp", "learning.rule=global"}},
      {"partly_frozen", {"learning.rule=global", "model.frozen=['*.layer.2.*', '*.bias']", "parallel.replicas=2"}},
  };
}

INSTANTIATE_TEST_SUITE_P(Kinds, SplitPlans, testing::ValuesIn(cases()), [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace interlock
