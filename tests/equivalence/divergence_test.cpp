// Steps that are not finite: left out alike on all ranks, as a plain program leaves them out, or gone back from. A
// technique of this test spoils what a layer has made in chosen microbatches of chosen steps.

#include <ATen/ops/mul.h>
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <mutex>
#include <nlohmann/json.hpp>

#include "launch/run/perform.h"
#include "models/insertion.h"
#include "models/model.h"
#include "parallel/technique/technique.h"
#include "tests/equivalence/pieces_of_a_run.h"
#include "tests/support/reference.h"

namespace interlock {
namespace {

using testing::HasSubstr;

class Spoiler final : public Insertion {
 public:
  struct Options {
    std::set<int64_t> steps;
    int64_t microbatch = 0;
  };
  explicit Spoiler(Options options) : options_(std::move(options)) {}
  at::Tensor after(const at::Tensor&, const at::Tensor& y, const Norm&, const ForwardContext& context) override {
    const bool spoils =
        context.training && context.microbatch == options_.microbatch && options_.steps.contains(context.step);
    return spoils ? at::mul(y, std::numeric_limits<double>::quiet_NaN()) : y;
  }
  void start(at::Tensor&, const std::string&, uint64_t) const override {}
  Costs costs(int64_t) const override { return {}; }

 private:
  Options options_;
};

class Spoil final : public Technique {
 public:
  explicit Spoil(const Section& options) : layer_(options.integer("layer", 2)) {
    for (const std::string& step : options.texts("steps", {})) spoiler_.steps.insert(std::stoll(step));
    spoiler_.microbatch = options.integer("microbatch", 1);
  }
  std::string name() const override { return "spoil"; }
  std::string summary() const override { return "spoils steps"; }
  std::string paper() const override { return "none"; }
  std::shared_ptr<Insertion> insertion(const InsertionSite& site, const NetworkFacts&) const override {
    if (site.kind != InsertionSite::Kind::layer || site.layer != layer_) return nullptr;
    return std::make_shared<Spoiler>(spoiler_);
  }

