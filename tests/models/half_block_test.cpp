// A model that may be cut inside its blocks: the same network, bit by bit and by name, whatever the cut.
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>

#include "models/frozen_model.h"
#include "tests/models/support.h"

namespace interlock::tests {
namespace {

const std::string tiny =
    "layers = 2\nwidth = 16\nheads = 2\nfeed_forward = 24\nvocabulary = 40\nmax_length = 12\ndropout = 0.3\n";
constexpr int64_t halves = 4;

const std::string pre_norm = "norm = \"pre\"\n";

std::unique_ptr<Model> of_blocks(const std::string& norm = "") {
  return make_model({.toml = tiny + norm, .precision = Precision::float64});
}
std::unique_ptr<Model> of_halves(const std::string& norm = "") {
  return make_model({.toml = tiny + norm, .precision = Precision::float64, .unit = Unit::half_block});
}

// The gradients of all parameters by name, and the output, of slices in one graph.
std::map<std::string, at::Tensor> pass(const std::vector<std::shared_ptr<Body>>& slices, const Batch& batch) {
  std::map<std::string, at::Tensor> found;
  std::vector<std::string> names;
  std::vector<at::Tensor> parameters;
  at::Tensor hidden = batch.inputs;
  for (const auto& slice : slices) {
    for (const auto& named : slice->named_parameters()) {
      names.push_back(named.key());
      parameters.push_back(named.value());
    }
    hidden = slice->forward(hidden, {&batch, 5, 17, true});
  }
  const auto gradients =
      torch::autograd::grad({hidden}, parameters, {some_numbers(hidden.sizes().vec(), hidden.scalar_type())});
  for (size_t i = 0; i < names.size(); ++i) found[names[i]] = gradients[i];
  found["output"] = hidden;
  return found;
}

class Cuts : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Norms, Cuts, testing::Values("", pre_norm));

TEST_P(Cuts, GiveTheWholeModelBitByBit) {
  const auto blocks = of_blocks(GetParam()), model = of_halves(GetParam());
  ASSERT_EQ(blocks->units(), 2);
  ASSERT_EQ(model->units(), halves);
  const Batch batch = token_batch(3, 12, 40, {12, 5, 9});
  const auto whole = pass({blocks->body(0, 2)}, batch);
  // Every set of cuts: bit i cuts behind unit i.
  for (unsigned cuts = 0; cuts < (1U << (halves - 1)); ++cuts) {
    std::vector<std::shared_ptr<Body>> slices;
    int64_t begin = 0;
    for (int64_t end = 1; end <= halves; ++end) {
      if (end < halves && (cuts >> (end - 1) & 1U) == 0) continue;
      slices.push_back(model->body(begin, end));
      begin = end;
    }
    const auto cut = pass(slices, batch);
    ASSERT_EQ(cut.size(), whole.size());
    for (const auto& [name, value] : whole) {
      ASSERT_TRUE(cut.contains(name)) << name;
      EXPECT_TRUE(bit_equal(cut.at(name), value)) << name << " at cuts " << cuts;
    }
  }
}

TEST_P(Cuts, KeepNamesOrderAndStartValuesOfParameters) {
  const auto whole = of_blocks(GetParam())->body(0, 2)->named_parameters();
  const auto model = of_halves(GetParam());
  std::vector<std::string> names;
  for (int64_t unit = 0; unit < halves; ++unit)
    for (const auto& named : model->body(unit, unit + 1)->named_parameters()) {
      names.push_back(named.key());
      ASSERT_TRUE(whole.contains(named.key())) << named.key();
      EXPECT_TRUE(bit_equal(named.value(), whole[named.key()])) << named.key();
    }
  EXPECT_EQ(names, whole.keys());
}

TEST(HalfBlock, HoldsItsOwnNormAlone) {
  const auto upper = of_halves()->body(3, 4)->named_parameters();
  EXPECT_TRUE(upper.contains("roberta.encoder.layer.1.output.LayerNorm.weight"));
  EXPECT_FALSE(upper.contains("roberta.encoder.layer.1.attention.output.LayerNorm.weight"));
  const auto pre = of_halves(pre_norm)->body(3, 4)->named_parameters();
  EXPECT_TRUE(pre.contains("roberta_prelayernorm.encoder.layer.1.intermediate.LayerNorm.weight"));
  EXPECT_FALSE(pre.contains("roberta_prelayernorm.encoder.layer.1.attention.LayerNorm.weight"));
}

// Heads by their place in the network: above whole blocks as if there were no halves, inside a block apart.
TEST(HalfBlock, HeadsAreNamedAndDrawByTheirPlace) {
  const auto blocks = of_blocks(), model = of_halves();
  const Batch batch = token_batch(3, 12, 40);
  const auto hidden = some_numbers({3, 12, 16}, at::kDouble);
  const auto loss = [&](const Model& of, const std::string& kind, int64_t units_below) {
    ForwardContext context{&batch, 5, 17, true};
    context.features = some_numbers({3, 12, 16}, at::kDouble).flip(0);
    return of.head(kind, units_below)->loss(hidden, context).sum;
  };
  for (const std::string& kind : model->head_kinds()) {
    const auto same = blocks->head(kind, 1)->named_parameters().keys();
    EXPECT_EQ(model->head(kind, 2)->named_parameters().keys(), same) << kind;
    EXPECT_TRUE(bit_equal(loss(*model, kind, 2), loss(*blocks, kind, 1))) << kind;
    for (const std::string& name : model->head(kind, 3)->named_parameters().keys())
      EXPECT_TRUE(name.starts_with("heads.1_attention.")) << name;
    for (const std::string& name : model->head(kind, 1)->named_parameters().keys())
      EXPECT_TRUE(name.starts_with("heads.0_attention.")) << name;
    for (const int64_t other : {1, 2, 4})
      EXPECT_FALSE(bit_equal(loss(*model, kind, 3), loss(*model, kind, other))) << kind << " " << other;
  }
  // With equal values a block inside a head still draws by its place.
  const auto inside = model->head("block", 3), above = model->head("block", 2);
  {
    const at::NoGradGuard guard;
    const auto values = above->parameters(), other = inside->parameters();
    for (size_t i = 0; i < values.size(); ++i) at::Tensor(other[i]).copy_(values[i]);
  }
  const ForwardContext training{&batch, 5, 17, true}, off{&batch, 5, 17, false};
  EXPECT_TRUE(bit_equal(inside->loss(hidden, off).sum, above->loss(hidden, off).sum));
  EXPECT_FALSE(bit_equal(inside->loss(hidden, training).sum, above->loss(hidden, training).sum));
}

TEST(HalfBlock, PatternsFreezeHalvesToo) {
  const auto model = freeze(of_halves(), {"*.layer.0.attention.*", "*.layer.1.output.*"});
  const auto costs = model->unit_costs(2);
  const auto plain = of_halves()->unit_costs(2);
  const int64_t table = plain[0].parameters - plain[2].parameters;
  EXPECT_EQ(costs[0].trained(), table);
  EXPECT_EQ(costs[1].frozen, 0);
  EXPECT_EQ(costs[2].frozen, 0);
  EXPECT_EQ(costs[3].frozen, 24 * 16 + 16 + 2 * 16);
  EXPECT_EQ(costs[2].weight_gradient_flops, plain[2].weight_gradient_flops);
  EXPECT_LT(costs[3].weight_gradient_flops, plain[3].weight_gradient_flops);
  EXPECT_TRUE(model->offers(Unit::half_block));
}

TEST(HalfBlock, IsNothingThatEveryModelHas) {
  const auto mlp = make_model({.name = "mlp", .toml = "layers = 3\n", .classes = 3, .features = 4});
  EXPECT_TRUE(mlp->offers(Unit::block));
  EXPECT_FALSE(mlp->offers(Unit::half_block));
  EXPECT_FALSE(freeze(make_model({.name = "mlp", .toml = "layers = 3\n", .classes = 3, .features = 4}), {"mlp.*"})
                   ->offers(Unit::half_block));
}

}  // namespace
}  // namespace interlock::tests
