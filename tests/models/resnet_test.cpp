// The model resnet: against torchvision's numbers, published sizes, and what an engine relies on.
#include "models/resnet_settings.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>

#include "models/parameter_count.h"
#include "tests/models/counting_allocator.h"
#include "tests/models/image_support.h"
#include "tests/models/support.h"

namespace interlock::tests {
namespace {

const std::string wide = "widths = [64, 128, 256, 512]\n";
constexpr ImageShape cifar{3, 32, 32}, imagenet{3, 224, 224};

TEST(Resnet, ComputesWhatTorchvisionDoes) {
  const auto numbers = golden_numbers(INTERLOCK_GOLDEN "/resnet/torchvision.json");
  for (const auto& [name, golden] : numbers.items()) {
    const int64_t size = golden["size"];
    const auto model = resnet(wide + "blocks = " + golden["blocks"].dump() + "\nblock = " + golden["block"].dump() +
                                  "\nstem = " + golden["stem"].dump() + "\n",
                              {3, size, size});
    EXPECT_EQ(parameter_count(*model), golden["parameters"].get<int64_t>()) << name;
    const auto body = model->body(0, model->units());
    const auto readout = model->readout();
    fill_by_formula(*body);
    fill_by_formula(*readout);
    at::Tensor loss, scores;
    for (const int64_t first : {0, 3}) {
      const Batch batch = images_by_formula(first, 3, 3 * size * size);
      const ForwardContext context{&batch, 1, 1, true};
      const at::Tensor hidden = body->forward(batch.inputs, context);
      // Without a second pass through the body, whose statistics it would move.
      const at::Tensor part = readout->loss(hidden, context).sum;
      loss = loss.defined() ? loss + part : part;
      scores = readout->scores(hidden, context);
    }
    // Float64: what is left are other orders of sums.
    EXPECT_NEAR(loss.item<double>(), golden["loss"].get<double>(), 1e-9) << name;
    std::vector<at::Tensor> parameters = body->parameters();
    std::vector<std::string> names = body->named_parameters().keys();
    for (const auto& own : readout->named_parameters()) parameters.push_back(own.value()), names.push_back(own.key());
    const auto gradients = torch::autograd::grad({loss}, parameters);
    ASSERT_EQ(names.size(), golden["gradients"].size());
    for (size_t i = 0; i < names.size(); ++i)
      EXPECT_LT(distance(gradients[i], golden["gradients"].at(names[i])), 1e-9) << name << " " << names[i];
    ASSERT_EQ(body->buffers().size(), golden["statistics"].size());
    for (const auto& buffer : body->named_buffers())
      EXPECT_LT(distance(buffer.value(), golden["statistics"].at(buffer.key())), 1e-11) << name << " " << buffer.key();
    const Batch all = images_by_formula(0, 6, 3 * size * size);
    const at::NoGradGuard no_graph;
    const ForwardContext evaluation{&all, 1, 1, false};
    const at::Tensor found = readout->scores(body->forward(all.inputs, evaluation), evaluation);
    for (int64_t row = 0; row < 6; ++row)
      for (int64_t column = 0; column < 10; ++column)
        EXPECT_NEAR(found[row][column].item<double>(), golden["scores_in_evaluation"][row][column].get<double>(), 1e-9);
  }
}

// techniques-vision-data 2.20: computed from the reference's builder, and equal to torchvision's for ImageNet.
TEST(Resnet, HasThePublishedSizes) {
  const auto size = [](const std::string& toml, ImageShape image, int64_t classes) {
    return parameter_count(*resnet(toml, image, Precision::float32, classes));
  };
  EXPECT_EQ(size(wide + "blocks = [3, 4, 6, 3]\n", cifar, 10), 21282122);
  const std::string bottleneck = wide + "block = 'bottleneck'\n";
  EXPECT_EQ(size(bottleneck + "blocks = [3, 4, 6, 3]\n", cifar, 10), 23520842);
  EXPECT_EQ(size(bottleneck + "blocks = [3, 4, 6, 3]\nstem = 'imagenet'\n", imagenet, 1000), 25557032);
  EXPECT_EQ(size(bottleneck + "blocks = [3, 4, 23, 3]\nstem = 'imagenet'\n", imagenet, 1000), 44549160);
  // He's narrow ones with projections: 272,474 / 466,906 / 855,770 / 1,730,714 by hand from 3x3 kernels, norms and fc.
  const auto narrow = [&](int64_t n) {
    const std::string each = std::to_string(n);
    return size("blocks = [" + each + ", " + each + ", " + each + "]\n", cifar, 10);
  };
  const auto by_hand = [](int64_t n) {
    const auto block = [](int64_t in, int64_t out) { return 9 * in * out + 9 * out * out + 4 * out; };
    int64_t sum = 3 * 9 * 16 + 32 + 64 * 10 + 10 + 16 * 32 + 64 + 32 * 64 + 128;
    sum += n * block(16, 16) + block(16, 32) + (n - 1) * block(32, 32) + block(32, 64) + (n - 1) * block(64, 64);
    return sum;
  };
  for (const int64_t n : {3, 5, 9, 18}) EXPECT_EQ(narrow(n), by_hand(n)) << n;
}

TEST(Resnet, StartsAsTorchvisionDoesWhateverTheCut) {
  const auto model = resnet("blocks = [2, 1]\nwidths = [16, 32]\nzero_init_residual = true\n", cifar);
  const auto whole = model->body(0, 3), upper = model->body(2, 3);
  const auto all = whole->named_parameters();
  for (const auto& own : upper->named_parameters()) EXPECT_TRUE(bit_equal(own.value(), all[own.key()])) << own.key();
  for (const auto& own : all) {
    if (own.key().ends_with("bn2.weight")) {
      EXPECT_EQ(largest(listed(own.value())), 0) << own.key();
    }
    if (own.value().dim() != 4) continue;
    const double fan_out = static_cast<double>(own.value().numel() / own.value().size(1));
    const double deviation = std::sqrt(own.value().square().mean().item<double>());
    // Of n draws the deviation is right to about 1 / sqrt(2 n); five of these.
    EXPECT_NEAR(deviation / std::sqrt(2 / fan_out), 1, 5 / std::sqrt(2.0 * static_cast<double>(own.value().numel())))
        << own.key();
  }
  const auto fc = model->readout()->named_parameters();
  const double bound = 1 / std::sqrt(32.0);
  EXPECT_LT(largest(listed(fc["fc.weight"])), bound);
  EXPECT_GT(largest(listed(fc["fc.weight"])), 0.95 * bound);
  EXPECT_GT(largest(listed(fc["fc.bias"])), 0);
}

class ResnetSegments : public testing::TestWithParam<std::tuple<const char*, Precision>> {
 protected:
  std::unique_ptr<Model> model() const {
    return resnet("blocks = [1, 2]\nwidths = [8, 16]\n" + std::string(std::get<0>(GetParam())), {3, 16, 16},
                  std::get<1>(GetParam()));
  }
  Batch batch_ = images_by_formula(0, 4, 3 * 16 * 16);
};

TEST_P(ResnetSegments, GiveTheSameBitsAndCountOnce) {
  const auto of = model();
  const auto body = of->body(0, 3);
  ASSERT_EQ(body->segments(), 4);
  std::vector<at::Tensor> of_segments;
  for (int64_t i = 0; i < 4; ++i)
    for (const at::Tensor& own : body->segment_parameters(i)) of_segments.push_back(own);
  const auto all = body->parameters();
  ASSERT_EQ(of_segments.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) EXPECT_TRUE(of_segments[i].is_same(all[i])) << i;

  ForwardContext context{&batch_, 5, 17, true};
  at::Tensor hidden = batch_.inputs;
  std::vector<at::Tensor> once;
  for (int64_t i = 0; i < 4; ++i) {
    const at::Tensor before = hidden.clone();
    context.recomputed = false;
    at::Tensor first;
    {
      const at::NoGradGuard no_graph;
      first = body->forward_segment(i, hidden, context);
    }
    std::vector<at::Tensor> statistics;
    for (const at::Tensor& buffer : body->buffers()) statistics.push_back(buffer.clone());
    context.recomputed = true;
    EXPECT_TRUE(bit_equal(body->forward_segment(i, hidden, context), first)) << i;
    for (size_t k = 0; k < statistics.size(); ++k) EXPECT_TRUE(bit_equal(statistics[k], body->buffers()[k])) << i;
    EXPECT_TRUE(bit_equal(hidden, before)) << "a segment changed its input";
    hidden = first;
  }
  // Any slicing gives the same.
  at::Tensor sliced = batch_.inputs;
  context.recomputed = false;
  for (const auto& [begin, end] : {std::pair{0, 1}, {1, 3}}) sliced = of->body(begin, end)->forward(sliced, context);
  EXPECT_TRUE(bit_equal(sliced, hidden));
  const Boundary boundary = of->boundary(3);
  EXPECT_EQ(hidden[0].sizes().vec(), boundary.shape);
  EXPECT_EQ(hidden.scalar_type(), boundary.type);
}

// Takes gradients of parameters where they stay, and keeps copies in another type as a run does.
class Sums final : public ParameterAccess {
 public:
  explicit Sums(const torch::nn::Module& module) {
    for (const at::Tensor& one : module.parameters())
      sums_.emplace_back(one.unsafeGetTensorImpl(), at::zeros_like(one));
  }
  at::Tensor values(const at::Tensor& parameter, at::ScalarType type) override {
    const at::NoGradGuard no_graph;
    at::Tensor& copy = copies_[parameter.unsafeGetTensorImpl()];
    if (!copy.defined()) copy = parameter.to(type);
    return copy;
  }
  void add_gradient(const at::Tensor& parameter, GradientTerm term) override {
    for (auto& [key, sum] : sums_)
      if (key == parameter.unsafeGetTensorImpl()) term(sum, 1.0, false);
  }