 private:
  int64_t layer_;
  Spoiler::Options spoiler_;
};

const Registration<Technique, const Section&> registered("spoil", [](const Section& options) {
  return std::make_unique<Spoil>(options);
});

// Steps 2 and 4 of 5, in the second microbatch, above the second stage.
const std::string spoiled = "technique=[{name='spoil', steps=['2', '4'], layer=2, microbatch=1}]";

struct Case {
  std::string name;
  Overrides overrides;
};
void PrintTo(const Case& item, std::ostream* out) { *out << item.name; }
class LeftOut : public testing::TestWithParam<Case> {};

Overrides with(Overrides overrides, const Overrides& more) {
  overrides.insert(overrides.end(), more.begin(), more.end());
  return overrides;
}

TEST_P(LeftOut, EndsAsAPlainProgramThatLeavesThoseStepsOut) {
  const RunSettings settings = settings_for_test(
      with(GetParam().overrides, {"run.on_divergence=skip", spoiled, "run.steps=5", "run.precision='float64'"}));
  const TestRun run = run_on_loopback(settings);
  EXPECT_EQ(run.summary.divergences.left_out(), 2);
  EXPECT_EQ(run.losses.size(), 3u) << "steps that were left out have no loss";
  const ReferenceResult truth = train_reference(settings);
  // As in truth_test.cpp: sums are ordered differently, and five steps in double keep 1e-10.
  for (const auto& [name, value] : truth.parameters) {
    ASSERT_NE(run.weights->find(name), nullptr) << name;
    const double difference = largest_entry(minus(tensor_of(*run.weights, name), value));
    EXPECT_TRUE(difference <= 1e-10) << name << " differs by " << difference;
  }
}

// An evaluation looks at the weights as they are, whatever became of the step before it.
TEST(LeftOutStep, AnEvaluationBehindItIsTold) {
  const TestRun run = run_on_loopback(settings_for_test(
      {"run.on_divergence=skip", spoiled, "run.steps=4", "run.evaluate_every=2", "run.evaluate_sequences=4"}));
  std::map<int64_t, double> held_out;
  for (const StepMetrics& metrics : run.metrics)
    if (metrics.validation_loss) held_out[metrics.step] = *metrics.validation_loss;
  ASSERT_EQ(held_out.size(), 2U);  // after steps 2 and 4, which were left out
  EXPECT_EQ(held_out.at(4), run.summary.validation_loss);
  EXPECT_TRUE(std::isfinite(run.summary.loss));
}

// What nothing happens to keeps its bits.
TEST_P(LeftOut, LookingChangesNothing) {
  const auto digest = [&](const char* policy) {
    return run_on_loopback(settings_for_test(with(GetParam().overrides, {std::string("run.on_divergence=") + policy,
                                                                         "checkpoint.every=2", "run.steps=4"})))
        .digest;
  };
  const std::string plain = digest("stop");
  EXPECT_EQ(digest("skip"), plain);
  EXPECT_EQ(digest("rewind"), plain);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, LeftOut,
    testing::Values(
        Case{"local", {"learning.rule=local"}},
        Case{"sum_on_two_ranks", {"learning.rule=sum", "parallel.ranks=2", "parallel.placement=interleaved"}},
        Case{"global_tied", {"learning.rule=global", "model.tie_embeddings=true"}},
        Case{"momentum", {"learning.rule=furthest", "optimizer.name=sgd", "optimizer.momentum=0.9"}},
        Case{"one_rank", {"learning.rule=furthest", "parallel.ranks=1"}},
        Case{"shared_readout", {"learning.rule=local", "learning.head=shared_readout", "learning.refresh_every=2"}},
        Case{"replicas", {"learning.rule=sum", "parallel.replicas=2", "parallel.microbatches=2"}},
        Case{"replicas_share_the_state",
             {"learning.rule=sum", "parallel.replicas=2", "parallel.microbatches=2", "parallel.shard_optimizer=true"}}),
    [](const auto& one) { return one.param.name; });

std::string failure_of(const Overrides& overrides) {
  try {
    run_on_loopback(settings_for_test(overrides));
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::gave_up);
    return error.what();
  }
}

TEST(Divergence, StopIsTheDefault) {
  EXPECT_THAT(failure_of({"learning.rule=sum", spoiled, "run.steps=5"}), HasSubstr("is nan at step 2, microbatch 1"));
}

TEST(Divergence, MoreInARowThanAllowedEndTheRun) {
  const std::string row = "technique=[{name='spoil', steps=['2', '3', '5', '6', '7'], layer=2, microbatch=0}]";
  const Overrides base{"learning.rule=sum", "run.on_divergence=skip", row, "run.steps=7"};
  EXPECT_EQ(failure_of(with(base, {"run.divergence_limit=3"})), "");
  const std::string text = failure_of(with(base, {"run.divergence_limit=2"}));
  EXPECT_THAT(text, HasSubstr("the loss of stage 2 is nan at step 7, microbatch 0 of replica 0"));
  EXPECT_THAT(text, HasSubstr("2 steps before it were left out already (run.divergence_limit)"));
}

// The count goes with the checkpoint, so that a run in pieces ends as one in one piece.
TEST(Divergence, InPiecesIsTheSameToTheBit) {
  const Overrides overrides{"learning.rule=sum", "run.on_divergence=skip", spoiled};
  const std::string folder = new_folder();
  go_on(folder, overrides, 3);
  const TestRun resumed = go_on(folder, overrides, 0);
  EXPECT_EQ(resumed.summary.divergences.left_out(), 2);
  EXPECT_EQ(resumed.digest, digest_of_one_piece(overrides));
}

// ---- Going back. The numbers of the data decide here: samples of steps 4 and 5 are poison, wherever they come up.

std::mutex poison_mutex;
std::set<int64_t> poison;  // numbers of training samples

class Poisoned final : public Dataset {
 public:
  explicit Poisoned(const DatasetSettings& settings)
      : clean_(Datasets::instance().create("dataset", "spirals", settings)) {}
  void open() override { clean_->open(); }
  int64_t samples(Split split) const override { return clean_->samples(split); }
  Batch batch(Split split, std::span<const int64_t> numbers, BatchParts parts) const override {
    Batch made = clean_->batch(split, numbers, parts);
    const std::lock_guard lock(poison_mutex);
    for (size_t row = 0; row < numbers.size() && split == Split::training && parts.inputs; ++row)
      if (poison.contains(numbers[row])) made.inputs[static_cast<int64_t>(row)].fill_(std::nan(""));
    return made;
  }
  int64_t predicted(Split split, std::span<const int64_t> numbers) const override {
    return clean_->predicted(split, numbers);
  }
  int64_t classes() const override { return clean_->classes(); }
  int64_t features() const override { return clean_->features(); }
  int64_t sample_length() const override { return clean_->sample_length(); }
  Objective objective() const override { return clean_->objective(); }
  double unigram_baseline(int64_t count) const override { return clean_->unigram_baseline(count); }
  std::string describe(const Batch& batch, int64_t row) const override { return clean_->describe(batch, row); }

