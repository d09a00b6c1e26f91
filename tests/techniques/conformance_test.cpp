// What every technique promises, of all that are registered: a new one is held to it without a line here.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <regex>

#include "tests/equivalence/pieces_of_a_run.h"

namespace interlock {
namespace {

std::string table(const std::string& name, std::string options = "") {
  std::replace(options.begin(), options.end(), '\n', ',');
  return "technique=[{name=\"" + name + "\"" + (options.empty() ? "" : ", " + options) + "}]";
}

Overrides operator+(Overrides one, const Overrides& more) {
  one.insert(one.end(), more.begin(), more.end());
  return one;
}

// sum(2) has every kind of message and pass; dropout shows draws that depend on the placement. Eight layers on four
// stages, so that some of a stage may be left out and some run.
const Overrides base{"model.layers=8", "learning.rule=sum", "learning.horizon=2"};

std::unique_ptr<const Technique> with_its_defaults(const std::string& name) {
  return Techniques::instance().create("technique", name, Config::from_text("").section("technique"));
}

class Conformance : public testing::TestWithParam<std::string> {
 protected:
  const Overrides needed = base + with_its_defaults(GetParam())->needs();
  Overrides with_defaults() const { return needed + Overrides{table(GetParam())}; }
  std::string digest(const Overrides& more = {}) const {
    return run_on_loopback(settings_for_test(with_defaults() + more)).digest;
  }
};

TEST_P(Conformance, IsBuiltFromItsDefaultsAndSaysWhatItIs) {
  const RunSettings settings = settings_for_test(with_defaults());
  ASSERT_EQ(settings.techniques.size(), 1U);
  const Technique& technique = *settings.techniques.front();
  EXPECT_EQ(technique.name(), GetParam());
  EXPECT_FALSE(technique.summary().empty());
  EXPECT_EQ(technique.summary().find('\n'), std::string::npos);
  EXPECT_NE(technique.paper().find_first_of("0123456789"), std::string::npos) << "no year";
  for (int64_t layer = 0; layer < 8; ++layer) {
    EXPECT_GE(technique.share_of_runs(layer, 8), 0);
    EXPECT_LE(technique.share_of_runs(layer, 8), 1);
  }
}

// Whatever option it asks for is explained in the config that explains all keys.
TEST_P(Conformance, ItsOptionsAreExplained) {
  std::ifstream file(CONFIGS "/tiny.toml");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const RunSettings settings = settings_for_test(with_defaults());
  for (const auto& [key, value] : settings.config.resolved_values()) {
    if (!key.starts_with("technique[0].")) continue;
    const std::string option = key.substr(key.find('.') + 1);
    EXPECT_TRUE(std::regex_search(text, std::regex("\n#?" + option + " = "))) << option;
  }
}

TEST_P(Conformance, NeutralOptionsChangeNoBit) {
  const std::string neutral = with_its_defaults(GetParam())->neutral();
  if (neutral.empty()) GTEST_SKIP() << GetParam() << " has no options that change nothing";
  const TestRun plain = run_on_loopback(settings_for_test(needed));
  const TestRun with = run_on_loopback(settings_for_test(needed + Overrides{table(GetParam(), neutral)}));
  EXPECT_EQ(with.digest, plain.digest);
  EXPECT_EQ(with.losses, plain.losses);
}

TEST_P(Conformance, LearnsTheSameWhereverItRuns) {
  const std::string four = digest({"parallel.ranks=4"});
  for (const char* schedule : {"gpipe", "steady", "zero_bubble", "auto"})
    EXPECT_EQ(digest({"parallel.ranks=4", std::string("parallel.schedule=") + schedule}), four) << schedule;
  EXPECT_EQ(digest({"parallel.ranks=1"}), four);
  EXPECT_EQ(digest({"parallel.ranks=2", "parallel.placement=interleaved"}), four);
  EXPECT_EQ(digest({"parallel.ranks=2", "parallel.schedule=zbv", "parallel.placement=v"}), four);
  for (const char* recompute : {"block", "stage"})
    EXPECT_EQ(digest({"parallel.ranks=2", std::string("run.recompute=") + recompute}), four) << recompute;
  EXPECT_EQ(digest({"parallel.ranks=4", "run.recompute=block", "parallel.schedule=zero_bubble"}), four);
}

TEST_P(Conformance, LearnsTheSameUnderGlobalLearningAndBetweenHalfBlocks) {
  const Overrides halves{"parallel.unit=half_block", "parallel.partition=[3,5,5,3]", "learning.rule=global"};
  const std::string four = digest(halves + Overrides{"parallel.ranks=4"});
  EXPECT_EQ(digest(halves + Overrides{"parallel.ranks=1", "run.recompute=stage"}), four);
  EXPECT_EQ(digest(halves + Overrides{"parallel.ranks=2", "parallel.schedule=zero_bubble"}), four);
}

TEST_P(Conformance, GoesOnInTheMiddle) {
  const Overrides overrides = with_defaults();
  const std::string folder = new_folder();
  go_on(folder, overrides + Overrides{"parallel.ranks=4"}, 3);
  EXPECT_EQ(go_on(folder, overrides + Overrides{"parallel.ranks=2", "run.recompute=block"}, 0).digest,
            digest_of_one_piece(overrides));
}

// Sums over replicas are added in another order: in float64 that stays below 1e-10 of values of order one.
TEST_P(Conformance, ReplicasOfTheSameBatchLearnNearlyTheSame) {
  const Overrides wide = with_defaults() + Overrides{"run.precision='float64'"};
  const TestRun one = run_on_loopback(settings_for_test(wide + Overrides{"parallel.microbatches=4"}));
  const TestRun two =
      run_on_loopback(settings_for_test(wide + Overrides{"parallel.replicas=2", "parallel.microbatches=2"}));
  for (const TensorEntry& tensor : one.weights->tensors())
    EXPECT_LE(largest_entry(minus(tensor_of(*two.weights, tensor.name), tensor_of(*one.weights, tensor.name))), 1e-10)
        << tensor.name;
  const Overrides shared{"parallel.replicas=2", "parallel.microbatches=2", "parallel.shard_optimizer=true"};
  EXPECT_EQ(run_on_loopback(settings_for_test(wide + shared)).digest, two.digest);
}

TEST_P(Conformance, EvaluationIsDeterministicAndChangesNothing) {
  const Overrides evaluated{"run.evaluate_every=1", "run.evaluate_sequences=7"};
  const TestRun plain = run_on_loopback(settings_for_test(with_defaults()));
  const TestRun here = run_on_loopback(settings_for_test(with_defaults() + evaluated));
  const TestRun there = run_on_loopback(settings_for_test(with_defaults() + evaluated + Overrides{"parallel.ranks=1"}));
  EXPECT_EQ(here.digest, plain.digest);
  ASSERT_TRUE(here.summary.validation_loss.has_value());
  EXPECT_EQ(here.summary.validation_loss, there.summary.validation_loss);
}

// Where state is shared out over replicas, sums go piece by piece: float64's rounding.
TEST_P(Conformance, TellsTheSameOfItselfWhereverItRuns) {
  const Overrides evaluated = with_defaults() + Overrides{"run.evaluate_every=2"};
  const TestRun here = run_on_loopback(settings_for_test(evaluated));
  for (const auto& [number, value] : here.summary.techniques) {
    EXPECT_TRUE(number.starts_with(GetParam() + ".")) << number;
    EXPECT_TRUE(std::isfinite(value)) << number;
  }
  for (const Overrides& other : {Overrides{"parallel.ranks=1", "run.recompute=block"},
                                 Overrides{"parallel.ranks=2", "parallel.schedule=gpipe"}}) {
    const TestRun there = run_on_loopback(settings_for_test(evaluated + other));
    EXPECT_EQ(there.summary.techniques, here.summary.techniques);
    for (size_t step = 0; step < here.metrics.size(); ++step)
      EXPECT_EQ(there.metrics[step].techniques, here.metrics[step].techniques) << step;
  }
  const Overrides two = evaluated + Overrides{"parallel.replicas=2", "parallel.microbatches=2"};
  const auto whole = run_on_loopback(settings_for_test(two)).summary.techniques,
             shared = run_on_loopback(settings_for_test(two + Overrides{"parallel.shard_optimizer=true"}))
                          .summary.techniques;
  ASSERT_EQ(whole.size(), here.summary.techniques.size());
  for (const auto& [number, value] : whole) EXPECT_NEAR(shared.at(number), value, 1e-12 * value) << number;
}

TEST_P(Conformance, ResumingWithoutItIsRefused) {
  const std::string folder = new_folder();
  go_on(folder, with_defaults(), 3);
  const auto checkpoint = Checkpoint::open(find_checkpoint(folder));
  const RunSettings settings = settings_in(folder, needed);
  const auto dataset = make_dataset(settings);
  dataset->open();
  try {
    check_changes(settings, *dataset, *checkpoint);
    FAIL() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    EXPECT_NE(std::string(error.what()).find("(" + GetParam() + ")"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("(none)"), std::string::npos) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Techniques, Conformance, testing::ValuesIn(Techniques::instance().names()),
                         [](const auto& one) { return one.param; });

}  // namespace
}  // namespace interlock
