// Estimated costs against what really happens: parameters counted, bytes alive after a forward pass counted by an
// allocator.
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <set>

#include "models/frozen_model.h"
#include "models/parameter_access.h"
#include "tests/models/cost_cases.h"
#include "tests/models/counting_allocator.h"

namespace interlock::tests {
namespace {

const std::string small = "layers = 3\nwidth = 64\nheads = 4\nfeed_forward = 128\nvocabulary = 100\nmax_length = 32\n";

int64_t numbers(const torch::nn::Module& module) {
  int64_t sum = 0;
  for (const auto& parameter : module.parameters()) sum += parameter.numel();
  return sum;
}

TEST(Costs, CountEveryParameter) {
  const std::string pre = small + "norm = \"pre\"\n";
  for (const Given& given : {Given{.toml = small}, Given{.toml = small, .unit = Unit::half_block}, Given{.toml = pre},
                             of(gpt + small), Given{.toml = pre, .unit = Unit::half_block},
                             Given{.toml = pre, .classes = 5, .objective = Objective::classification},
                             Given{.toml = small, .classes = 5, .objective = Objective::classification},
                             Given{.toml = small, .objective = Objective::regression},
                             Given{.name = "mlp", .toml = "layers = 3\nwidth = 7\n", .classes = 5, .features = 9}}) {
    const auto model = make_model(given);
    const auto units = model->unit_costs(2);
    for (int64_t i = 0; i < model->units(); ++i) {
      EXPECT_EQ(units[static_cast<size_t>(i)].parameters, numbers(*model->body(i, i + 1))) << given.name << " " << i;
    }
    EXPECT_EQ(model->readout_costs(2).parameters, numbers(*model->readout())) << given.name;
    for (const std::string& kind : model->head_kinds()) {
      const auto head = model->head(kind, 1);
      const Costs costs = model->head_costs(kind, 2);
      EXPECT_EQ(costs.parameters, numbers(*head)) << given.name << " " << kind;
      int64_t copied = 0;
      for (const auto& [name, copy] : head->readout_copies()) copied += copy.numel();
      EXPECT_EQ(costs.copied, copied) << given.name << " " << kind;
    }
  }
}

// But for what is free again in between, which is measured below.
TEST(Costs, OfHalvesAddUpToThoseOfBlocks) {
  for (const char* dropout :
       {"dropout = 0\n", "dropout = 0.1\n", "dropout = 0.1\nnorm = \"pre\"\n", "#gpt\ndropout = 0.1\n"}) {
    for (const Precision precision : {Precision::float32, Precision::bf16}) {
      const Given given = of(small + dropout, precision);
      Given halved = given;
      halved.unit = Unit::half_block;
      const auto blocks = make_model(given)->unit_costs(3), halves = make_model(halved)->unit_costs(3);
      ASSERT_EQ(halves.size(), 2 * blocks.size());
      for (size_t i = 0; i < blocks.size(); ++i) {
        Costs sum = halves[2 * i];
        sum += halves[2 * i + 1];
        EXPECT_EQ(sum.forward_flops, blocks[i].forward_flops);
        EXPECT_EQ(sum.input_gradient_flops, blocks[i].input_gradient_flops);
        EXPECT_EQ(sum.weight_gradient_flops, blocks[i].weight_gradient_flops);
        EXPECT_EQ(sum.product_copy_bytes, blocks[i].product_copy_bytes);
        EXPECT_EQ(sum.activation_bytes, blocks[i].activation_bytes);
        EXPECT_EQ(sum.linear_input_bytes, blocks[i].linear_input_bytes);
        EXPECT_EQ(sum.recorded_bytes, blocks[i].recorded_bytes);
      }
    }
  }
}

class Activations : public testing::TestWithParam<std::tuple<Precision, const char*>> {};

TEST_P(Activations, OfBlocksAreWhatStaysAliveAfterForward) {
  const auto& [precision, dropout] = GetParam();
  const auto model = make_model(of(small + dropout, precision));
  const Batch batch = token_batch(4, 32, 100);
  const ForwardContext context{&batch, 1, 0, true};
  const auto body = model->body(0, 3);
  const int64_t before = CountingAllocator::instance().live();
  const auto out = body->forward(batch.inputs, context);
  const int64_t alive = CountingAllocator::instance().live() - before;
  int64_t expected = static_cast<int64_t>(out.nbytes());  // the output is saved by who reads it
  for (const Costs& costs : model->unit_costs(4)) expected += costs.activation_bytes;
  // Not counted: scalars, and the sum of position and type embeddings ([length, width]). Under 3 % at this size.
  EXPECT_NEAR(static_cast<double>(alive), static_cast<double>(expected), 0.03 * static_cast<double>(expected));
}

TEST_P(Activations, OfHalvesAreWhatStaysAliveAfterForward) {
  const auto& [precision, dropout] = GetParam();
  const auto model = make_model(cut_between(of(small + dropout, precision), Unit::half_block));
  const Batch batch = token_batch(4, 32, 100);
  const ForwardContext context{&batch, 1, 0, true};
  const auto hidden = some_numbers({4, 32, 64}, at::kFloat).to(model->boundary(1).type).requires_grad_();
  for (const int64_t unit : {2, 3}) {
    const auto body = model->body(unit, unit + 1);
    const int64_t before = CountingAllocator::instance().live();
    const auto out = body->forward(hidden, context);
    // The input was there before, the output is saved by who reads it.
    const auto alive =
        static_cast<double>(CountingAllocator::instance().live() - before - out.nbytes() + hidden.nbytes());
    const auto expected = static_cast<double>(model->unit_costs(4)[static_cast<size_t>(unit)].activation_bytes);
    EXPECT_NEAR(alive, expected, 0.001 * expected) << unit;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Dropout, Activations,
    testing::Combine(testing::Values(Precision::float32, Precision::bf16, Precision::float64),
                     testing::Values("dropout = 0\n", "dropout = 0.1\n", "dropout = 0.1\nattention_dropout = 0\n",
                                     "dropout = 0\nattention_dropout = 0.1\n", "dropout = 0\nnorm = \"pre\"\n",
                                     "norm = \"pre\"\ndropout = 0.1\n", "#gpt\ndropout = 0\n",
                                     "#gpt\ndropout = 0.1\n")));

TEST_P(Activations, OfBlocksThatDoNotTrainAreWithoutInputsOfLinearLayers) {
  const auto& [precision, dropout] = GetParam();
  const auto model = freeze(make_model(of(small + dropout, precision)),
                            {std::string(dropout).find(gpt) != std::string::npos ? "transformer.*" : "roberta*"});
  const Batch batch = token_batch(4, 32, 100);
  const ForwardContext context{&batch, 1, 0, true};
  const auto body = model->body(1, 2);
  const auto hidden = some_numbers({4, 32, 64}, at::kFloat).to(model->boundary(1).type).requires_grad_();
  const int64_t before = CountingAllocator::instance().live();
  const auto out = body->forward(hidden, context);
  const auto alive =
      static_cast<double>(CountingAllocator::instance().live() - before - out.nbytes() + hidden.nbytes());
  const auto expected = static_cast<double>(model->unit_costs(4)[1].activation_bytes);
  // Attention that does not drop saves its result whether the layer above it needs it or not.
  const std::string text = dropout;
  const bool drops =
      text.ends_with("\ndropout = 0.1\n") || text == "dropout = 0.1\n" || text.ends_with("attention_dropout = 0.1\n");
  const double row = static_cast<double>(hidden.nbytes()), of_attention = drops ? 0 : row;
  // What came in counts beside the inputs of linear layers (with_frozen), though pre-norm it is none of them.
  const double twice = is_pre_norm(text) ? row : 0;
  EXPECT_NEAR(alive, expected + of_attention - twice, 0.03 * expected);
}

// Notes which parameters somebody takes in the type of a product.
class Asked final : public ParameterAccess {
 public:
  at::Tensor values(const at::Tensor& parameter, at::ScalarType type) override {
    asked.insert(parameter.unsafeGetTensorImpl());
    return parameter.to(type);
  }
  void add_gradient(const at::Tensor&, GradientTerm) override {}
  // Of those of a module, in bfloat16; then begins anew.
  int64_t bytes(const torch::nn::Module& module) {
    int64_t bytes = 0;
    for (const at::Tensor& parameter : module.parameters())
      if (asked.contains(parameter.unsafeGetTensorImpl())) bytes += 2 * parameter.numel();
    asked.clear();
    return bytes;
  }

  std::set<const void*> asked;
};

TEST(Costs, CountCopiesOfParametersThatTakePartInProducts) {
  Asked asked;
  const at::NoGradGuard no_graph;
  const Batch tokens = token_batch(2, 32, 100);
  const auto roberta = make_model({.toml = small, .precision = Precision::bf16});
  const ForwardContext context{&tokens, 1, 0, true, &asked};
  const auto hidden = some_numbers({2, 32, 64}, at::kBFloat16);
  for (int64_t block = 0; block < 2; ++block) {
    const auto body = roberta->body(block, block + 1);
    body->forward(block == 0 ? tokens.inputs : hidden, context);
    EXPECT_EQ(roberta->unit_costs(2)[static_cast<size_t>(block)].product_copy_bytes, asked.bytes(*body)) << block;
  }
  for (const std::string kind : {"", "linear", "block", "shared_readout"}) {
    const auto head = kind.empty() ? roberta->readout() : roberta->head(kind, 1);
    head->loss(hidden, context);
    const Costs costs = kind.empty() ? roberta->readout_costs(2) : roberta->head_costs(kind, 2);
    EXPECT_EQ(costs.product_copy_bytes, asked.bytes(*head)) << kind;
    EXPECT_GT(costs.product_copy_bytes, 0) << kind;
  }
  EXPECT_EQ(make_model({.toml = small})->readout_costs(2).product_copy_bytes, 0);
}

class Readouts : public testing::TestWithParam<std::tuple<Precision, const char*>> {};

TEST_P(Readouts, KeepAfterTheLossWhatTheirCostsSay) {
  const auto& [precision, norm] = GetParam();
  const auto model = make_model(of(small + "dropout = 0\n" + norm, precision));
  Batch batch = token_batch(10, 32, 100);
  batch.targets.fill_(ignored_target);
  batch.targets.view(-1).narrow(0, 40, 48).fill_(9);  // 15 % of 320 positions
  const ForwardContext context{&batch, 1, 0, true};
  const auto hidden = some_numbers({10, 32, 64}, at::kFloat).to(model->boundary(1).type).requires_grad_();
  for (const std::string kind : {"", "linear", "block", "shared_readout"}) {
    const auto head = kind.empty() ? model->readout() : model->head(kind, 1);
    const int64_t before = CountingAllocator::instance().live();
    const LossSum loss = head->loss(hidden, context);
    const auto alive = static_cast<double>(CountingAllocator::instance().live() - before);
    auto expected =
        static_cast<double>((kind.empty() ? model->readout_costs(10) : model->head_costs(kind, 10)).activation_bytes);
    // A block's input is the hidden state, which was there before.
    if (kind == "block" || kind == "shared_readout") expected -= static_cast<double>(hidden.nbytes());
    // Not counted: the indices of the rows and the targets, 16 bytes a row; a row has 400 in bfloat16.
    EXPECT_NEAR(alive, expected, 0.04 * expected) << kind;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Readouts,
                         testing::Combine(testing::Values(Precision::float32, Precision::bf16, Precision::float64),
                                          testing::Values("", "norm = \"pre\"\n", "#gpt\n")));

TEST(Costs, ProductsOfABlockByHand) {
  // samples 2, length 32, width 64, feed-forward 128: 64 tokens; per token 4 * 64^2 + 2 * 64 * 128 multiplications in
  // linear layers and 32 * 64 in each of the attention's two products; two operations each.
  const auto costs = make_model({.toml = small + "dropout = 0\n"})->unit_costs(2)[1];
  const double linear = 2.0 * 64 * (4 * 64 * 64 + 2 * 64 * 128), attention = 2.0 * 64 * 32 * 64;
  EXPECT_EQ(costs.forward_flops, linear + 2 * attention);
  EXPECT_EQ(costs.weight_gradient_flops, linear);
  EXPECT_EQ(costs.input_gradient_flops, linear + 5 * attention);
}

}  // namespace
}  // namespace interlock::tests
