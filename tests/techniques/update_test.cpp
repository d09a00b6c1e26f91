// Techniques that act on weights and updates, against what their formulas say of plain runs.

#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

#include "models/insertion.h"
#include "models/model.h"
#include "tests/equivalence/pieces_of_a_run.h"

namespace interlock {
namespace {

const Overrides exact{"run.precision='float64'", "learning.rule=sum", "optimizer.decay=constant",
                      "optimizer.warmup_steps=0"};

TestRun run_of(const Overrides& more) {
  Overrides all = exact;
  all.insert(all.end(), more.begin(), more.end());
  return run_on_loopback(settings_for_test(all));
}

// a_k = d a_(k-1) + (1 - d) w_k, beginning with the start values.
TEST(Ema, LeavesTheAverageOfWhatAPlainRunGoesThrough) {
  constexpr double decay = 0.6;
  std::vector<TestRun> plain;
  for (const char* steps : {"run.steps=0", "run.steps=1", "run.steps=2", "run.steps=3"})
    plain.push_back(run_of({steps}));
  const TestRun averaged = run_of({"run.steps=3", "run.evaluate_every=1", "technique=[{name='ema', decay=0.6}]"});
  double moved = 0;
  for (const TensorEntry& tensor : averaged.weights->tensors()) {
    at::Tensor average = tensor_of(*plain[0].weights, tensor.name);
    for (size_t step = 1; step < plain.size(); ++step)
      average = average * decay + tensor_of(*plain[step].weights, tensor.name) * (1 - decay);
    EXPECT_LE(largest_entry(minus(tensor_of(*averaged.weights, tensor.name), average)), 1e-13) << tensor.name;
    moved = std::max(moved, largest_entry(minus(average, tensor_of(*plain[3].weights, tensor.name))));
  }
  EXPECT_GT(moved, 1e-4);
}

// What is evaluated is what is left behind.
TEST(Ema, IsWhatIsEvaluated) {
  const TestRun averaged = run_of({"run.steps=3", "run.evaluate_every=3", "technique=[{name='ema', decay=0.6}]"}),
                plain = run_of({"run.steps=3", "run.evaluate_every=3"});
  EXPECT_NE(averaged.summary.validation_loss, plain.summary.validation_loss);
  EXPECT_EQ(averaged.losses, plain.losses) << "training goes on as without";
}

// Each replica keeps the averages of what it updates; the same is evaluated, kept in checkpoints and left behind.
TEST(Ema, IsSharedOutLikeOtherState) {
  const Overrides replicas{"parallel.replicas=2", "parallel.microbatches=2", "run.evaluate_every=2",
                           "technique=[{name='ema', decay=0.6}]"};
  Overrides shared = replicas;
  shared.emplace_back("parallel.shard_optimizer=true");
  const TestRun whole = run_of(replicas), parts = run_of(shared);
  EXPECT_EQ(parts.digest, whole.digest);
  EXPECT_EQ(parts.losses, whole.losses);
  EXPECT_EQ(parts.summary.validation_loss, whole.summary.validation_loss);
  // From a checkpoint of shared-out averages to a run that shares out nothing, and back.
  const std::string folder = new_folder();
  go_on(folder, shared, 3);
  go_on(folder, replicas, 5);
  EXPECT_EQ(go_on(folder, shared, 0).digest, digest_of_one_piece(replicas));
}

// One step of SGD: an update is the rate times the gradient, so the rates stand to each other as the updates.
TEST(LayerwiseLearningRate, IsOneFactorPerLayer) {
  const Overrides step{"run.steps=1", "optimizer.name=sgd", "optimizer.clip=0.0", "optimizer.weight_decay=0.0"};
  Overrides layered = step;
  layered.emplace_back("technique=[{name='layerwise_learning_rate', factor=0.5}]");
  const TestRun start = run_of({"run.steps=0"}), plain = run_of(step), slow = run_of(layered);
  for (const TensorEntry& tensor : start.weights->tensors()) {
    double factor = tensor.name.starts_with("roberta.embeddings.") ? std::pow(0.5, 5) : 1;
    if (const size_t at = tensor.name.find(".layer."); at != std::string::npos)
      factor = std::pow(0.5, 4 - (tensor.name[at + 7] - '0'));
    const at::Tensor before = tensor_of(*start.weights, tensor.name);
    const at::Tensor whole = minus(tensor_of(*plain.weights, tensor.name), before);
    const at::Tensor part = minus(tensor_of(*slow.weights, tensor.name), before);
    EXPECT_LE(largest_entry(minus(part, whole * factor)), 1e-15 + 1e-12 * largest_entry(whole)) << tensor.name;
  }
}

TEST(Freeze, KeepsNamesAndLayers) {
  const TestRun start = run_of({"run.steps=0"}),
                end = run_of({"technique=[{name='freeze', names=['*.embeddings.*', 'lm_head.*'], layers=[2]}]"});
  for (const TensorEntry& tensor : start.weights->tensors()) {
    const auto before = start.weights->bytes(tensor), after = end.weights->bytes(*end.weights->find(tensor.name));
    const bool frozen = tensor.name.find(".embeddings.") != std::string::npos || tensor.name.starts_with("lm_head.") ||
                        tensor.name.find(".layer.2.") != std::string::npos;
    EXPECT_EQ(std::ranges::equal(before, after), frozen) << tensor.name;
  }
}

// ---- Mixout

std::shared_ptr<Insertion> mixout(const std::string& options) {
  const auto list = read_techniques(Config::from_text("[[technique]]\nname = \"mixout\"\n" + options));
  const InsertionSite site{.name = "layer", .place = 3, .inputs = 40, .outputs = 30};
  return list.front()->insertion(site, {Precision::float64, 4});
}

// Begun with the weights `start`.
std::shared_ptr<Insertion> begun(const std::string& options, const at::Tensor& start) {
  const c10::NoGradGuard no_graph;
  const auto made = mixout(options);
  for (auto& named : made->named_parameters()) made->start(named.value(), named.key(), 1);
  made->begin(start);
  return made;
}

ForwardContext at_step(int64_t step) { return {.step = step}; }

TEST(Mixout, HasTheMeanAndVarianceOfTheFormula) {
  const at::Tensor start = at::randn({30, 40}, at::kDouble), weight = at::randn({30, 40}, at::kDouble);
  constexpr double p = 0.7;
  const auto insertion = begun("rate = 0.7", start);
  constexpr int64_t steps = 400;
  double mean = 0, variance = 0;  // over all elements, in units of W - U
  for (int64_t step = 1; step <= steps; ++step) {
    const at::Tensor off = (insertion->weight(weight, at_step(step)) - weight) / (weight - start);
    mean += off.mean().item<double>() / steps;
    variance += (off * off).mean().item<double>() / steps;
  }
  // 480,000 draws of deviation sqrt(p / (1 - p)); the square of one deviates by less than 3 of its mean.
  constexpr double draws = 480'000.0, expected = p / (1 - p);
  EXPECT_NEAR(mean, 0, 3 * std::sqrt(expected / draws));
  EXPECT_NEAR(variance, expected, 9 * expected / std::sqrt(draws));
}

TEST(Mixout, OfWhatItBeganWithIsThat) {
  const at::Tensor start = at::randn({30, 40}, at::kDouble);
  const auto insertion = begun("rate = 0.9", start);
  EXPECT_EQ(largest_entry(minus(insertion->weight(start, at_step(1)), start)), 0);
}

TEST(Mixout, OneDrawPerStepAndNoneInEvaluation) {
  const at::Tensor start = at::randn({30, 40}, at::kDouble), weight = at::randn({30, 40}, at::kDouble);
  const auto insertion = begun("rate = 0.5", start);
  const at::Tensor first = insertion->weight(weight, at_step(1));
  ForwardContext other = at_step(1);
  other.microbatch = 5;
  EXPECT_EQ(largest_entry(minus(insertion->weight(weight, other), first)), 0);
  EXPECT_GT(largest_entry(minus(insertion->weight(weight, at_step(2)), first)), 0.1);
  EXPECT_TRUE(insertion->weight(weight, {.training = false}).is_same(weight));
}

// d mixed / d weight = B / (1 - p), which is (mixed - U) / (W - U); the reference's code leaves out 1 / (1 - p).
TEST(Mixout, HasTheTrueDerivativeOrTheReferences) {
  const at::Tensor start = at::randn({30, 40}, at::kDouble), along = at::randn({30, 40}, at::kDouble);
  const at::Tensor weight = at::randn({30, 40}, at::kDouble).requires_grad_();
  for (const bool reference : {false, true}) {
    const auto insertion = begun(reference ? "rate = 0.6\nderivative = \"reference\"" : "rate = 0.6", start);
    const at::Tensor mixed = insertion->weight(weight, at_step(1));
    const at::Tensor factor = (mixed - start).detach() / (weight - start).detach() * (reference ? 0.4 : 1.0);
    const at::Tensor found = torch::autograd::grad({(mixed * along).sum()}, {weight}).front();
    EXPECT_LE(largest_entry(minus(found, factor * along)), 1e-12) << reference;
  }
}

TEST(Mixout, OfNeuronsDrawsPerInput) {
  const at::Tensor start = at::randn({30, 40}, at::kDouble), weight = at::randn({30, 40}, at::kDouble);
  const at::Tensor factor =
      (begun("rate = 0.5\nform = \"neuron\"", start)->weight(weight, at_step(1)) - start) / (weight - start);
  EXPECT_LE(largest_entry(minus(factor, factor[0].unsqueeze(0).expand({30, 40}))), 1e-9);
  const double mean = factor[0].mean().item<double>();
  EXPECT_GT(mean, 0.3);
  EXPECT_LT(mean, 1.7);
}

// What it pulls back to are the weights that the run started from, not those of a checkpoint it went on from.
TEST(Mixout, StaysWithTheStartAfterAResume) {
  const std::string folder = new_folder();
  const Overrides overrides{"learning.rule=sum", "technique=[{name='mixout', rate=0.5}]"};
  const TestRun start = run_on_loopback(settings_for_test({"learning.rule=sum", "run.steps=0"}));
  go_on(folder, overrides, 3);
  const auto checkpoint = WeightsSet::open(find_checkpoint(folder));
  const std::string site = "roberta.encoder.layer.2.intermediate.dense";
  const auto kept = checkpoint->bytes(*checkpoint->find(site + ".mixout.weight"));
  EXPECT_TRUE(std::ranges::equal(kept, start.weights->bytes(*start.weights->find(site + ".weight"))));
}

// One step of plain descent: how far a parameter goes beside a run without the technique is its factor.
double moved_share(const Overrides& run, const std::string& parameter) {
  Overrides plain = run, slowed = run;
  for (Overrides* one : {&plain, &slowed})
    one->insert(one->end(), {"run.steps=1", "optimizer.name=sgd", "optimizer.momentum=0", "optimizer.weight_decay=0",
                             "optimizer.clip=0", "learning.rule=global", "optimizer.learning_rate=0.1"});
  slowed.emplace_back("technique=[{name='layerwise_learning_rate', factor=0.5}]");
  Overrides start = plain;
  start.emplace_back("run.steps=0");
  const at::Tensor before = tensor_of(*run_of(start).weights, parameter);
  return largest_entry(minus(tensor_of(*run_of(slowed).weights, parameter), before)) /
         largest_entry(minus(tensor_of(*run_of(plain).weights, parameter), before));
}

// Blocks whose shortcut projects may not be left out, and are layers all the same.
TEST(LayerwiseLearningRate, CountsEveryBlockOfAResnet) {
  const Overrides resnet{"model.name=resnet", "model.blocks=[1,1,1]", "model.widths=[4,8,8]", "parallel.stages=1",
                         "parallel.ranks=1"};
  EXPECT_NEAR(moved_share(resnet, "fc.weight"), 1, 1e-9);
  EXPECT_NEAR(moved_share(resnet, "layer3.0.conv1.weight"), 0.5, 1e-9);
  EXPECT_NEAR(moved_share(resnet, "layer2.0.conv1.weight"), 0.25, 1e-9);
  EXPECT_NEAR(moved_share(resnet, "layer1.0.conv1.weight"), 0.125, 1e-9);
  EXPECT_NEAR(moved_share(resnet, "conv1.weight"), 0.0625, 1e-9);
}

// Where the ends stand at two stages, each has a copy of the matrix.
TEST(LayerwiseLearningRate, IsOneForTiedEnds) {
  const Overrides tied{"learning.rule=global", "model.tie_embeddings=true", "run.steps=3",
                       "technique=[{name='layerwise_learning_rate', factor=0.5}]"};
  Overrides one = tied;
  one.insert(one.end(), {"parallel.stages=1", "parallel.ranks=1"});
  // Sums over a step's gradients are ordered otherwise.
  EXPECT_NEAR(run_of(tied).summary.loss, run_of(one).summary.loss, 1e-9);
}

TEST(Freeze, LayersOfAModelThatHasNoneAreRefused) {
  try {
    run_of({"model.name=mlp", "model.layers=1", "parallel.stages=1", "parallel.ranks=1", "learning.rule=global",
            "technique=[{name='freeze', layers=[0]}]"});
    ADD_FAILURE() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("has none that can be named"));
  }
}

}  // namespace
}  // namespace interlock
