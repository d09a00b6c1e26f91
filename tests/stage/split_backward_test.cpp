// I and then W of a microbatch is B, to the bit: every gradient that a stage makes, of every model, precision, rule and
// kind of recomputation, however far W comes behind I.
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "runtime/core/error.h"
#include "tests/stage/support.h"

namespace interlock {
namespace {

using namespace tests;

constexpr int stages = 3, microbatches = 4;
constexpr double targets_of_step = 23;

// A stage's teaching gradient equals what it passes on in all of these; under the matrix up to a factor.
RuleRequest request_of(const std::string& rule) {
  if (rule != "matrix") return {.rule = rule};
  return {.rule = "matrix", .matrix = {{0, 0, 1}, {0, 0, 0.3}, {0, 0, 0.7}}};
}

struct Case {
  const char* model;
  Precision precision;
  const char* rule;
  Recompute recompute;
  int stage;
};

std::string name_of(const Case& one) {
  const char* precision = one.precision == Precision::float32 ? "float32"
                          : one.precision == Precision::bf16  ? "bf16"
                                                              : "float64";
  const char* recompute = one.recompute == Recompute::none    ? "kept"
                          : one.recompute == Recompute::block ? "block_again"
                                                              : "stage_again";
  return message(one.model, "_", precision, "_", one.rule, "_", recompute, "_stage_", one.stage);
}
void PrintTo(const Case& one, std::ostream* out) { *out << name_of(one); }

// A stage of two blocks with numbers in place of its neighbours.
class Bench {
 public:
  explicit Bench(const Case& given)
      : given_(given), flows_(derive_flows(make_rule(request_of(given.rule), stages), HeadPolicy::needed)) {
    const bool tokens = std::string(given.model) == "roberta";
    const std::string lines = tokens ? "layers = 6\nwidth = 16\nheads = 2\nfeed_forward = 24\nvocabulary = 40\n"
                                       "max_length = 8\ndropout = 0.2\n"
                                     : "layers = 6\nwidth = 16\ndropout = 0.2\n";
    model_ = make_model(
        {.name = given.model, .toml = lines, .classes = tokens ? 0 : 3, .features = 4, .precision = given.precision});
    Stage::Parts parts;
    parts.body = model_->body(2 * given.stage, 2 * given.stage + 2);
    parts.head_is_readout = given.stage + 1 == stages;
    if (flow().has_loss)
      parts.head = parts.head_is_readout ? model_->readout() : model_->head("linear", 2 * given.stage + 2);
    parts.make_optimizer = optimizer_of("");
    parts.recompute = given.recompute;
    stage_ = std::make_unique<Stage>(given.stage, std::move(parts));
    stage_->follow(flow());
    // What is there before a step must not matter.
    for (const auto& group : stage_->groups()) group->gradient().fill_(1e30);
  }

  const StageFlow& flow() const { return flows_.stages[given_.stage]; }
  Stage& stage() { return *stage_; }

  // F, L and what comes from above.
  void forward(int microbatch) {
    auto batch = std::make_shared<Batch>();
    if (std::string(given_.model) == "roberta") {
      *batch = token_batch(3, 8, 40, {8, 5, 7 - microbatch % 3});
    } else {
      batch->inputs = some_numbers({3, 4}, at::kFloat);
      batch->targets = integers({{0, 2, microbatch % 3}})[0];
    }
    for (int64_t& id : batch->sample_ids) id += 10 * microbatch;
    if (batch->sample_ids.empty()) batch->sample_ids = {microbatch, 5, 6};
    const Boundary boundary = model_->boundary(2 * std::max(1, given_.stage));
    std::vector<int64_t> shape{3};
    shape.insert(shape.end(), boundary.shape.begin(), boundary.shape.end());
    const auto numbers = [&](double scale) { return (some_numbers(shape, at::kDouble) * scale).to(boundary.type); };
    const at::Tensor input = given_.stage == 0 ? batch->inputs : numbers(1 + 0.37 * microbatch);
    stage_->forward(microbatch, input, batch, {nullptr, 3, 11, true});
    if (flow().has_loss) stage_->loss(microbatch, targets_of_step);
    for (size_t stream = 0; stream < flow().incoming.size(); ++stream)
      stage_->deliver(microbatch, static_cast<int>(stream),
                      numbers(0.1 / (2 + microbatch + static_cast<double>(stream))));
  }

  void both(int microbatch) { passed_[microbatch] = stage_->backward(microbatch, flow().joint); }
  void input(int microbatch) { passed_[microbatch] = stage_->input_gradient(microbatch, flow().joint); }
  void weights(int microbatch) { stage_->weight_gradient(microbatch); }

  // What was passed on by microbatch, then every group's gradient.
  std::vector<at::Tensor> made() {
    std::vector<at::Tensor> all(passed_.begin(), passed_.end());
    for (const auto& group : stage_->groups()) {
      group->complete();
      for (const Parameter& parameter : group->parameters()) all.push_back(parameter.gradient.clone());
    }
    return all;
  }

