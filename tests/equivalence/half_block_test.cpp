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

INSTANTIATE_TEST_SUITE_P(
    Grid, GlobalCut,
    testing::Values(Case{"dropout", {}}, Case{"double_precision", {"run.precision=float64"}},
                    Case{"mixed_precision", {"run.precision=bf16"}},
                    Case{"recompute_block", {"run.recompute=block"}}, Case{"recompute_stage", {"run.recompute=stage"}},
                    Case{"tied", {"model.tie_embeddings=true"}},
                    Case{"replicas", {"parallel.replicas=2", "parallel.microbatches=2"}},
                    Case{"replicas_share_the_state",
                         {"parallel.replicas=2", "parallel.microbatches=2", "parallel.shard_optimizer=true"}},
                    Case{"frozen", {"model.frozen=['roberta.embeddings.*', '*.layer.0.attention.*', '*.2.*.bias']"}},
                    Case{"no_clipping", {"optimizer.clip=0.0"}}),
    [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace interlock
