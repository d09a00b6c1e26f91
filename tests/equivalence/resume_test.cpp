// A run that stops and goes on, once or often, here or elsewhere, ends with the same weights as one that never stopped.

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>

#include "tests/equivalence/pieces_of_a_run.h"

namespace interlock {
namespace {

struct Case {
  std::string name;
  Overrides overrides;
};
void PrintTo(const Case& item, std::ostream* out) { *out << item.name; }
class Resume : public testing::TestWithParam<Case> {};

TEST_P(Resume, InThreePiecesIsTheSameToTheBit) {
  const std::string folder = new_folder();
  const TestRun first = go_on(folder, GetParam().overrides, 3);
  EXPECT_EQ(first.summary.ending, Ending::until);
  EXPECT_EQ(first.summary.steps, 3);
  const TestRun second = go_on(folder, GetParam().overrides, 4);
  EXPECT_EQ(second.summary.first_step, 4);
  const TestRun third = go_on(folder, GetParam().overrides, 0);
  EXPECT_EQ(third.summary.first_step, 5);
  EXPECT_EQ(third.summary.ending, Ending::completed);
  EXPECT_EQ(third.digest, digest_of_one_piece(GetParam().overrides));
}

TEST_P(Resume, ElsewhereIsTheSameToTheBit) {
  const std::string folder = new_folder();
  Overrides here = GetParam().overrides, there = here;
  here.insert(here.end(), {"parallel.ranks=4", "parallel.schedule=gpipe"});
  there.insert(there.end(), {"parallel.ranks=2", "parallel.placement=interleaved", "run.recompute=block"});
  go_on(folder, here, 3);
  EXPECT_EQ(go_on(folder, there, 0).digest, digest_of_one_piece(here));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, Resume,
    testing::Values(
        Case{"local", {"learning.rule=local"}}, Case{"sum", {"learning.rule=sum"}},
        Case{"global_tied", {"learning.rule=global", "model.tie_embeddings=true"}},
        Case{"lamb", {"learning.rule=furthest", "optimizer.name=lamb"}},
        Case{"sgd_momentum", {"learning.rule=sum", "optimizer.name=sgd", "optimizer.momentum=0.9"}},
        Case{"bf16", {"learning.rule=sum", "run.precision=bf16"}},
        Case{"shared_readout", {"learning.rule=local", "learning.head=shared_readout", "learning.refresh_every=2"}},
        Case{"shared_readout_between_refreshes",
             {"learning.rule=sum", "learning.head=shared_readout", "learning.refresh_every=3",
              "model.tie_embeddings=true"}},
        Case{"replicas", {"learning.rule=sum", "parallel.replicas=2", "parallel.microbatches=2"}},
        Case{"replicas_share_the_state",
             {"learning.rule=sum", "parallel.replicas=3", "parallel.microbatches=1", "parallel.shard_optimizer=true"}},
        Case{"batch_ramp",
             {"learning.rule=sum", "parallel.batch_change=[{at_step=1, microbatches=1}, {at_step=4, microbatches=3}]"}},
        Case{"gpt", {"model.name=gpt", "objective.name=causal", "learning.rule=sum"}},
        Case{"gpt_tied_bf16",
             {"model.name=gpt", "objective.name=causal", "learning.rule=global", "model.tie_embeddings=true",
              "run.precision=bf16"}},
        Case{"rule_changes", {"learning.rule=local", "learning.change=[{at_step=5, rule='global'}]"}}),
    [](const auto& one) { return one.param.name; });

// Sums over replicas are added in another order: float32 keeps a few thousand roundings over seven steps of Adam, whose
// division turns the smallest gradients' rounding into differences of the size of a step (1e-3).
TEST(Reshard, OtherReplicasOfTheSameBatchAreNearlyTheSame) {
  const Overrides one{"learning.rule=sum", "parallel.replicas=1", "parallel.microbatches=6", "run.precision='float64'"};
  const Overrides three{"learning.rule=sum", "parallel.replicas=3", "parallel.microbatches=2",
                        "run.precision='float64'"};
  const std::string folder = new_folder();
  go_on(folder, one, 3);
  const TestRun resumed = go_on(folder, three, 0), straight = run_on_loopback(settings_in(new_folder(), one));
  for (const TensorEntry& tensor : straight.weights->tensors())
    // In float64 the same is below 1e-10.
    EXPECT_LE(largest_entry(minus(tensor_of(*resumed.weights, tensor.name), tensor_of(*straight.weights, tensor.name))),
              1e-10)
        << tensor.name;
}

// The rule may change at a checkpoint: what follows is what a change of rule at that step gives.
TEST(Reshard, AnotherRuleFromACheckpointIsAChangeOfRule) {
  const std::string folder = new_folder();
  go_on(folder, {"learning.rule=sum"}, 3);
  const TestRun changed = go_on(folder, {"learning.rule=global"}, 0);
  const TestRun planned =
      run_on_loopback(settings_in(new_folder(), {"learning.rule=sum", "learning.change=[{at_step=4, rule='global'}]"}));
  for (const TensorEntry& tensor : changed.weights->tensors())
    EXPECT_EQ(largest_entry(minus(tensor_of(*changed.weights, tensor.name), tensor_of(*planned.weights, tensor.name))),
              0.0)
        << tensor.name;
}

TEST(Resume, AnotherNetworkIsRefusedAndOtherKeysMayChange) {
  const std::string folder = new_folder();
  go_on(folder, {"learning.rule=sum"}, 3);
  const auto checkpoint = Checkpoint::open(find_checkpoint(folder));
  const auto refusal = [&](const Overrides& overrides) -> std::string {
    try {
      const RunSettings settings = settings_in(folder, overrides);
      const auto dataset = make_dataset(settings);
      dataset->open();
      check_changes(settings, *dataset, *checkpoint);
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::config);
      return error.what();
    }
  };
  EXPECT_EQ(refusal({"learning.rule=global", "optimizer.learning_rate=1e-4", "parallel.ranks=2", "run.steps=50"}), "");
  for (const char* other :
       {"model.width=32", "run.seed=2", "optimizer.name='sgd'", "objective.mask_rate=0.3", "data.sequence_length=12"}) {
    const std::string key = std::string(other).substr(0, std::string(other).find('='));
    EXPECT_NE(refusal({"learning.rule=sum", other}).find(key), std::string::npos) << other;
  }
}

// With a decoder of its own the readout's bias has two names, which stand in both.
TEST(Resume, ACheckpointAndTheWeightsFileAreTheSameSet) {
  for (const char* tied : {"false", "true"}) {
    const std::string folder = new_folder();
    const TestRun run = go_on(folder, {"learning.rule=sum", std::string("model.tie_embeddings=") + tied}, 3);
    const auto checkpoint = WeightsSet::open(find_checkpoint(folder));
    EXPECT_EQ(checkpoint->tensors().size(), run.weights->tensors().size()) << tied;
    EXPECT_EQ(weights_digest(*checkpoint), run.digest) << tied;
    EXPECT_EQ(run.weights->metadata().at("interlock.step"), "3");
  }
}

TEST(Resume, UntilTheLastStepSavesThereToo) {
  const std::string folder = new_folder();
  const auto settings = settings_for_test({"run.folder='" + folder + "'", "run.steps=2", "checkpoint.every=0"});
  run_on_loopback(settings, {"", std::nullopt, true});
  EXPECT_EQ(find_checkpoint(folder), "");  // unasked, the weights are the end of a run
  EXPECT_EQ(run_on_loopback(settings, {"", 2, true}).summary.ending, Ending::completed);
  EXPECT_TRUE(find_checkpoint(folder).ends_with("step-00000002"));
}

// A file that is mapped keeps its place on the disk after retention has removed it.
TEST(Resume, TheCheckpointItWentOnFromIsLetGo) {
  const std::string folder = new_folder();
  const Overrides overrides{"learning.rule=local", "learning.head=shared_readout"};
  go_on(folder, overrides, 3);
  const RunSettings settings = settings_in(folder, overrides);
  const auto dataset = make_dataset(settings);
  dataset->open();
  const std::string from = find_checkpoint(folder);
  const auto mapped = [&] {
    std::ifstream maps("/proc/self/maps");
    return std::string(std::istreambuf_iterator<char>(maps), {}).find(from) != std::string::npos;
  };
  {
    const auto held = Checkpoint::open(from);
    EXPECT_TRUE(mapped()) << "the list of maps does not show " << from;
  }
  int steps = 0;
  run_loopback(settings.parallel.shape.ranks, [&](Transport& transport) {
    TrainerCallbacks callbacks{folder + "/weights.safetensors", {}, {}};
    // Of the second step on, all ranks have begun: their first one needs every stage.
    if (transport.rank() == 0)
      callbacks.on_step = [&](const StepMetrics& metrics) {
        ++steps;
        if (metrics.step > 4) {
          EXPECT_FALSE(mapped()) << "in step " << metrics.step;
        }
      };
    run_rank(settings, transport, dataset, callbacks, {from, std::nullopt, false});
  });
  EXPECT_EQ(steps, 4);
}

// A tied table is no parameter of a body or a head, and is looked at all the same.
TEST(Resume, WeightsThatAreNotFiniteAreNotWritten) {
  const std::string folder = new_folder(), start = folder + "/start.safetensors";
  const Overrides overrides{"model.tie_embeddings=true", "run.steps=0"};
  const TestRun good = run_on_loopback(settings_for_test(overrides));
  const std::string table = "roberta.embeddings.word_embeddings.weight";
  SafetensorsWriter writer(start, good.weights->tensors(), good.weights->metadata());
  for (const TensorEntry& tensor : writer.order()) {
    std::vector<std::byte> bytes(good.weights->bytes(tensor).begin(), good.weights->bytes(tensor).end());
    const float wrong = std::numeric_limits<float>::quiet_NaN();
    if (tensor.name == table) std::memcpy(bytes.data(), &wrong, sizeof wrong);
    writer.write(tensor.name, bytes);
  }
  writer.commit();
  Overrides from_there = overrides;
  from_there.push_back("run.weights='" + start + "'");
  try {
    run_on_loopback(settings_for_test(from_there));
    FAIL() << "NaN was written";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::gave_up);
    const std::string what = error.what();  // of the first rank or of the last, who holds the same table
    EXPECT_TRUE(what.find(table) != std::string::npos || what.find("lm_head.decoder.weight") != std::string::npos)
        << what;
  }
}

TEST(Resume, KeepsTheNewestCheckpoints) {
  const std::string folder = new_folder();
  run_on_loopback(settings_in(folder, {"checkpoint.keep=2"}), {"", std::nullopt, true});
  const auto kept = list_checkpoints(folder);
  ASSERT_EQ(kept.size(), 2u);  // of steps 2, 4, 6 and the last
  EXPECT_TRUE(kept[0].ends_with("step-00000007")) << kept[0];
  EXPECT_TRUE(kept[1].ends_with("step-00000006")) << kept[1];
  for (const std::string& checkpoint : kept) verify_checkpoint(checkpoint);
}

}  // namespace
}  // namespace interlock
