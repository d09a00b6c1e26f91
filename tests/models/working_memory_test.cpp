// What a pass needs beside what is saved, as costs say it and as an allocator counts it.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <map>

#include "models/parameter_access.h"
#include "tests/models/cost_cases.h"
#include "tests/models/counting_allocator.h"

namespace interlock::tests {
namespace {

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

INSTANTIATE_TEST_SUITE_P(Shapes, Working,
                         testing::Combine(testing::Values(Size{8, 128, 192, 4, 768}, Size{2, 256, 64, 8, 256}),
                                          testing::Values(Precision::float32, Precision::bf16),
                                          testing::Values("dropout = 0\n", "dropout = 0.1\n",
                                                          "dropout = 0\nnorm = \"pre\"\n",
                                                          "dropout = 0.1\nnorm = \"pre\"\n", "#gpt\ndropout = 0\n",
                                                          "#gpt\ndropout = 0.1\n")));

// Weights that outweigh what passes through them: neither dropout nor the place of a norm has a part in that.
INSTANTIATE_TEST_SUITE_P(WideShapes, Working,
                         testing::Combine(testing::Values(Size{1, 64, 512, 4, 2048}),
                                          testing::Values(Precision::float32, Precision::bf16),
                                          testing::Values("dropout = 0.1\n", "#gpt\ndropout = 0.1\n")));

}  // namespace
}  // namespace interlock::tests