 private:
  std::unique_ptr<Dataset> clean_;
};

const Registration<Dataset, const DatasetSettings&> registered_data("poisoned", [](const DatasetSettings& settings) {
  return std::make_unique<Poisoned>(settings);
});

constexpr int64_t per_step = 12;  // 2 microbatches of 6 samples

Overrides rewinding(const std::string& folder) {
  return {"model.name=mlp",
          "data.name=poisoned",
          "data.samples=600",
          "learning.rule=sum",
          "parallel.ranks=4",
          "parallel.microbatches=2",
          "parallel.microbatch_size=6",
          "run.on_divergence=rewind",
          "run.divergence_limit=2",
          "run.steps=9",
          "checkpoint.every=2",
          "optimizer.decay=constant",
          "run.folder='" + folder + "'"};
}

RunResult perform_threads(const RunSettings& settings, const PerformRequest& request,
                          std::vector<RunIncident>* incidents = nullptr) {
  const std::shared_ptr<Dataset> dataset = make_dataset(settings);
  dataset->open();
  RunResult result;
  run_loopback(settings.parallel.processes(), [&](Transport& transport) {
    const RunResult mine = perform(settings, transport, dataset, request, {{}, {}, [&](const RunIncident& what) {
                                                                             if (incidents) incidents->push_back(what);
                                                                           }});
    if (transport.rank() == 0) result = mine;
  });
  return result;
}

std::vector<nlohmann::json> lines_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(Rewind, GoesOnBehindTheBadDataAsARunThatNeverSawIt) {
  poison = {4 * per_step + 7};  // in step 5, after the checkpoint of step 4
  const std::string folder = new_folder();
  std::vector<RunIncident> incidents;
  const RunResult result =
      perform_threads(settings_for_test(rewinding(folder)), {.folder = FolderUse::overwrite}, &incidents);
  EXPECT_EQ(result.rewinds, 1);
  EXPECT_EQ(result.steps, 9);

  // The same samples by hand: a clean run to step 4, and from there one whose data begins behind step 5.
  poison.clear();
  const std::string by_hand = new_folder();
  const RunSettings settings = settings_for_test(rewinding(by_hand));
  run_on_loopback(settings, {"", 4, true});
  const TestRun straight = run_on_loopback(settings, {.resume = find_checkpoint(by_hand), .next_sample = 5 * per_step});
  EXPECT_EQ(result.digest, straight.digest);

  ASSERT_EQ(incidents.size(), 1u);
  EXPECT_EQ(incidents[0].event, "rewound");
  EXPECT_EQ(incidents[0].step, 5);
  EXPECT_THAT(incidents[0].reason, HasSubstr("back to step 4, and on behind the data of step 5"));
  const auto metrics = lines_of(folder + "/metrics.jsonl");
  ASSERT_EQ(metrics.size(), 9u) << "each step stands there once";
  for (size_t i = 0; i < metrics.size(); ++i) EXPECT_EQ(metrics[i]["step"], i + 1);
  EXPECT_EQ(nlohmann::json::parse(to_json(result))["rewinds"], 1);
}

TEST(Rewind, PoisonWithoutEndIsGivenUp) {
  poison.clear();
  for (int64_t number = 2 * per_step; number < 40 * per_step; ++number) poison.insert(number);
  try {
    perform_threads(settings_for_test(rewinding(new_folder())), {.folder = FolderUse::overwrite});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::gave_up);
    EXPECT_THAT(error.what(), HasSubstr("gone back 2 times already"));
  }
  poison = {3};
  try {
    perform_threads(settings_for_test(rewinding(new_folder())), {.folder = FolderUse::overwrite});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::gave_up);
    EXPECT_THAT(error.what(), HasSubstr("no whole checkpoint to go back to"));
  }
  poison.clear();
}

TEST(Rewind, WithoutCheckpointsIsRefused) {
  try {
    settings_for_test({"run.on_divergence=rewind", "checkpoint.every=0"});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    EXPECT_THAT(error.what(), HasSubstr("on_divergence"));
  }
}

}  // namespace
}  // namespace interlock