 private:
  std::vector<std::pair<const void*, at::Tensor>> sums_;
  std::map<const void*, at::Tensor> copies_;
};

// What stays alive after a forward pass, counted by an allocator; and what a pass back needs beside it.
TEST_P(ResnetSegments, CostsAreWhatAnAllocatorCounts) {
  const auto of = model();
  for (int64_t unit = 1; unit < 3; ++unit) {
    const auto body = of->body(unit, unit + 1);
    Sums sums(*body);
    const ForwardContext context{&batch_, 1, 0, true, &sums};
    std::vector<int64_t> shape = of->boundary(unit).shape;
    shape.insert(shape.begin(), 4);
    const auto hidden = some_numbers(shape, of->boundary(unit).type).requires_grad_();
    body->forward(hidden, context);  // the library's own first-use memory
    const int64_t before = CountingAllocator::instance().live();
    const auto out = body->forward(hidden, context);
    const auto alive =
        static_cast<double>(CountingAllocator::instance().live() - before - out.nbytes() + hidden.nbytes());
    const auto expected = static_cast<double>(of->unit_costs(4)[static_cast<size_t>(unit)].activation_bytes);
    // Not counted: strides and shapes. Under 2 % at this size.
    EXPECT_NEAR(alive, expected, 0.02 * expected) << unit;
  }
}

// What a head keeps from its loss to the pass back, and how many numbers it trains.
TEST_P(ResnetSegments, CostsOfHeadsAreWhatAnAllocatorCounts) {
  const auto of = model();
  std::vector<std::string> kinds = of->head_kinds();
  kinds.emplace_back();  // the readout
  for (const std::string& kind : kinds)
    for (const int64_t below : {1, 3}) {
      if (kind.empty() && below < 3) continue;
      const auto head = kind.empty() ? of->readout() : of->head(kind, below);
      const Costs costs = kind.empty() ? of->readout_costs(4) : of->head_costs_above(kind, below, 4);
      Sums sums(*head);
      const ForwardContext context{&batch_, 1, 0, true, &sums};
      std::vector<int64_t> shape = of->boundary(below < 3 ? below : 2).shape;
      shape.insert(shape.begin(), 4);
      const auto hidden = some_numbers(shape, of->boundary(1).type).requires_grad_();
      head->loss(hidden, context);  // the library's own first-use memory
      const int64_t before = CountingAllocator::instance().live();
      const LossSum loss = head->loss(hidden, context);
      const auto alive =
          static_cast<double>(CountingAllocator::instance().live() - before + static_cast<int64_t>(hidden.nbytes()));
      const auto expected = static_cast<double>(costs.activation_bytes);
      // Two numbers a channel are counted for every norm; those of groups are fewer.
      const double of_groups = std::string(std::get<0>(GetParam())).find("group") != std::string::npos ? 2048 : 0;
      EXPECT_NEAR(alive, expected, 0.02 * expected + of_groups) << kind << " " << below;
    }
}

// `said` is never less than what was measured, and not twice as much.
void expect_said(int64_t measured, int64_t said, bool tight, const std::string& what) {
  EXPECT_LE(static_cast<double>(measured), 1.01 * static_cast<double>(said)) << what;  // shapes and strides apart
  if (tight) {
    EXPECT_LE(static_cast<double>(said), 1.8 * static_cast<double>(measured)) << what;
  }
}

// The most that a pass needs beside what is kept, at a size where activations outweigh weights.
TEST_P(ResnetSegments, WorkingMemoryIsWhatAnAllocatorCounts) {
  const auto& [toml, precision] = GetParam();
  const auto of = resnet("blocks = [1, 2]\nwidths = [16, 32]\n" + std::string(toml), {3, 32, 32}, precision);
  const Batch batch = images_by_formula(0, 16, 3 * 32 * 32);
  const bool bottleneck = of->boundary(1).shape.front() > 16;
  auto& allocator = CountingAllocator::instance();
  for (int64_t unit = 0; unit < 3; ++unit) {
    const auto body = of->body(unit, unit + 1);
    const int64_t segment = body->segments() - 1;
    std::vector<int64_t> shape = of->boundary(std::max<int64_t>(1, unit)).shape;
    if (unit == 0 && bottleneck) shape[0] /= ResidualShape::expansion;  // what the stem makes
    shape.insert(shape.begin(), 16);
    const auto hidden = some_numbers(shape, of->boundary(1).type).requires_grad_();
    Sums sums(*body);
    const ForwardContext context{&batch, 1, 0, true, &sums};
    const Costs costs = of->unit_costs(16)[static_cast<size_t>(unit)];
    body->forward_segment(segment, hidden, context);  // the library's own first-use memory
    // Unit 0 counts with the stem; of float64 bottlenecks twice as much is said, which only tests compute in.
    const bool tight = unit > 0 && precision == Precision::float32;
    const std::string what = std::string(toml) + " unit " + std::to_string(unit);
    // Weights as the library lays them out for products in bfloat16: 64 to 128 KiB of any layer this narrow, by
    // processor.
    const int64_t layouts = precision == Precision::bf16 ? 160 << 10 : 0;
    const auto peak = [&](const std::function<void()>& act) {
      const int64_t before = allocator.live();
      allocator.start();
      act();
      return allocator.peak() - before;
    };
    expect_said(peak([&] {
                  const at::NoGradGuard no_graph;
                  body->forward_segment(segment, hidden, context);
                }),
                costs.forward_working_bytes + layouts, tight, what + ", forward");
    at::Tensor out = body->forward_segment(segment, hidden, context);
    const at::Tensor gradient = some_numbers(out.sizes().vec(), out.scalar_type());
    std::vector<at::Tensor> wanted = body->segment_parameters(segment);
    wanted.push_back(hidden);
    const auto pass = [&](bool keep) {
      return peak([&] { torch::autograd::grad({out}, wanted, {gradient}, keep, false, true); });
    };
    expect_said(pass(true), costs.kept_working_bytes + layouts, tight, what + ", kept pass");
    expect_said(pass(false), costs.working_bytes + layouts, tight, what + ", last pass");
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, ResnetSegments,
                         testing::Combine(testing::Values("", "block = 'bottleneck'\n",
                                                          "norm = 'group'\nnorm_groups = 4\n", "stem = 'imagenet'\n"),
                                          testing::Values(Precision::float32, Precision::float64, Precision::bf16)));

TEST(Resnet, EvaluationTakesRunningStatisticsAndMovesNone) {
  const auto model = resnet("blocks = [1]\nwidths = [8]\n", {3, 8, 8});
  const auto body = model->body(0, 1);
  const Batch one = images_by_formula(0, 1, 192), two = images_by_formula(0, 2, 192);
  const at::Tensor alone = body->forward(one.inputs, {&one, 1, 1, false});
  const at::Tensor together = body->forward(two.inputs, {&two, 1, 1, false});
  EXPECT_LT(largest_difference(listed(alone[0]), listed(together[0])), 1e-12);
  for (const auto& buffer : body->named_buffers())
    EXPECT_EQ(largest(listed(buffer.value())), buffer.key().ends_with("running_var") ? 1 : 0) << buffer.key();
}

// The words of an Error(config).
std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config) << error.what();
    return error.what();
  }
  return "nothing was refused";
}

