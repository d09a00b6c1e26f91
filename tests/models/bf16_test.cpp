// Mixed precision: what is kept in which type, how far gradients are from float32's, and that nothing depends on cuts.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>

#include "models/blocks/convolution.h"
#include "models/blocks/functions.h"
#include "tests/models/image_support.h"
#include "tests/models/support.h"

namespace interlock::tests {
namespace {

const std::string small = "layers = 2\nwidth = 64\nheads = 4\nfeed_forward = 128\nvocabulary = 100\nmax_length = 24\n";

struct Case {
  const char* dropout;
  std::vector<int64_t> lengths;
};

class Bf16 : public testing::TestWithParam<Case> {
 protected:
  std::unique_ptr<Model> model(Precision precision) const {
    return make_model({.toml = small + GetParam().dropout, .precision = precision});
  }
  Batch batch() const { return token_batch(4, 24, 100, GetParam().lengths); }
};

struct Pass {
  double loss = 0;
  std::map<std::string, at::Tensor> gradients;
};

// Gradients of a head's loss above the whole body, by name.
Pass pass(Body& body, Head& head, const Batch& batch) {
  const ForwardContext context{&batch, 1, 4, true};
  std::vector<std::string> names;
  std::vector<at::Tensor> values;
  for (const torch::nn::Module* module :
       {static_cast<torch::nn::Module*>(&body), static_cast<torch::nn::Module*>(&head)})
    for (const auto& entry : module->named_parameters()) {
      names.push_back(entry.key());
      values.push_back(entry.value());
    }
  const at::Tensor sum = head.loss(body.forward(batch.inputs, context), context).sum;
  EXPECT_NE(sum.scalar_type(), at::kBFloat16);
  const auto gradients = torch::autograd::grad({sum}, values);
  Pass result{sum.item<double>(), {}};
  for (size_t i = 0; i < names.size(); ++i) result.gradients[names[i]] = gradients[i];
  return result;
}

double norm_of(const at::Tensor& tensor) { return tensor.to(at::kDouble).norm().item<double>(); }

TEST_P(Bf16, GradientsAreThoseOfFloat32ButForTheRoundingOfProducts) {
  const auto exact = model(Precision::float32), rounded = model(Precision::bf16);
  const Batch all = batch();
  for (const std::string kind : {"", "linear", "block", "shared_readout"}) {
    const auto run = [&](const Model& of) {
      const auto head = kind.empty() ? of.readout() : of.head(kind, 2);
      return pass(*of.body(0, 2), *head, all);
    };
    const Pass truth = run(*exact), ours = run(*rounded);
    // A number in bfloat16 is right to 2^-9. Of every predicted row some 20 roundings lie between tokens and loss: as
    // independent errors sqrt(20) * 2^-9 < 2^-6 of a score, which is near 0.1 with fresh weights.
    EXPECT_NEAR(ours.loss, truth.loss, 0x1p-6 * 0.1 * static_cast<double>(all.predicted)) << kind;
    ASSERT_EQ(ours.gradients.size(), truth.gradients.size());
    for (const auto& [name, expected] : truth.gradients) {
      const at::Tensor& got = ours.gradients.at(name);
      EXPECT_EQ(got.scalar_type(), at::kFloat) << name;
      // Some 40 roundings there and back, each 2^-9 of what it rounds and independent: sqrt(40) * 2^-9 = 2^-6.3 of a
      // tensor's norm. The true gradient of a key's bias is zero, what is seen of it is rounding: its bound is the
      // query bias's.
      const bool zero = name.ends_with("key.bias");
      std::string other = name;
      if (zero) other.replace(name.size() - 8, 3, "query");
      EXPECT_LT(norm_of(got - expected), 0x1p-5 * norm_of(truth.gradients.at(other))) << kind << " " << name;
    }
  }
}

TEST_P(Bf16, ParametersStayWideAndTheHiddenStateIsNarrow) {
  const auto of = model(Precision::bf16);
  const auto body = of->body(0, 2);
  for (const auto& parameter : body->parameters()) EXPECT_EQ(parameter.scalar_type(), at::kFloat);
  const Batch all = batch();
  const ForwardContext context{&all, 1, 0, true};
  at::Tensor hidden = all.inputs;
  for (int64_t i = 0; i < body->segments(); ++i) {
    hidden = body->forward_segment(i, hidden, context);
    EXPECT_EQ(hidden.scalar_type(), at::kBFloat16);
  }
  EXPECT_EQ(of->boundary(1).type, at::kBFloat16);
  EXPECT_EQ(model(Precision::float32)->boundary(1).type, at::kFloat);
  EXPECT_EQ(model(Precision::float64)->boundary(1).type, at::kDouble);
}

// Start values are drawn before anything is rounded.
TEST_P(Bf16, StartValuesAreThoseOfFloat32) {
  const auto ours = model(Precision::bf16)->body(0, 2), theirs = model(Precision::float32)->body(0, 2);
  const auto values = ours->named_parameters();
  for (const auto& entry : theirs->named_parameters()) EXPECT_TRUE(bit_equal(entry.value(), values[entry.key()]));
}

INSTANTIATE_TEST_SUITE_P(Inputs, Bf16,
                         testing::Values(Case{"dropout = 0\n", {}}, Case{"dropout = 0\n", {24, 7, 19, 24}},
                                         Case{"dropout = 0.1\n", {24, 7, 19, 24}}));

TEST(Bf16Mlp, GradientsAreThoseOfFloat32ButForTheRoundingOfProducts) {
  const Given given{.name = "mlp", .toml = "layers = 3\nwidth = 64\ndropout = 0.1\n", .classes = 3, .features = 4};
  Given narrow = given;
  narrow.precision = Precision::bf16;
  Batch batch;
  batch.inputs = some_numbers({64, 4}, at::kFloat);
  batch.targets = batch.inputs.narrow(1, 0, 3).argmax(1);
  for (int64_t i = 0; i < 64; ++i) batch.sample_ids.push_back(i);
  for (const std::string kind : {"", "linear", "shared_readout"}) {
    const auto run = [&](const Given& which) {
      const auto of = make_model(which);
      return pass(*of->body(0, 3), kind.empty() ? *of->readout() : *of->head(kind, 3), batch);
    };
    const Pass truth = run(given), ours = run(narrow);
    for (const auto& [name, expected] : truth.gradients) {
      // Some 15 roundings are a small part. Where a ReLU's input lies within rounding of zero, it opens or closes: of
      // inputs of size 1 right to some 2^-8 that are 2^-7 of each layer's, 1 in 40 over three layers, and they are
      // wrong altogether: sqrt(1 / 40) = 2^-2.7 of the norm at most.
      EXPECT_LT(norm_of(ours.gradients.at(name) - expected), 0x1p-3 * norm_of(expected)) << kind << " " << name;
    }
  }
}

TEST(Bf16Resnet, GradientsAreThoseOfFloat32ButForTheRoundingOfProducts) {
  const Batch batch = images_by_formula(0, 32, 3 * 16 * 16);
  const Config config = Config::from_text("[model]\nblocks = [1, 1]\nwidths = [16, 32]\n");
  const auto of = [&](Precision precision) {
    return Models::instance().create("model", "resnet",
                                     {.model = config.section("model"),
                                      .classes = 10,
                                      .features = 3 * 16 * 16,
                                      .precision = precision,
                                      .objective = Objective::classification,
                                      .image = {3, 16, 16}});
  };
  const auto exact = of(Precision::float32), rounded = of(Precision::bf16);
  for (const std::string kind : {"", "linear", "paper", "dgl"}) {
    const auto run = [&](const Model& model) {
      return pass(*model.body(0, 2), kind.empty() ? *model.readout() : *model.head(kind, 2), batch);
    };
    const Pass truth = run(*exact), ours = run(*rounded);
    EXPECT_NEAR(ours.loss, truth.loss, 0x1p-6 * truth.loss) << kind;
    for (const auto& [name, expected] : truth.gradients) {
      // A norm behind it takes a bias away again: its true gradient is zero.
      const bool zero = name.ends_with(".bias") && norm_of(expected) < 1e-4;
      // As of the MLP, over up to twelve ReLUs, each behind a norm that makes its inputs of size 1: 2^-7 of those of
      // each are within rounding of zero, sqrt(12 * 2^-7) = 0.3 of the norm. A wrong gradient is off by all of it.
      if (!zero) {
        EXPECT_LT(norm_of(ours.gradients.at(name) - expected), 0.5 * norm_of(expected)) << kind << " " << name;
      }
      EXPECT_EQ(ours.gradients.at(name).scalar_type(), at::kFloat) << name;
    }
  }
}

// Of the same rounded numbers, in float64: one rounding of each number, and a sum's of a thousand products in float.
TEST(Bf16Convolution, IsThatOfWideNumbersRoundedOnce) {
  for (const ConvolutionShape& shape : {ConvolutionShape{8, 16, 3, 1, 1, true}, {8, 16, 3, 2, 1}, {16, 8, 1, 1, 0}}) {
    Convolution narrow(shape, at::kFloat), wide(shape, at::kDouble);
    {
      const at::NoGradGuard no_graph;
      for (auto& named : narrow.named_parameters()) {
        named.value().copy_(some_numbers(named.value().sizes().vec(), at::kFloat).to(at::kBFloat16));
        wide.named_parameters()[named.key()].copy_(named.value());
      }
    }
    const at::Tensor x = some_numbers({4, shape.inputs, 9, 9}, at::kFloat).to(at::kBFloat16).requires_grad_();
    const at::Tensor same = x.detach().to(at::kDouble).requires_grad_();
    const ForwardContext context{};
    const at::Tensor y = narrow.forward(x, context), truth = wide.forward(same, context);
    ASSERT_EQ(y.scalar_type(), at::kBFloat16);
    const at::Tensor back = some_numbers(y.sizes().vec(), at::kFloat).to(at::kBFloat16);
    std::vector<at::Tensor> ours{x}, theirs{same};
    for (auto& named : narrow.named_parameters()) ours.push_back(named.value());
    for (auto& named : wide.named_parameters()) theirs.push_back(named.value());
    std::vector<at::Tensor> found = torch::autograd::grad({y}, ours, {back});
    std::vector<at::Tensor> expected = torch::autograd::grad({truth}, theirs, {back.to(at::kDouble)});
    found.push_back(y), expected.push_back(truth);
    for (size_t i = 0; i < found.size(); ++i)
      EXPECT_LT(norm_of(found[i] - expected[i]), 0x1p-8 * norm_of(expected[i])) << i;
  }
}

TEST(Bf16CrossEntropy, RoundsTheGradientOnceAndSumsInFloat) {
  // 300 rows of 1000: several cache blocks, the last one short.
  const auto logits = (some_numbers({300, 1000}, at::kFloat) * 20).to(at::kBFloat16).requires_grad_();
  const Batch batch = token_batch(1, 300, 1000);
  const auto wide = logits.detach().to(at::kFloat).requires_grad_();
  const auto own = logits.clone(), wide_own = wide.clone();
  const auto ours = cross_entropy_sum(own, batch.inputs[0]), theirs = cross_entropy_sum(wide_own, batch.inputs[0]);
  EXPECT_EQ(ours.scalar_type(), at::kFloat);
  EXPECT_TRUE(bit_equal(ours, theirs));
  EXPECT_TRUE(bit_equal(torch::autograd::grad({ours}, {own})[0],
                        torch::autograd::grad({theirs}, {wide_own})[0].to(at::kBFloat16)));
}

TEST(Bf16Readouts, NothingPredictedGivesZeroLossAndZeroGradients) {
  const auto of = make_model({.toml = small, .precision = Precision::bf16});
  Batch batch = token_batch(2, 24, 100);
  batch.targets.fill_(ignored_target);
  for (const std::string kind : {"", "linear", "block", "shared_readout"}) {
    const auto head = kind.empty() ? of->readout() : of->head(kind, 2);
    const Pass none = pass(*of->body(0, 2), *head, batch);
    EXPECT_EQ(none.loss, 0) << kind;
    for (const auto& [name, gradient] : none.gradients) EXPECT_EQ(largest(listed(gradient)), 0) << kind << " " << name;
  }
}

}  // namespace
}  // namespace interlock::tests
