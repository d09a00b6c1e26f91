// Readouts and heads for one target per sample, against their formulas written out.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "tests/models/support.h"

namespace interlock::tests {
namespace {

const std::string tiny = "layers = 2\nwidth = 16\nheads = 2\nfeed_forward = 24\nvocabulary = 40\nmax_length = 12\n";

std::unique_ptr<Model> classifier(const std::string& more = "", int64_t classes = 3) {
  return make_model({.toml = tiny + more,
                     .classes = classes,
                     .precision = Precision::float64,
                     .objective = classes == 1 ? Objective::regression : Objective::classification});
}

Batch batch_of(const std::vector<double>& targets, bool scores) {
  Batch batch = token_batch(static_cast<int64_t>(targets.size()), 12, 40, {12, 5, 9});
  batch.targets = at::tensor(targets).to(scores ? at::kFloat : at::kLong);
  batch.predicted = static_cast<int64_t>(targets.size());
  return batch;
}

// Random weights in place of biases of 0 and norms of 1, which would hide mistakes.
void shake(torch::nn::Module& module) {
  const at::NoGradGuard guard;
  for (auto& value : module.parameters()) value.add_(some_numbers(value.sizes().vec(), at::kDouble), 0.3);
}

at::Tensor named(const torch::nn::Module& module, const std::string& name) { return module.named_parameters()[name]; }

// RobertaClassificationHead of transformers, without dropout.
at::Tensor by_hand(const Head& head, const at::Tensor& hidden) {
  const at::Tensor first = hidden.select(1, 0);
  return at::linear(
      at::tanh(at::linear(first, named(head, "classifier.dense.weight"), named(head, "classifier.dense.bias"))),
      named(head, "classifier.out_proj.weight"), named(head, "classifier.out_proj.bias"));
}

TEST(Classifier, ReadsTheFirstTokenAsTransformersDo) {
  const auto model = classifier("dropout = 0\n");
  const auto head = model->readout();
  shake(*head);
  EXPECT_THAT(head->named_parameters().keys(),
              testing::UnorderedElementsAre("classifier.dense.weight", "classifier.dense.bias",
                                            "classifier.out_proj.weight", "classifier.out_proj.bias"));
  const Batch batch = batch_of({2, 0, 1}, false);
  const at::Tensor hidden = some_numbers({3, 12, 16}, at::kDouble).requires_grad_();
  const ForwardContext context{&batch, 5, 17, true};
  const at::Tensor expected = by_hand(*head, hidden);
  EXPECT_LT(largest_difference(listed(head->scores(hidden, context)), listed(expected)), 1e-12);
  const LossSum loss = head->loss(hidden, context);
  const at::Tensor truth = at::cross_entropy_loss(expected, batch.targets, {}, at::Reduction::Sum);
  EXPECT_EQ(loss.count, 3);
  EXPECT_FALSE(loss.guesses.defined());  // of training nobody asks
  EXPECT_NEAR(loss.sum.item<double>(), truth.item<double>(), 1e-12);
  std::vector<at::Tensor> wanted = head->parameters();
  wanted.push_back(hidden);
  const auto ours = torch::autograd::grad({loss.sum}, wanted), theirs = torch::autograd::grad({truth}, wanted);
  for (size_t i = 0; i < wanted.size(); ++i) EXPECT_LT(largest_difference(listed(ours[i]), listed(theirs[i])), 1e-12);
}

TEST(Classifier, GuessesAreTheLikeliestClassOutsideTraining) {
  const auto model = classifier();
  const auto head = model->readout();
  shake(*head);
  const Batch batch = batch_of({2, 0, 1}, false);
  const at::Tensor hidden = some_numbers({3, 12, 16}, at::kDouble);
  const LossSum loss = head->loss(hidden, {&batch, 5, 17, false});
  const std::vector<double> scores = listed(by_hand(*head, hidden)), guesses = listed(loss.guesses);
  for (int64_t row = 0; row < 3; ++row) {
    const auto first = scores.begin() + 3 * row;
    const double truth = std::vector<double>({2, 0, 1})[static_cast<size_t>(row)];
    EXPECT_EQ(guesses[static_cast<size_t>(3 * row)], std::max_element(first, first + 3) - first);
    EXPECT_EQ(guesses[static_cast<size_t>(3 * row + 1)], truth);
    const double of_truth = *(first + static_cast<int>(truth));
    EXPECT_EQ(guesses[static_cast<size_t>(3 * row + 2)],
              std::count_if(first, first + 3, [&](double score) { return score > of_truth; }));
  }
}

TEST(Classifier, ScoresAreLearnedByTheirSquaredDistance) {
  const auto model = classifier("dropout = 0\n", 1);
  const auto head = model->readout();
  shake(*head);
  const Batch batch = batch_of({0.5, -100, 4}, true);  // -100 is a score, not a place without a target
  const at::Tensor hidden = some_numbers({3, 12, 16}, at::kDouble).requires_grad_();
  const at::Tensor made = by_hand(*head, hidden).squeeze(1);
  const at::Tensor truth = (made - batch.targets.to(at::kDouble)).square().sum();
  const LossSum loss = head->loss(hidden, {&batch, 5, 17, false});
  EXPECT_EQ(loss.count, 3);
  EXPECT_NEAR(loss.sum.item<double>(), truth.item<double>(), 1e-9);  // of some ten thousand
  EXPECT_LT(largest_difference(listed(loss.guesses.select(1, 0)), listed(made)), 1e-12);
  const at::Tensor ours = torch::autograd::grad({loss.sum}, {hidden})[0],
                   theirs = torch::autograd::grad({truth}, {hidden})[0];
  EXPECT_LT(largest_difference(listed(ours), listed(theirs)), 1e-10);
}

TEST(Classifier, DropoutDependsOnTheSampleAndNotOnItsNeighbours) {
  const auto model = classifier("dropout = 0.5\n");
  const auto head = model->readout();
  Batch all = batch_of({2, 0, 1}, false), one = batch_of({0}, false);
  one.sample_ids = {all.sample_ids[1]};
  const at::Tensor hidden = some_numbers({3, 12, 16}, at::kDouble);
  const auto scores = [&](const Batch& batch, const at::Tensor& of, int64_t step, bool training) {
    return head->scores(of, {&batch, 5, step, training});
  };
  // A product of one row is summed in another order than one of three.
  EXPECT_LT(largest_difference(listed(scores(all, hidden, 17, true).narrow(0, 1, 1)),
                               listed(scores(one, hidden.narrow(0, 1, 1), 17, true))),
            1e-12);
  EXPECT_FALSE(bit_equal(scores(all, hidden, 17, true), scores(all, hidden, 18, true)));
  EXPECT_TRUE(bit_equal(scores(all, hidden, 17, false), scores(all, hidden, 18, false)));
}

TEST(Classifier, LocalHeadsScoreClassesToo) {
  const auto model = classifier();
  EXPECT_EQ(model->classes(), 3);
  EXPECT_EQ(model->vocabulary(), 40);
  const Batch batch = batch_of({2, 0, 1}, false);
  const at::Tensor hidden = some_numbers({3, 12, 16}, at::kDouble);
  for (const std::string kind : {"linear", "block", "shared_readout"})
    EXPECT_EQ(model->head(kind, 1)->scores(hidden, {&batch, 5, 17, true}).sizes(), (std::vector<int64_t>{3, 3}))
        << kind;
  EXPECT_FALSE(model->tie().has_value());
  EXPECT_TRUE(model->aliases().empty());
  EXPECT_FALSE(classifier("tie_embeddings = true\n")->tie().has_value());
}

// LoPT's decoder written out; padding does not count, and each sample as much as another.
TEST(Reconstruction, IsTenTimesTheSquaredDistanceToTheFeatures) {
  const auto model = make_model({.toml = tiny, .precision = Precision::float64});
  const auto head = model->head("reconstruction", 1);
  const auto start = head->named_parameters();
  EXPECT_THAT(start.keys(),
              testing::UnorderedElementsAre("heads.1.norm.weight", "heads.1.norm.bias", "heads.1.down.weight",
                                            "heads.1.down.bias", "heads.1.up.weight", "heads.1.up.bias"));
  EXPECT_EQ(start["heads.1.down.weight"].sizes(), (std::vector<int64_t>{4, 16}));
  // Xavier with gain 0.1: deviation 0.1 sqrt(2 / 20) = 0.032; of 64 draws the largest lies below five deviations.
  EXPECT_LT(largest(listed(start["heads.1.down.weight"])), 0.16);
  EXPECT_GT(largest(listed(start["heads.1.down.weight"])), 0.032);
  shake(*head);
  Batch batch = token_batch(3, 12, 40, {12, 5, 9});
  ForwardContext context{&batch, 5, 17, true};
  context.features = some_numbers({3, 12, 16}, at::kDouble).flip(1);
  const at::Tensor hidden = some_numbers({3, 12, 16}, at::kDouble);
  const auto of = [&](const std::string& name) { return named(*head, "heads.1." + name); };
  const at::Tensor normed = at::layer_norm(hidden, {16}, of("norm.weight"), of("norm.bias"), 1e-5);
  const at::Tensor made =
      at::linear(at::gelu(at::linear(normed, of("down.weight"), of("down.bias"))), of("up.weight"), of("up.bias"));
  double sum = 0;
  for (int64_t sample = 0; sample < 3; ++sample) {
    const int64_t length = std::vector<int64_t>{12, 5, 9}[static_cast<size_t>(sample)];
    sum += (made[sample] - context.features[sample]).narrow(0, 0, length).square().mean().item<double>();
  }
  const LossSum loss = head->loss(hidden, context);
  EXPECT_EQ(loss.count, batch.predicted);
  EXPECT_NEAR(loss.sum.item<double>(), 10 * sum / 3 * static_cast<double>(batch.predicted), 1e-10);
}

}  // namespace
}  // namespace interlock::tests
