// Whole runs on a GPU: near the CPU's, and the same bits wherever stages stand.
#include <cstdio>

#include "tests/gpu/gpu.h"
#include "tests/support/run_for_test.h"

namespace interlock {
namespace {

using Overrides = std::vector<std::string>;

TestRun run_with(Overrides overrides, const char* device) {
  overrides.push_back(std::string("run.device=") + device);
  return run_on_loopback(settings_for_test(overrides));
}

struct Case {
  const char* name;
  Overrides overrides;
  double tolerance;  // of losses, relative: rounding of products of the type, some steps long
};

class Runs : public testing::TestWithParam<Case> {};

TEST_P(Runs, LossesAreThoseOfTheCpu) {
  NEEDS_GPU();
  const TestRun here = run_with(GetParam().overrides, "cpu"), there = run_with(GetParam().overrides, "cuda");
  ASSERT_EQ(here.losses.size(), there.losses.size());
  for (size_t i = 0; i < here.losses.size(); ++i) {
    std::printf("  %s step %zu: cpu %.6f  gpu %.6f  norms %.6f %.6f\n", GetParam().name, i + 1, here.losses[i],
                there.losses[i], here.metrics[i].gradient_norm, there.metrics[i].gradient_norm);
    EXPECT_NEAR(there.losses[i], here.losses[i], GetParam().tolerance * here.losses[i]);
  }
  // Every product lies between a gradient and its loss: ten times as far apart. Later steps start at other weights.
  const double norm = here.metrics.front().gradient_norm;
  EXPECT_NEAR(there.metrics.front().gradient_norm, norm, 10 * GetParam().tolerance * norm);
}

TEST_P(Runs, BitsDoNotDependOnPlacementScheduleOrRecomputation) {
  NEEDS_GPU();
  const std::string digest = run_with(GetParam().overrides, "cuda").digest;
  for (const Overrides& other : {Overrides{"parallel.ranks=1"},
                                 {"parallel.ranks=2"},
                                 {"parallel.schedule=gpipe"},
                                 {"run.recompute=block"},
                                 {"run.recompute=stage"}}) {
    Overrides changed = GetParam().overrides;
    changed.insert(changed.end(), other.begin(), other.end());
    EXPECT_EQ(run_with(changed, "cuda").digest, digest) << other.front();
  }
}

const std::vector<Case>& kinds() {
  static const Overrides gpt{"model.name=gpt", "objective.name=causal"}, resnet{"model.name=resnet"};
  const auto with = [](Overrides base, const Overrides& more) {
    base.insert(base.end(), more.begin(), more.end());
    return base;
  };
  static const std::vector<Case> all{
      {"global", {"learning.rule=global"}, 1e-4},
      {"sum", {"learning.rule=sum"}, 1e-4},
      {"local_no_dropout", {"learning.rule=local", "model.dropout=0.0"}, 1e-4},
      {"lamb", {"learning.rule=furthest", "optimizer.name=lamb"}, 1e-4},
      {"bf16", {"learning.rule=global", "run.precision=bf16"}, 2e-2},
      {"tied", {"learning.rule=global", "model.tie_embeddings=true"}, 1e-4},
      {"mlp", {"model.name=mlp"}, 1e-4},
      {"labelled", {"data.name=labelled", "learning.rule=sum"}, 1e-4},
      {"gpt", with(gpt, {"learning.rule=sum"}), 1e-4},
      {"gpt_documents", with(gpt, {"learning.rule=sum", "objective.document_mask=true"}), 1e-4},
      {"gpt_tied_bf16", with(gpt, {"learning.rule=global", "model.tie_embeddings=true", "run.precision=bf16"}), 2e-2},
      {"resnet_paper_heads", with(resnet, {"learning.rule=local", "learning.head=paper"}), 1e-4},
      {"resnet_dgl_heads", with(resnet, {"learning.rule=furthest", "learning.head=dgl"}), 1e-4},
      {"resnet_bf16", with(resnet, {"learning.rule=furthest", "learning.head=dgl", "run.precision=bf16"}), 2e-2},
      {"resnet_paper_heads_bf16", with(resnet, {"learning.rule=local", "learning.head=paper", "run.precision=bf16"}),
       2e-2},
      {"resnet_imagenet_stem", with(resnet, {"learning.rule=global", "model.stem=imagenet"}), 1e-4},
      {"resnet_group_norm", with(resnet, {"learning.rule=global", "model.norm=group", "model.norm_groups=2"}), 1e-4},
      {"resnet_bottleneck", with(resnet, {"learning.rule=sum", "model.block=bottleneck"}), 1e-4},
      {"layer_drop", {"learning.rule=sum", "technique=[{name='layer_drop', rate=0.5}]"}, 1e-4},
      {"progressive_layer_drop",
       {"learning.rule=sum", "model.norm=pre", "technique=[{name='progressive_layer_drop', theta=0.3, gamma=5.0}]"},
       1e-4},
      {"adapters", {"learning.rule=sum", "technique=[{name='adapters', size=3, deviation=0.1}]"}, 1e-4},
      {"lora_and_average",
       {"learning.rule=global", "technique=[{name='lora', rank=2, dropout=0.1}, {name='ema', decay=0.9}]"},
       1e-4},
      {"mixout", {"learning.rule=sum", "technique=[{name='mixout', rate=0.3}]"}, 1e-4},
  };
  return all;
}

INSTANTIATE_TEST_SUITE_P(Kinds, Runs, testing::ValuesIn(kinds()), [](const auto& tested) { return tested.param.name; });

TEST(Replicas, SumOverTheHost) {
  NEEDS_GPU();
  const Overrides two{"learning.rule=sum", "parallel.replicas=2"}, one{"learning.rule=sum", "parallel.microbatches=8"};
  const TestRun plain = run_with(two, "cuda");
  Overrides sharded = two;
  sharded.push_back("parallel.shard_optimizer=true");
  EXPECT_EQ(run_with(sharded, "cuda").digest, plain.digest);
  const TestRun cpu = run_with(two, "cpu");
  for (size_t i = 0; i < cpu.losses.size(); ++i) EXPECT_NEAR(plain.losses[i], cpu.losses[i], 1e-4 * cpu.losses[i]);
}

}  // namespace
}  // namespace interlock