 private:
  Case given_;
  Flows flows_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Stage> stage_;
  std::array<at::Tensor, microbatches> passed_;
};

void expect_equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(bit_equal(a[i], b[i])) << i;
}

std::vector<at::Tensor> of_both(const Case& given) {
  Bench bench(given);
  for (int m = 0; m < microbatches; ++m) bench.forward(m), bench.both(m);
  return bench.made();
}

class SplitBackward : public testing::TestWithParam<Case> {};

TEST_P(SplitBackward, IsOneWalkToTheBit) {
  const std::vector<at::Tensor> expected = of_both(GetParam());
  for (const at::Tensor& tensor : expected) {
    ASSERT_TRUE(tensor.isfinite().all().item<bool>());
    ASSERT_LT(tensor.abs().max().item<double>(), 1e20) << "what was there before the step has stayed";
  }
  {
    Bench bench(GetParam());
    for (int m = 0; m < microbatches; ++m) bench.forward(m), bench.input(m), bench.weights(m);
    expect_equal(bench.made(), expected);
  }
  {  // every W far behind, and I in an order of their own
    Bench bench(GetParam());
    for (int m = 0; m < microbatches; ++m) bench.forward(m);
    for (const int m : {2, 0, 3, 1}) bench.input(m);
    for (int m = 0; m < microbatches; ++m) bench.weights(m);
    expect_equal(bench.made(), expected);
  }
  {  // one behind, among forward passes
    Bench bench(GetParam());
    for (int m = 0; m < microbatches; ++m) {
      bench.forward(m);
      bench.input(m);
      if (m > 0) bench.weights(m - 1);
    }
    bench.weights(microbatches - 1);
    expect_equal(bench.made(), expected);
  }
  {  // some microbatches in one walk
    Bench bench(GetParam());
    for (int m = 0; m < microbatches; ++m) bench.forward(m);
    bench.input(2), bench.input(0);
    bench.weights(0), bench.both(1), bench.weights(2), bench.both(3);
    expect_equal(bench.made(), expected);
  }
}

// W before its I walks on its own, on the teaching sum instead of what is passed on: the same numbers where the two are
// the same, and where they differ by a factor the same but for rounding.
TEST_P(SplitBackward, WeightsBeforeTheInputAreTheSameButForAFactorsRounding) {
  const std::vector<at::Tensor> expected = of_both(GetParam());
  Bench bench(GetParam());
  for (int m = 0; m < microbatches; ++m) bench.forward(m), bench.weights(m), bench.input(m);
  const std::vector<at::Tensor> got = bench.made();
  if (bench.flow().joint_factor == 1.0) return expect_equal(got, expected);
  ASSERT_EQ(got.size(), expected.size());
  // The longest sum has 24 rows times 16 products, over some 30 operations one behind the other: a few hundred
  // roundings, of which most cancel. Of bfloat16 the sums inside an operation are float: one rounding for each.
  const Precision precision = GetParam().precision;
  const double bound = precision == Precision::float64 ? 500 * 0x1p-53
                       : precision == Precision::bf16  ? 30 * 0x1p-9
                                                       : 500 * 0x1p-24;
  double largest_of_all = 0;
  for (const at::Tensor& tensor : expected) largest_of_all = std::max(largest_of_all, largest(listed(tensor)));
  for (size_t i = 0; i < got.size(); ++i) {
    if (i < microbatches) {
      EXPECT_TRUE(bit_equal(got[i], expected[i])) << "what is passed on has no factor";
      continue;
    }
    // The key's bias has a gradient of zero but for rounding: its bound is that of the largest.
    EXPECT_LE(largest_difference(listed(got[i]), listed(expected[i])), bound * largest_of_all) << i;
  }
}

TEST_P(SplitBackward, NothingIsKeptOnceBothAreDone) {
  Bench bench(GetParam());
  bench.forward(0), bench.input(0);
  bench.weights(0);
  EXPECT_THROW(bench.weights(0), Error);
  EXPECT_THROW(bench.input(0), Error);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Recompute recompute : {Recompute::none, Recompute::block, Recompute::stage})
    for (const Precision precision : {Precision::float32, Precision::bf16, Precision::float64})
      for (const int stage : {1, 2}) {
        for (const char* rule : {"global", "deep_supervision", "matrix"})
          all.push_back({"roberta", precision, rule, recompute, stage});
        all.push_back({"mlp", precision, "deep_supervision", recompute, stage});
        all.push_back({"mlp", precision, "matrix", recompute, stage});
      }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Grid, SplitBackward, testing::ValuesIn(cases()),
                         [](const auto& one) { return name_of(one.param); });

// Otherwise the cases above would say nothing about a factor or about sums of streams.
TEST(SplitBackwardCases, HaveAFactorAndSums) {
  const Flows scaled = derive_flows(make_rule(request_of("matrix"), stages), HeadPolicy::needed);
  for (const int stage : {1, 2}) {
    EXPECT_EQ(scaled.stages[stage].joint, 0);
    EXPECT_NE(scaled.stages[stage].joint_factor, 1.0);
  }
  const Flows deep = derive_flows(make_rule(request_of("deep_supervision"), stages), HeadPolicy::needed);
  EXPECT_EQ(deep.stages[1].joint, 0);
  EXPECT_EQ(deep.stages[1].teach.size(), 2U);
}

}  // namespace
}  // namespace interlock
