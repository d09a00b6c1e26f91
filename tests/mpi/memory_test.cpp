// What `interlock plan` says a rank will hold, beside what ranks of the same run held at their peak. Real processes,
// whose peak the kernel counts.

#include <nlohmann/json.hpp>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

class Memory : public SmallProject, public testing::WithParamInterface<Words> {
 protected:
  void SetUp() override {
    std::string text;
    for (int i = 0; i < 3000; ++i)
      text += "line " + std::to_string(i * i) + " of a corpus with enough for a few steps\n";
    for (const char* name : {"a", "b", "c", "d"}) write(std::string("corpus/") + name, name + text);
    // Large enough that the network is a quarter of a rank and more, beside the libraries.
    write("config.toml", R"([model]
layers = 4
width = 256
heads = 4
feed_forward = 1024
max_length = 128
[data]
paths = ["corpus"]
sequence_length = 128
held_out = 0.2
[learning]
head = "block"
[parallel]
stages = 2
microbatches = 4
microbatch_size = 8
[checkpoint]
every = 2
[run]
steps = 5
folder = "run"
evaluate_every = 0
)");
  }
};

TEST_P(Memory, OfThePlanIsThatOfTheRun) {
  Words plan{"plan", "config.toml", "--json"};
  for (const std::string& one : GetParam()) plan.insert(plan.end(), {"--set", one});
  const CommandResult planned = interlock(plan), trained = train(GetParam(), {"--json"});
  expect_done(planned);
  expect_done(trained);
  const auto ranks = last_object(planned)["memory"]["ranks"];
  const auto peaks = last_object(trained)["peak_rss_mib"];
  ASSERT_FALSE(ranks.empty());
  ASSERT_EQ(peaks.size() % ranks.size(), 0u);
  for (size_t i = 0; i < peaks.size(); ++i) {
    const double said = ranks[i % ranks.size()]["total"].get<double>() / (1 << 20), held = peaks[i].get<double>();
    // Ten per cent is what the plan promises.
    EXPECT_NEAR(said / held, 1.0, 0.10) << "rank " << i << ": planned " << said << " MiB, held " << held;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Runs, Memory,
    testing::Values(Words{"learning.rule=global", "model.tie_embeddings=true"}, Words{"run.precision=bf16"},
                    Words{"parallel.replicas=2", "parallel.microbatches=2", "parallel.shard_optimizer=true"},
                    Words{"learning.rule=local", "learning.change=[{at_step=3,rule='global'}]"}));

// Among the long tests.
INSTANTIATE_TEST_SUITE_P(
    MoreRuns, Memory,
    testing::Values(Words{}, Words{"run.recompute=block"}, Words{"parallel.replicas=2", "parallel.microbatches=2"},
                    Words{"learning.rule=global",
                          "model.frozen=['roberta.embeddings.*','roberta.encoder.layer.[01].*']"}));

}  // namespace
}  // namespace interlock
