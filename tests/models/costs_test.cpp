// Estimated costs against what really happens: parameters counted, bytes alive after a forward pass counted by an
// allocator.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <map>
#include <set>

#include "models/frozen_model.h"
#include "models/parameter_access.h"
#include "tests/models/counting_allocator.h"
#include "tests/models/support.h"

namespace interlock::tests {
namespace {

const std::string small = "layers = 3\nwidth = 64\nheads = 4\nfeed_forward = 128\nvocabulary = 100\nmax_length = 32\n";

// A comment that makes these lines of [model] those of the model "gpt".
const std::string gpt = "#gpt\n";
Given of(const std::string& lines, Precision precision = Precision::float32) {
  const bool is_gpt = lines.find(gpt) != std::string::npos;
  return {.name = is_gpt ? "gpt" : "roberta",
          .toml = lines,
          .precision = precision,
          .objective = is_gpt ? Objective::causal : Objective::masked};
}
// Whether norms stand before the halves of its blocks.
bool is_pre_norm(const std::string& lines) {
  return lines.find("norm = \"pre\"") != std::string::npos || lines.find(gpt) != std::string::npos;
}

Given cut_between(Given given, Unit unit) {
  given.unit = unit;
  return given;
}

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

// What a stage does, in plain form: copies of parameters in the type of products are made once, and gradients are added
// into buffers that are there already, or recorded.
class Buffers final : public ParameterAccess {
 public:
  explicit Buffers(std::vector<at::Tensor> parameters) : parameters_(std::move(parameters)) {
    for (const at::Tensor& parameter : parameters_) {
      gradients_[parameter.unsafeGetTensorImpl()] = at::zeros_like(parameter).detach();
      copies_[parameter.unsafeGetTensorImpl()] = parameter.detach().to(at::kBFloat16);
    }
  }
  at::Tensor values(const at::Tensor& parameter, at::ScalarType type) override {
    const auto found = copies_.find(parameter.unsafeGetTensorImpl());
    return type == at::kBFloat16 && found != copies_.end() ? found->second : parameter.to(type);
  }
  void add_gradient(const at::Tensor& parameter, GradientTerm term) override {
    if (records) {
      recorded.push_back(std::move(term));
    } else {
      term(gradients_.at(parameter.unsafeGetTensorImpl()), 1.0, false);
    }
  }
  // A pass from `out` to `input`, where there is one, and with `to_parameters` to them.
  void pass(const at::Tensor& out, const at::Tensor& gradient, const at::Tensor& input, bool to_parameters, bool keep) {
    std::vector<at::Tensor> wanted;
    if (to_parameters) wanted = parameters_;
    if (input.defined()) wanted.push_back(input);
    const auto found = torch::autograd::grad({out}, wanted, {gradient}, keep, false, true);
    for (size_t i = 0; to_parameters && i < parameters_.size(); ++i)
      if (found[i].defined()) add_gradient(parameters_[i], term_of(found[i]));
  }

  bool records = false;
  std::vector<GradientTerm> recorded;

