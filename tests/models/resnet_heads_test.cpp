// The local heads of the model resnet: published sizes and names, and that they teach what stands below them.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <set>

#include "tests/models/image_support.h"

namespace interlock::tests {
namespace {

constexpr ImageShape cifar{3, 32, 32};
const std::string wide = "widths = [64, 128, 256, 512]\n";

TEST(Resnet, HeadsHaveThePublishedSizesAndNames) {
  const auto numbers = [](const Head& head) {
    int64_t sum = 0;
    for (const at::Tensor& parameter : head.parameters()) sum += parameter.numel();
    return sum;
  };
  const auto model = resnet(wide + "blocks = [1, 1, 1, 1]\n", cifar, Precision::float32);
  const std::vector<int64_t> of_paper = {148682, 222410, 369866};
  for (int64_t below = 1; below <= 3; ++below)
    EXPECT_EQ(numbers(*model->head("paper", below)), of_paper[static_cast<size_t>(below - 1)]);
  const std::vector<std::string> names = model->head("paper", 2)->named_parameters().keys();
  EXPECT_EQ(names, (std::vector<std::string>{"heads.2.0.weight", "heads.2.0.bias", "heads.2.1.weight", "heads.2.1.bias",
                                             "heads.2.3.weight", "heads.2.3.bias", "heads.2.4.weight", "heads.2.4.bias",
                                             "heads.2.8.weight", "heads.2.8.bias"}));
  EXPECT_EQ(model->head("linear", 1)->named_parameters().keys(),
            (std::vector<std::string>{"heads.1.2.weight", "heads.1.2.bias"}));
  std::set<std::string> modules;
  for (const std::string& name : model->head("dgl", 1)->named_parameters().keys())
    modules.insert(name.substr(0, name.rfind('.')));
  EXPECT_EQ(modules,
            (std::set<std::string>{"heads.1.1", "heads.1.2", "heads.1.4", "heads.1.5", "heads.1.7", "heads.1.8",
                                   "heads.1.12", "heads.1.13", "heads.1.15", "heads.1.16", "heads.1.18"}));
  for (const std::string& kind : model->head_kinds())
    for (int64_t below = 1; below <= 4; ++below)
      EXPECT_EQ(model->head_costs_above(kind, below, 2).parameters, numbers(*model->head(kind, below)))
          << kind << below;
  const auto units = model->unit_costs(2);
  for (int64_t i = 0; i < model->units(); ++i) {
    int64_t sum = 0;
    for (const at::Tensor& parameter : model->body(i, i + 1)->parameters()) sum += parameter.numel();
    EXPECT_EQ(units[static_cast<size_t>(i)].parameters, sum) << i;
  }
}

// A group of one number is zero behind its norm, and what stands below learns nothing.
TEST(Resnet, HeadsOfGroupsTeachWhatHasFewChannels) {
  const auto model = resnet("blocks = [1, 1]\nwidths = [8, 16]\nnorm = 'group'\n", cifar);
  const Batch batch = images_by_formula(0, 4, cifar.numbers());
  const ForwardContext context{&batch, 1, 1, true};
  for (const char* kind : {"paper", "dgl"}) {
    const at::Tensor hidden = model->body(0, 1)->forward(batch.inputs, context).detach().requires_grad_();
    const at::Tensor gradient =
        torch::autograd::grad({model->head(kind, 1)->loss(hidden, context).sum}, {hidden}).front();
    EXPECT_GT(gradient.abs().max().item<double>(), 1e-6) << kind;  // 1e-30 where it is lost
  }
}

}  // namespace
}  // namespace interlock::tests
