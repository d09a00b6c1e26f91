// Cuts inside blocks. Under a rule without local losses a cut is placement: it changes no bit of what is learned.

#include <gtest/gtest.h>

#include "tests/equivalence/pieces_of_a_run.h"

namespace interlock {
namespace {

TestRun run_with(Overrides base, const Overrides& more) {
  base.insert(base.end(), more.begin(), more.end());
  return run_on_loopback(settings_for_test(base));
}

// Of four blocks into four stages, inside blocks, and with as many ranks as it says.
const std::vector<Overrides> cuts_inside = {
    {"parallel.unit=half_block", "parallel.ranks=4"},
    {"parallel.unit=half_block", "parallel.ranks=4", "parallel.partition=[1,2,2,3]"},
    {"parallel.unit=half_block", "parallel.ranks=2", "parallel.partition=[3,1,1,3]", "parallel.placement=interleaved"},
    {"parallel.unit=half_block", "parallel.stages=8", "parallel.ranks=4", "parallel.schedule=gpipe"},
    {"parallel.unit=half_block", "parallel.stages=3", "parallel.ranks=1", "parallel.partition=[1,6,1]"},
};

struct Case {
  std::string name;
  Overrides overrides;
};
void PrintTo(const Case& item, std::ostream* out) { *out << item.name; }

class GlobalCut : public testing::TestWithParam<Case> {};

TEST_P(GlobalCut, InsideBlocksChangesNoBit) {
  Overrides base{"learning.rule=global"};
  base.insert(base.end(), GetParam().overrides.begin(), GetParam().overrides.end());
  const TestRun blocks = run_with(base, {"parallel.ranks=4"});
  for (const Overrides& cut : cuts_inside) {
    const TestRun run = run_with(base, cut);
    EXPECT_EQ(run.digest, blocks.digest) << cut.back();
    EXPECT_EQ(run.losses, blocks.losses) << cut.back();
  }
}

// The squared norms of the stages are added up in double precision, stage by stage, so another cut may round the norm
// of the model in its last bit; what is clipped by it keeps 1e-13 of values of order one through three Adam steps.
TEST(GlobalCutNorm, InsideBlocksMovesNoMoreThanTheLastBitOfANorm) {
  const Overrides base{"learning.rule=global", "run.precision=float64", "optimizer.clip=0.01"};
  const TestRun blocks = run_with(base, {"parallel.ranks=4"});
  for (const Overrides& cut : cuts_inside) {
    const TestRun run = run_with(base, cut);
    ASSERT_EQ(run.weights->tensors().size(), blocks.weights->tensors().size());
    for (const TensorEntry& tensor : blocks.weights->tensors())
      EXPECT_LE(largest_entry(minus(tensor_of(*run.weights, tensor.name), tensor_of(*blocks.weights, tensor.name))),
                1e-13)
          << tensor.name;
  }
}

// ---- Rules with local losses, whose heads stand where the cut is

class LocalCut : public testing::TestWithParam<std::string> {
 protected:
  Overrides inside() const {
    return {"learning.rule=" + GetParam(), "learning.horizon=2", "parallel.unit=half_block",
            "parallel.partition=[1,2,2,3]"};
  }
};

TEST_P(LocalCut, InsideBlocksIsPlacedAsAnyOther) {
  const std::string four = run_with(inside(), {"parallel.ranks=4"}).digest;
  for (const char* more : {"parallel.ranks=1", "parallel.schedule=gpipe", "run.recompute=block", "run.recompute=stage"})
    EXPECT_EQ(run_with(inside(), {more}).digest, four) << more;
  EXPECT_EQ(run_with(inside(), {"parallel.ranks=2", "parallel.placement=interleaved"}).digest, four);
}

// Halves that are cut where blocks are cut: the same network, the same heads.
TEST_P(LocalCut, BetweenBlocksIsThatOfBlocks) {
  const Overrides rule{"learning.rule=" + GetParam(), "learning.head=block"};
  EXPECT_EQ(run_with(rule, {"parallel.unit=half_block", "parallel.partition=[2,2,2,2]"}).digest,
            run_with(rule, {}).digest);
}

TEST_P(LocalCut, InsideBlocksNamesHeadsByTheirPlace) {
  const TestRun run = run_with(inside(), {});
  for (const char* head :
       {"heads.0_attention.decoder.weight", "heads.1_attention.decoder.weight", "heads.2_attention.decoder.weight"})
    EXPECT_NE(run.weights->find(head), nullptr) << head;
  for (const TensorEntry& tensor : run.weights->tensors())
    EXPECT_TRUE(!tensor.name.starts_with("heads.") || tensor.name.find("_attention.") != std::string::npos)
        << tensor.name;
}

INSTANTIATE_TEST_SUITE_P(Rules, LocalCut, testing::Values("local", "sum"));

// ---- Files

std::string saved(const TestRun& run, const std::string& name) {
  const std::string path = new_folder() + "/" + name;
  SafetensorsWriter writer(path, run.weights->tensors(), run.weights->metadata());
  for (const TensorEntry& tensor : writer.order())
    writer.write(tensor.name, run.weights->bytes(*run.weights->find(tensor.name)));
  writer.commit();
  return path;
}

TEST(HalfBlockWeights, LoadIntoAnyCutAndBack) {
  const Overrides local{"learning.rule=local"}, inside{"parallel.unit=half_block", "parallel.partition=[1,3,2,2]"};
  const TestRun blocks = run_with(local, {}), halves = run_with(local, inside);
  for (const TestRun* run : {&blocks, &halves}) {
    for (const Overrides& cut : {Overrides{}, inside, Overrides{"parallel.unit=half_block", "parallel.stages=8"}}) {
      Overrides none{"learning.rule=local", "run.steps=0", "run.weights=" + saved(*run, "start.safetensors")};
      const TestRun loaded = run_with(none, cut);
      // Whatever both have, heads too: the third cut of `inside` stands above two blocks.
      int compared = 0;
      for (const TensorEntry& tensor : run->weights->tensors()) {
        const TensorEntry* found = loaded.weights->find(tensor.name);
        if (found == nullptr && tensor.name.starts_with("heads.")) continue;
        ASSERT_NE(found, nullptr) << tensor.name;
        const auto got = loaded.weights->bytes(*found), had = run->weights->bytes(tensor);
        EXPECT_TRUE(std::equal(got.begin(), got.end(), had.begin(), had.end())) << tensor.name;
        compared += tensor.name.starts_with("heads.") ? 1 : 0;
      }
      EXPECT_GT(compared, 0) << cut.size();
    }
  }
}

TEST(HalfBlockCheckpoint, GoesOnUnderAnotherCut) {
  // No norm over the model, whose last bit would follow the cut.
  const Overrides blocks{"learning.rule=global", "optimizer.clip=0.0", "run.precision=float64"};
  Overrides halves = blocks;
  halves.insert(halves.end(), {"parallel.unit=half_block", "parallel.partition=[1,2,3,2]"});
  const std::string folder = new_folder();
  go_on(folder, blocks, 2);
  go_on(folder, halves, 4);
  EXPECT_EQ(go_on(folder, blocks, 0).digest, digest_of_one_piece(blocks));
}

INSTANTIATE_TEST_SUITE_P(
    Grid, GlobalCut,
    testing::Values(Case{"dropout", {}}, Case{"double_precision", {"run.precision=float64", "optimizer.clip=0.0"}},
                    Case{"mixed_precision", {"run.precision=bf16"}}, Case{"recompute_block", {"run.recompute=block"}},
                    Case{"recompute_stage", {"run.recompute=stage"}}, Case{"tied", {"model.tie_embeddings=true"}},
                    Case{"replicas", {"parallel.replicas=2", "parallel.microbatches=2"}},
                    Case{"replicas_share_the_state",
                         {"parallel.replicas=2", "parallel.microbatches=2", "parallel.shard_optimizer=true"}},
                    Case{"frozen", {"model.frozen=['roberta.embeddings.*', '*.layer.0.attention.*', '*.2.*.bias']"}},
                    Case{"no_clipping", {"optimizer.clip=0.0"}}),
    [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace interlock