 private:
  std::vector<at::Tensor> parameters_;
  std::map<const void*, at::Tensor> gradients_, copies_;
};

// Bytes beside what is there before, and beside what is saved.
struct Measured {
  int64_t last = 0;            // at the peak of a pass that frees what was saved, or of the forward pass before it
  int64_t kept = 0, recorded;  // at the peak of a pass to the input that keeps it, and of one that records
  int64_t left = 0;            // by the latter: what it recorded, and the inputs that this needs
  int64_t forward = 0;         // at the peak of a forward pass without a graph
};

Measured measure(Buffers& buffers, const at::Tensor& input, const std::function<at::Tensor()>& forward) {
  CountingAllocator& counting = CountingAllocator::instance();
  const auto peak_of = [&](const std::function<void()>& act) {
    const int64_t before = counting.live();
    counting.start();
    act();
    return counting.peak() - before;
  };
  Measured measured;
  {
    at::Tensor out;
    const int64_t before = counting.live();
    const int64_t peak = peak_of([&] { out = forward(); });
    measured.last = before + peak - counting.live();
    const at::Tensor gradient = at::ones_like(out);
    measured.last = std::max(measured.last, peak_of([&] { buffers.pass(out, gradient, input, true, false); }));
  }
  if (!input.defined()) return measured;
  {
    const at::Tensor out = forward(), gradient = at::ones_like(out);
    measured.kept = peak_of([&] { buffers.pass(out, gradient, input, false, true); });
  }
  const int64_t before = counting.live();
  {
    at::Tensor out = forward();
    const at::Tensor gradient = at::ones_like(out);
    buffers.records = true;
    measured.recorded = peak_of([&] { buffers.pass(out, gradient, input, true, false); });
  }
  measured.left = counting.live() - before;
  buffers.recorded.clear();
  buffers.records = false;
  const at::NoGradGuard no_graph;
  measured.forward = peak_of([&] { forward(); });
  return measured;
}

struct Size {
  int64_t samples, length, width, heads, feed_forward;
};
class Working : public testing::TestWithParam<std::tuple<Size, Precision, const char*>> {};

// Within 10 % of what a pass holds together, beside pieces of a fixed size: the order in which autograd visits decides
// what is already free when the most is alive. In bfloat16 a piece of a weight's gradient is one of 2^17 numbers,
// rounded and widened: 768 KiB.
void expect_near(int64_t measured, int64_t said, const Costs& costs, const std::string& what) {
  const auto together = static_cast<double>(costs.activation_bytes + said);
  const int64_t piece = costs.product_copy_bytes > 0 ? 1 << 20 : 600 << 10;
  EXPECT_NEAR(static_cast<double>(measured), static_cast<double>(said), 0.1 * together + static_cast<double>(piece))
      << what;
}

at::Tensor hidden_state(const Model& model, const Size& size) {
  return some_numbers({size.samples, size.length, size.width}, at::kFloat).to(model.boundary(1).type).requires_grad_();
}

void expect_pass_as_said(Body& body, const Batch& batch, const at::Tensor& hidden, const Costs& costs,
                         const std::string& what) {
  Buffers buffers(body.parameters());
  const ForwardContext context{&batch, 1, 0, true, &buffers};
  const Measured measured = measure(buffers, hidden, [&] { return body.forward(hidden, context); });
  expect_near(measured.last, costs.working_bytes, costs, what + ", last pass");
  expect_near(measured.kept, costs.kept_working_bytes, costs, what + ", kept pass");
  expect_near(measured.recorded, costs.kept_working_bytes, costs, what + ", recording pass");
  // The input was there before, and is among the inputs of linear layers unless a norm stands before them. Not counted:
  // scalars.
  const int64_t there = is_pre_norm(what) ? 0 : static_cast<int64_t>(hidden.nbytes());
  const auto left = static_cast<double>(costs.linear_input_bytes + costs.recorded_bytes - there);
  EXPECT_NEAR(static_cast<double>(measured.left), left, 0.001 * left) << what;
  expect_near(measured.forward, costs.forward_working_bytes, costs, what + ", forward");
}

TEST_P(Working, IsThePeakOfAPassBesideWhatIsSaved) {
  const auto& [size, precision, dropout] = GetParam();
  const std::string lines =
      message("layers = 2\nwidth = ", size.width, "\nheads = ", size.heads, "\nfeed_forward = ", size.feed_forward,
              "\nvocabulary = 4000\nmax_length = ", size.length, "\n");
  const Batch batch = token_batch(size.samples, size.length, 4000);  // every third position predicted
  for (const Unit unit : {Unit::block, Unit::half_block}) {
    const auto model = make_model(cut_between(of(lines + dropout, precision), unit));
    const auto hidden = hidden_state(*model, size);
    const auto all = model->unit_costs(size.samples);
    for (size_t i = all.size() / 2; i < all.size(); ++i) {  // of the second block
      const auto body = model->body(static_cast<int64_t>(i), static_cast<int64_t>(i) + 1);
      expect_pass_as_said(*body, batch, hidden, all[i], message(name_of(unit), " ", i, " ", dropout));
    }
  }
  Given given = of(lines + dropout, precision);
  given.predicted_share = 1.0 / 3;
  const auto model = make_model(given);
  const auto body = model->body(0, 2);
  const auto hidden = hidden_state(*model, size);
  {
    Buffers buffers(body->segment_parameters(0));
    const ForwardContext context{&batch, 1, 0, true, &buffers};
    const Measured measured = measure(buffers, {}, [&] { return body->forward_segment(0, batch.inputs, context); });
    const Costs costs = model->unit_costs(size.samples)[0];
    // Block 0 counts with the embeddings.
    expect_near(std::max(measured.last, model->unit_costs(size.samples)[1].working_bytes), costs.working_bytes, costs,
                "block 0");
  }
  for (const std::string kind : {"", "linear", "block", "shared_readout"}) {
    const auto head = kind.empty() ? model->readout() : model->head(kind, 1);
    Buffers buffers(head->parameters());
    const ForwardContext context{&batch, 1, 0, true, &buffers};
    // A loss is passed back once, to both; the gradient of the hidden state is handed over.
    const int64_t before = CountingAllocator::instance().live();
    CountingAllocator::instance().start();
    buffers.pass(head->loss(hidden, context).sum, {}, hidden, true, false);
    const Costs costs = kind.empty() ? model->readout_costs(size.samples) : model->head_costs(kind, size.samples);
    int64_t saved = costs.activation_bytes;
    if (kind == "block" || kind == "shared_readout") saved -= static_cast<int64_t>(hidden.nbytes());
    expect_near(CountingAllocator::instance().peak() - before - saved, costs.working_bytes, costs, kind);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Working,
    testing::Combine(testing::Values(Size{8, 128, 192, 4, 768}, Size{2, 256, 64, 8, 256}, Size{1, 64, 512, 4, 2048}),
                     testing::Values(Precision::float32, Precision::bf16),
                     testing::Values("dropout = 0\n", "dropout = 0.1\n", "dropout = 0\nnorm = \"pre\"\n",
                                     "dropout = 0.1\nnorm = \"pre\"\n", "#gpt\ndropout = 0\n",
                                     "#gpt\ndropout = 0.1\n")));

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
