// The flat buffers of parameters that learn together, and the factors of their update.
#include "parallel/stage/trainable_group.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "runtime/core/error.h"
#include "tests/stage/support.h"

namespace interlock {
namespace {

using namespace tests;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

const std::byte* address(const at::Tensor& tensor) { return static_cast<const std::byte*>(tensor.data_ptr()); }

TEST(TrainableGroup, ModulesSeeTheNumbersOfAlignedFlatBuffers) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const auto tensors = leaves(type);
    std::vector<at::Tensor> before;
    for (const auto& tensor : tensors) before.push_back(tensor.value.detach().clone());
    TrainableGroup group(tensors, optimizer_of(""), {});
    ASSERT_EQ(group.parameters().size(), tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      const Parameter& parameter = group.parameters()[i];
      EXPECT_EQ(parameter.name, tensors[i].name);
      EXPECT_TRUE(parameter.value.is_same(tensors[i].value));
      EXPECT_TRUE(parameter.value.is_leaf() && parameter.value.requires_grad());
      EXPECT_EQ(parameter.decays, odd_shapes[i].size() >= 2);
      EXPECT_TRUE(bit_equal(parameter.value.detach(), before[i]));
      for (const auto& [part, flat] :
           {std::pair{parameter.value, group.values()}, {parameter.gradient, group.gradient()}}) {
        EXPECT_EQ(reinterpret_cast<uintptr_t>(address(part)) % 64, 0U) << i;
        EXPECT_EQ(address(part), address(flat) + group.offset(i) * static_cast<int64_t>(flat.element_size())) << i;
        EXPECT_LE(group.offset(i) + part.numel(), group.offset(i + 1)) << i;
        EXPECT_EQ(part.sizes(), before[i].sizes());
      }
    }
    EXPECT_EQ(group.offset(tensors.size()), group.values().numel());
    EXPECT_EQ(group.gradient().numel(), group.values().numel());
    group.values().fill_(3);
    for (const auto& tensor : tensors) EXPECT_TRUE((tensor.value == 3).all().item<bool>()) << tensor.name;
    tensors[3].value.detach().fill_(4);
    EXPECT_TRUE((group.values().narrow(0, group.offset(3), tensors[3].value.numel()) == 4).all().item<bool>());
  }
}

TEST(TrainableGroup, MixedTypesAreRefusedByName) {
  auto tensors = leaves(at::kFloat, {{3}, {4}});
  tensors.push_back({"the.wide.one", some_numbers({2}, at::kDouble).clone().requires_grad_()});
  try {
    const TrainableGroup group(tensors, optimizer_of(""), {});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::gave_up);
    for (const char* word : {"the.wide.one", "p0", "double", "float"})
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
  }
}

TEST(TrainableGroup, TheFirstTermOfAStepOverwritesAndOthersAreAdded) {
  const auto tensors = leaves(at::kFloat);
  TrainableGroup group(tensors, optimizer_of("name = \"sgd\""), {});
  for (int step = 0; step < 2; ++step) {
    group.gradient().fill_(nan);
    for (size_t i = 0; i + 1 < tensors.size(); ++i) {
      const at::Tensor some = some_numbers(odd_shapes[i], at::kFloat);
      group.add_gradient(i, term_of(some), 2.0);
      EXPECT_TRUE(bit_equal(group.parameters()[i].gradient, some * 2)) << i;
      group.add_gradient(i, term_of(some), 1.0);
      EXPECT_TRUE(bit_equal(group.parameters()[i].gradient, some * 2 + some)) << i;
    }
    group.complete(0, 1);
    EXPECT_TRUE(group.parameters().back().gradient.isnan().all().item<bool>()) << "it was not to be completed yet";
    const at::Tensor kept = group.parameters()[3].gradient.clone();
    group.complete();
    EXPECT_TRUE(bit_equal(group.parameters()[3].gradient, kept)) << "what was given is no longer there";
    EXPECT_TRUE((group.parameters().back().gradient == 0).all().item<bool>());
    group.gradient().zero_();  // also what lies between the parameters
    group.update(UpdateNumbers::of(0.1));
  }
}

// What lies between parameters is never used: whatever is there, it stays out of norms.
TEST(TrainableGroup, GapsStayZeroThroughAnUpdate) {
  TrainableGroup group(leaves(at::kFloat), optimizer_of(""), {});
  give_gradients(group);
  group.update(UpdateNumbers::of(0.1));
  for (size_t i = 0; i < odd_shapes.size(); ++i) {
    const int64_t end = group.offset(i) + group.parameters()[i].value.numel();
    for (at::Tensor* flat : {&group.values(), &group.gradient()})
      EXPECT_EQ(flat->narrow(0, end, group.offset(i + 1) - end).count_nonzero().item<int64_t>(), 0) << i;
  }
}

// w - rate * rate_factor * (g * clip + decay * decay_factor * w), biases without decay.
TEST(TrainableGroup, RateAndDecayFactorsAreThoseOfTheFormula) {
  const double rate = 0.3, decay = 0.1, clip = 0.25;
  TrainableGroup::Options options;
  options.rate_factor = 0.5;
  options.decay_factor = 3.0;
  const auto tensors = leaves(at::kDouble);
  std::vector<std::vector<double>> before;
  for (const auto& tensor : tensors) before.push_back(listed(tensor.value));
  TrainableGroup group(tensors, optimizer_of("name = \"sgd\"\nweight_decay = 0.1"), options);
  give_gradients(group, 2.0);
  group.update(UpdateNumbers::of(rate, clip));
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::vector<double> gradient = listed(some_numbers(odd_shapes[i], at::kDouble)),
                              after = listed(tensors[i].value);
    const double own_decay = odd_shapes[i].size() >= 2 ? decay * 3.0 : 0.0;
    for (size_t k = 0; k < after.size(); ++k) {
      const double expected = before[i][k] - rate * 0.5 * (2.0 * gradient[k] * clip + own_decay * before[i][k]);
      ASSERT_NEAR(after[k], expected, 1e-15) << i << ", " << k;  // four roundings of numbers below 2
    }
  }
}

TEST(TrainableGroup, WithoutParametersThereIsNothingToDo) {
  TrainableGroup group({}, optimizer_of(""), {});
  group.complete();
  group.measure_norm();
  EXPECT_EQ(group.squared_norm().item<double>(), 0);
  group.update(UpdateNumbers::of(0.1));
  EXPECT_EQ(group.owned_by(0), (TrainableGroup::Range{0, 0}));
}

}  // namespace
}  // namespace interlock