TEST(Resnet, RefusesWhatCannotBe) {
  const auto of = [](const std::string& toml, ImageShape image = cifar, Precision precision = Precision::float32) {
    return refusal([&] { resnet(toml, image, precision); });
  };
  EXPECT_NE(of("blocks = [1, 1]\nwidths = [8]\n").find("model.widths"), std::string::npos);
  EXPECT_NE(of("blocks = [0]\nwidths = [8]\n").find("model.blocks"), std::string::npos);
  EXPECT_NE(of("blocks = []\nwidths = []\n").find("model.blocks"), std::string::npos);
  EXPECT_NE(of("norm = 'group'\nnorm_groups = 5\n").find("norm_groups"), std::string::npos);
  EXPECT_NE(of("blocks = [1, 1]\nwidths = [8, 8]\nnorm = 'group'\n", {3, 2, 2}).find("one number"), std::string::npos);
  EXPECT_NO_THROW(resnet("blocks = [1, 1]\nwidths = [8, 8]\nnorm = 'group'\nnorm_groups = 4\n", {3, 2, 2}));
  const auto of_head = [](const std::string& groups, const std::string& kind) {
    const auto model = resnet("blocks = [1, 1]\nwidths = [12, 12]\nnorm = 'group'\nnorm_groups = " + groups, {3, 8, 8});
    return refusal([&] { model->head_costs_above(kind, 1, 1); }) +
           refusal([&] { model->head_costs_above(kind, 2, 1); });
  };
  EXPECT_NE(of_head("12", "dgl").find("has 12 channels of one place where images are 4 x 4"), std::string::npos);
  EXPECT_NE(of_head("6", "paper").find("\"paper\" has 128 channels, which group norm cannot part"), std::string::npos);
  for (const auto& [groups, kind] : {std::pair("4", "dgl"), {"4", "paper"}, {"12", "linear"}})
    EXPECT_EQ(of_head(groups, kind), "nothing was refusednothing was refused") << groups << " " << kind;
  EXPECT_NE(of("", {}).find("classes of images"), std::string::npos);
  EXPECT_NE(refusal([] { resnet("", cifar)->head("block", 1); }).find("paper"), std::string::npos);
  // One image, of which one place is left: no variance.
  const auto model = resnet("blocks = [1, 1]\nwidths = [8, 8]\n", {3, 2, 2});
  const Batch one = images_by_formula(0, 1, 12), two = images_by_formula(0, 2, 12);
  EXPECT_NO_THROW(model->body(0, 2)->forward(two.inputs, {&two, 1, 1, true}));
  const std::string words = refusal([&] { model->body(0, 2)->forward(one.inputs, {&one, 1, 1, true}); });
  EXPECT_NE(words.find("microbatch_size must be at least 2"), std::string::npos) << words;
}

}  // namespace
}  // namespace interlock::tests
