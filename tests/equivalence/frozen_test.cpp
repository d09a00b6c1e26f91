// What is frozen keeps its bits and costs nothing: no gradient, no state, no sum, no message below the lowest stage
// that trains; and what does train learns the same wherever and in however many pieces it runs. (What it learns is held
// against plain autograd in truth_test.)

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "launch/run/resume.h"
#include "launch/settings/plans.h"
#include "parallel/stage/stage.h"
#include "tests/support/engine_for_test.h"
#include "tests/support/run_for_test.h"

namespace interlock {
namespace {

using Overrides = std::vector<std::string>;
using Names = std::function<bool(const std::string&)>;

Overrides operator+(Overrides one, const Overrides& more) {
  one.insert(one.end(), more.begin(), more.end());
  return one;
}

bool starts_with(const std::string& name, const char* start) { return name.starts_with(start); }

struct Case {
  std::string name;
  Overrides overrides;
  Names frozen;  // of a parameter: whether it is to keep its bits
};
void PrintTo(const Case& item, std::ostream* out) { *out << item.name; }

const std::string table = "roberta.embeddings.word_embeddings.weight";

bool in_lower(const std::string& name) {
  return starts_with(name, "roberta.embeddings.") || name.find("encoder.layer.0.") != std::string::npos;
}

std::vector<Case> cases() {
  const Overrides lower{"model.frozen=['roberta.embeddings.*', '*.layer.0.*']"};
  std::vector<Case> all;
  for (const char* rule : {"local", "furthest", "sum", "global", "deep_supervision"})
    all.push_back({std::string("lower_") + rule, lower + Overrides{std::string("learning.rule=") + rule}, in_lower});
  const auto body = [](const std::string& name) { return starts_with(name, "roberta."); };
  all.push_back({"all_bodies", {"model.frozen=['roberta.*']", "learning.rule=global"}, body});
  all.push_back(
      {"all_bodies_local_heads", {"model.frozen=['roberta.*']", "learning.rule=local", "learning.heads=all"}, body});
  all.push_back({"readout", {"model.frozen=['lm_head.*']", "learning.rule=sum"}, [](const std::string& name) {
                   return starts_with(name, "lm_head.");
                 }});
  all.push_back({"local_heads",
                 {"model.frozen=['heads.*']", "learning.rule=sum", "learning.heads=all"},
                 [](const std::string& name) { return starts_with(name, "heads."); }});
  all.push_back(
      {"lower_and_local_heads",
       {"model.frozen=['roberta.embeddings.*', '*.layer.0.*', 'heads.*']", "learning.rule=sum", "learning.heads=all"},
       [](const std::string& name) { return in_lower(name) || starts_with(name, "heads."); }});
  all.push_back({"tied_table",
                 {"model.frozen=['" + table + "']", "model.tie_embeddings=true", "learning.rule=sum"},
                 [](const std::string& name) { return name == table; }});
  all.push_back(
      {"all_below_but_the_tied_table",
       {"model.frozen=['roberta.embeddings.[!w]*', '*.layer.0.*']", "model.tie_embeddings=true", "learning.rule=sum"},
       [](const std::string& name) { return in_lower(name) && name != table; }});
  all.push_back({"biases_recomputed",
                 {"model.frozen=['*.bias']", "learning.rule=global", "run.recompute=block"},
                 [](const std::string& name) { return name.ends_with(".bias"); }});
  all.push_back({"a_stage_by_number", {"learning.frozen=[1]", "learning.rule=furthest"}, [](const std::string& name) {
                   return name.find("encoder.layer.1.") != std::string::npos;
                 }});
  const auto of_last = [](const std::string& name) {
    return name.find("encoder.layer.3.") != std::string::npos || starts_with(name, "lm_head.");
  };
  all.push_back({"the_last_stage_and_its_readout", {"learning.frozen=[3]", "learning.rule=furthest"}, of_last});
  // The matrix that it shares learns on at the other end, unless that is frozen too.
  all.push_back(
      {"the_last_stage_tied", {"learning.frozen=[3]", "learning.rule=global", "model.tie_embeddings=true"}, of_last});
  all.push_back({"both_ends_tied",
                 {"learning.frozen=[0, 3]", "learning.rule=sum", "model.tie_embeddings=true"},
                 [of_last](const std::string& name) { return in_lower(name) || of_last(name); }});
  return all;
}

class Frozen : public testing::TestWithParam<Case> {
 protected:
  static RunSettings settings_in(const std::string& folder, const Overrides& more = {}) {
    return settings_for_test(GetParam().overrides +
                             Overrides{"run.folder='" + folder + "'", "run.steps=4", "checkpoint.every=2"} + more);
  }
  static TestRun go_on(const std::string& folder, std::optional<int64_t> until, const Overrides& more = {}) {
    return run_on_loopback(settings_in(folder, more), {find_checkpoint(folder), until, true});
  }
  static std::string digest(const Overrides& more = {}) {
    return run_on_loopback(settings_in(new_folder(), more)).digest;
  }
};

TEST_P(Frozen, KeepsItsBitsAndHasNoStateInACheckpoint) {
  const std::string folder = new_folder();
  const TestRun start = run_on_loopback(settings_in(new_folder(), {"run.steps=0"})), end = go_on(folder, std::nullopt);
  std::set<std::string> frozen, trained;
  for (const TensorEntry& tensor : start.weights->tensors()) {
    if (tensor.name == "lm_head.decoder.bias") continue;  // a second name
    const auto before = start.weights->bytes(tensor), after = end.weights->bytes(*end.weights->find(tensor.name));
    const bool same = std::equal(before.begin(), before.end(), after.begin(), after.end());
    EXPECT_EQ(same, GetParam().frozen(tensor.name)) << tensor.name;
    (GetParam().frozen(tensor.name) ? frozen : trained).insert(tensor.name);
  }
  ASSERT_FALSE(frozen.empty());
  ASSERT_FALSE(trained.empty());
  const auto checkpoint = Checkpoint::open(find_checkpoint(folder));
  for (const std::string& name : frozen) {
    EXPECT_NE(checkpoint->find(name), nullptr) << name << " is missing from the checkpoint";
    for (const char* state : {"mean", "square", "count", "exp_avg", "exp_avg_sq", "step"})
      EXPECT_EQ(checkpoint->find(name + "." + state), nullptr) << name << " has optimizer state";
  }
  // Three tensors of state for each that trains, and no other tensor of an optimizer.
  size_t of_optimizers = 0;
  for (const auto& file : checkpoint->files())
    for (const TensorEntry& tensor : file->tensors()) {
      const std::string parameter = tensor.name.substr(0, tensor.name.rfind('.'));
      if (frozen.contains(parameter) || trained.contains(parameter)) ++of_optimizers;
      EXPECT_FALSE(frozen.contains(parameter)) << tensor.name;
    }
  EXPECT_EQ(of_optimizers, 3 * trained.size());
}

TEST_P(Frozen, LearnsTheSameWhereverItRuns) {
  const std::string four = digest({"parallel.ranks=4"});
  EXPECT_EQ(digest({"parallel.ranks=1", "parallel.schedule=gpipe"}), four);
  EXPECT_EQ(digest({"parallel.ranks=2", "parallel.placement=interleaved", "run.recompute=stage"}), four);
  EXPECT_EQ(digest({"parallel.ranks=2", "run.recompute=block"}), four);
  const Overrides replicas{"parallel.replicas=2", "parallel.microbatches=2"};
  const std::string of_replicas = digest(replicas);
  EXPECT_EQ(digest(replicas + Overrides{"parallel.ranks=2", "parallel.shard_optimizer=true"}), of_replicas);
}

TEST_P(Frozen, GoesOnFromACheckpointAndElsewhere) {
  const std::string folder = new_folder();
  go_on(folder, 1);
  go_on(folder, 3, {"parallel.ranks=2", "parallel.placement=interleaved"});
  EXPECT_EQ(go_on(folder, std::nullopt, {"parallel.ranks=1"}).digest, digest());
}

TEST_P(Frozen, MessagesAreThoseOfThePlan) {
  const RunSettings settings = settings_in(new_folder());
  const TestRun run = run_on_loopback(settings);
  const Plan plan = make_plan(plan_request(settings, *make_model(settings, *make_dataset(settings))));
  for (int k = 0; k + 1 < settings.parallel.shape.stages; ++k) {
    uint64_t up = 0, down = 0;
    for (const RankSummary& rank : run.summary.ranks) up += rank.counters.forward[k], down += rank.counters.backward[k];
    EXPECT_EQ(up, static_cast<uint64_t>(settings.steps * plan.forward_messages()[k])) << k;
    EXPECT_EQ(down, static_cast<uint64_t>(settings.steps * plan.backward_messages()[k])) << k;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Frozen, testing::ValuesIn(cases()), [](const auto& one) { return one.param.name; });

// How far the norm of clipping goes follows from the rule; parameters that do not train change nothing about it.
TEST(FrozenParameters, LeaveTheNormOfClippingWhereTheRulePutsIt) {
  const std::string lower = "model.frozen=['roberta.embeddings.*', '*.layer.0.*']";
  for (const auto& [rule, over_model] : {std::pair{"global", true}, std::pair{"furthest", false}}) {
    for (const Overrides& frozen :
         {Overrides{}, Overrides{lower}, Overrides{"model.frozen=['roberta.*']"}, Overrides{"learning.frozen=[0]"}}) {
      const RunSettings settings = settings_for_test(frozen + Overrides{std::string("learning.rule=") + rule});
      const PlanRequest request = plan_request(settings, *make_model(settings, *make_dataset(settings)));
      EXPECT_EQ(request.norm_over_model, over_model) << rule << (frozen.empty() ? "" : ", " + frozen.front());
    }
  }
}

// Every step is clipped, by the norm over all that trains.
TEST(FrozenStages, ByNumberAndByNameLearnTheSame) {
  const auto digest = [](const std::string& frozen) {
    return run_on_loopback(settings_for_test({"learning.rule=global", "optimizer.clip=0.01", "run.steps=4", frozen}))
        .digest;
  };
  const std::string by_number = digest("learning.frozen=[0]");
  EXPECT_EQ(by_number, digest("model.frozen=['roberta.embeddings.*', '*.layer.0.*']"));
  EXPECT_NE(by_number, digest("model.frozen=['*.layer.0.*']"));
}

// Backward messages per boundary of a step with three microbatches.
std::vector<int64_t> backward_messages(const Overrides& overrides) {
  const RunSettings settings = settings_for_test(overrides);
  return make_plan(plan_request(settings, *make_model(settings, *make_dataset(settings)))).backward_messages();
}

TEST(FrozenStages, GetNoGradientMessageBelowTheLowestThatTrains) {
  const std::string two_stages = "model.frozen=['roberta.embeddings.*', '*.layer.0.*', '*.layer.1.*']";
  EXPECT_EQ(backward_messages({"learning.rule=global"}), (std::vector<int64_t>{3, 3, 3}));
  EXPECT_EQ(backward_messages({"learning.rule=global", two_stages}), (std::vector<int64_t>{0, 0, 3}));
  EXPECT_EQ(backward_messages({"learning.rule=sum", "learning.horizon=2", two_stages}),
            (std::vector<int64_t>{0, 0, 3}));
  EXPECT_EQ(backward_messages({"learning.rule=global", "model.frozen=['roberta.*']"}), (std::vector<int64_t>{0, 0, 0}));
  // One in the middle passes on what those below it learn from.
  EXPECT_EQ(backward_messages({"learning.rule=global", "model.frozen=['*.layer.1.*']"}),
            (std::vector<int64_t>{3, 3, 3}));
}

// The numbers in the flat gradients of all stages of a replica, and the bytes that leave all ranks in one step for
// anything but activations and gradients of activations.
struct Summed {
  int64_t numbers = 0;
  uint64_t bytes = 0;
};
Summed summed(const Overrides& overrides) {
  const RunSettings settings =
      settings_for_test(overrides + Overrides{"learning.rule=global", "parallel.ranks=1", "parallel.replicas=3"});
  const Plan plan = make_plan(plan_request(settings, *make_model(settings, *make_dataset(settings))));
  std::vector<uint64_t> bytes(3);
  Summed result;
  run_loopback(3, [&](Transport& transport) {
    const EngineForTest rank = engine_for_test(settings, transport, 1);
    const uint64_t before = transport.counters().other_bytes_sent;
    rank.engine->train(plan, {1, 1, 1e-3, 0});
    rank.engine->drain();
    bytes[transport.rank()] = transport.counters().other_bytes_sent - before;
    if (transport.rank() > 0) return;
    for (const auto& stage : rank.context->stages)
      for (const auto& group : stage->groups()) result.numbers += group->gradient().numel();
  });
  for (const uint64_t one : bytes) result.bytes += one;
  return result;
}

// A sum over n replicas sends 2 (n - 1) times its bytes in all: the shares to their owners, and the sums back.
TEST(FrozenReduction, SumsOverReplicasTheGradientsOfWhatTrainsAlone) {
  const Summed all = summed({}), some = summed({"model.frozen=['roberta.embeddings.*', '*.layer.2.*']"});
  int64_t frozen = 0;
  const TestRun start = run_on_loopback(settings_for_test({"run.steps=0"}));
  for (const TensorEntry& tensor : start.weights->tensors()) {
    if (!starts_with(tensor.name, "roberta.embeddings.") && tensor.name.find("layer.2.") == std::string::npos) continue;
    int64_t numbers = 1;
    for (const int64_t extent : tensor.shape) numbers *= extent;
    frozen += (numbers + 15) / 16 * 16;  // each begins a cache line of 16 floats
  }
  ASSERT_GT(frozen, 0);
  EXPECT_EQ(all.numbers - some.numbers, frozen);
  EXPECT_EQ(all.bytes - some.bytes, static_cast<uint64_t>(2 * (3 - 1) * 4 * frozen));
}

}  // namespace
}  // namespace interlock
