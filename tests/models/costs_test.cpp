// Estimated costs against what really happens: parameters counted, bytes alive after a forward pass counted by an
// allocator.
#include <ATen/ops/ones_like.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "tests/models/counting_allocator.h"
#include "tests/models/support.h"

namespace interlock::tests {
namespace {

const std::string small = "layers = 3\nwidth = 64\nheads = 4\nfeed_forward = 128\nvocabulary = 100\nmax_length = 32\n";

int64_t numbers(const torch::nn::Module& module) {
  int64_t sum = 0;
  for (const auto& parameter : module.parameters()) sum += parameter.numel();
  return sum;
}

TEST(Costs, CountEveryParameter) {
  for (const Given& given :
       {Given{.toml = small}, Given{.name = "mlp", .toml = "layers = 3\nwidth = 7\n", .classes = 5, .features = 9}}) {
    const auto model = make_model(given);
    const auto blocks = model->block_costs(2);
    for (int64_t i = 0; i < model->blocks(); ++i) {
      EXPECT_EQ(blocks[static_cast<size_t>(i)].parameters, numbers(*model->body(i, i + 1))) << given.name << " " << i;
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

class Activations : public testing::TestWithParam<std::tuple<Precision, const char*>> {};

TEST_P(Activations, OfBlocksAreWhatStaysAliveAfterForward) {
  const auto& [precision, dropout] = GetParam();
  const auto model = make_model({.toml = small + dropout, .precision = precision});
  const Batch batch = token_batch(4, 32, 100);
  const ForwardContext context{&batch, 1, 0, true};
  const auto body = model->body(0, 3);
  const int64_t before = CountingAllocator::instance().live();
  const auto out = body->forward(batch.inputs, context);
  const int64_t alive = CountingAllocator::instance().live() - before;
  int64_t expected = static_cast<int64_t>(out.nbytes());  // the output is saved by who reads it
  for (const Costs& costs : model->block_costs(4)) expected += costs.activation_bytes;
  // Not counted: scalars, and the sum of position and type embeddings ([length, width]). Under 3 % at this size.
  EXPECT_NEAR(static_cast<double>(alive), static_cast<double>(expected), 0.03 * static_cast<double>(expected));
}

INSTANTIATE_TEST_SUITE_P(Dropout, Activations,
                         testing::Combine(testing::Values(Precision::float32, Precision::bf16, Precision::float64),
                                          testing::Values("dropout = 0\n", "dropout = 0.1\n",
                                                          "dropout = 0.1\nattention_dropout = 0\n",
                                                          "dropout = 0\nattention_dropout = 0.1\n")));

class Readouts : public testing::TestWithParam<Precision> {};

TEST_P(Readouts, KeepAfterTheLossWhatTheirCostsSay) {
  const auto model = make_model({.toml = small + "dropout = 0\n", .precision = GetParam()});
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

INSTANTIATE_TEST_SUITE_P(Types, Readouts, testing::Values(Precision::float32, Precision::bf16, Precision::float64));

// The peak beside what is saved: of a forward pass with its graph, of a walk to the input that keeps the graph, of the
// walk to the parameters that then releases it, and of both in one.
int64_t working_bytes(std::vector<at::Tensor> parameters, const at::Tensor& input,
                      const std::function<at::Tensor()>& forward) {
  CountingAllocator& counting = CountingAllocator::instance();
  int64_t most = 0;
  const auto walk = [&](const at::Tensor& out, const std::vector<at::Tensor>& to, bool keep) {
    const at::Tensor gradient = at::ones_like(out);
    const int64_t before = counting.live();
    counting.start();
    torch::autograd::grad({out}, to, {gradient}, keep);
    most = std::max(most, counting.peak() - before);
  };
  const auto run = [&] {
    counting.start();
    const at::Tensor out = forward();
    most = std::max(most, counting.peak() - counting.live());
    return out;
  };
  if (input.defined() && input.requires_grad()) {
    const at::Tensor out = run();
    walk(out, {input}, true);
    walk(out, parameters, false);
    parameters.push_back(input);
  }
  walk(run(), parameters, false);
  return most;
}

struct Size {
  int64_t samples, length, width, heads, feed_forward;
};
class Working : public testing::TestWithParam<std::tuple<Size, Precision, const char*>> {};

// Within 10 % of what a pass holds together, beside pieces of a fixed size: the order in which autograd visits decides
// what is already free when the most is alive.
void expect_near(int64_t measured, const Costs& costs, const std::string& what) {
  const auto together = static_cast<double>(costs.activation_bytes + costs.working_bytes);
  EXPECT_NEAR(static_cast<double>(measured), static_cast<double>(costs.working_bytes), 0.1 * together + (600 << 10))
      << what;
}

TEST_P(Working, IsThePeakOfAPassBesideWhatIsSaved) {
  const auto& [size, precision, dropout] = GetParam();
  const std::string lines =
      message("layers = 2\nwidth = ", size.width, "\nheads = ", size.heads, "\nfeed_forward = ", size.feed_forward,
              "\nvocabulary = 4000\nmax_length = ", size.length, "\n");
  const auto model = make_model({.toml = lines + dropout, .precision = precision, .predicted_share = 1.0 / 3});
  const Batch batch = token_batch(size.samples, size.length, 4000);  // every third position predicted
  const ForwardContext context{&batch, 1, 0, true};
  const auto body = model->body(0, 2);
  const auto hidden =
      some_numbers({size.samples, size.length, size.width}, at::kFloat).to(model->boundary(1).type).requires_grad_();
  expect_near(
      working_bytes(body->segment_parameters(1), hidden, [&] { return body->forward_segment(1, hidden, context); }),
      model->block_costs(size.samples)[1], "block");
  // Block 0 counts with the embeddings, whose gradients are as large as their tables.
  const int64_t embeddings =
      working_bytes(body->segment_parameters(0), {}, [&] { return body->forward_segment(0, batch.inputs, context); });
  expect_near(std::max(embeddings, model->block_costs(size.samples)[1].working_bytes),
              model->block_costs(size.samples)[0], "block 0");
  for (const std::string kind : {"", "linear", "block", "shared_readout"}) {
    const auto head = kind.empty() ? model->readout() : model->head(kind, 1);
    std::vector<at::Tensor> values = head->parameters();
    values.push_back(hidden);  // a loss is walked back once, to both
    expect_near(working_bytes(values, {}, [&] { return head->loss(hidden, context).sum; }),
                kind.empty() ? model->readout_costs(size.samples) : model->head_costs(kind, size.samples), kind);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Working,
                         testing::Combine(testing::Values(Size{8, 128, 192, 4, 768}, Size{2, 256, 64, 8, 256},
                                                          Size{1, 64, 512, 4, 2048}),
                                          testing::Values(Precision::float32, Precision::bf16),
                                          testing::Values("dropout = 0\n", "dropout = 0.1\n")));

TEST(Costs, ProductsOfABlockByHand) {
  // samples 2, length 32, width 64, feed-forward 128: 64 tokens; per token 4 * 64^2 + 2 * 64 * 128 multiplications in
  // linear layers and 32 * 64 in each of the attention's two products; two operations each.
  const auto costs = make_model({.toml = small + "dropout = 0\n"})->block_costs(2)[1];
  const double linear = 2.0 * 64 * (4 * 64 * 64 + 2 * 64 * 128), attention = 2.0 * 64 * 32 * 64;
  EXPECT_EQ(costs.forward_flops, linear + 2 * attention);
  EXPECT_EQ(costs.weight_gradient_flops, linear);
  EXPECT_EQ(costs.input_gradient_flops, linear + 5 * attention);
}

}  // namespace
}  // namespace interlock::tests
