// Optimizers against plain loops over doubles that share no code with them.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tests/optimization/support.h"

namespace interlock {
namespace {

using namespace tests;

using Truth = std::function<double(double value, double decay, const std::vector<double>& gradients)>;

// An epsilon of 1e-2 makes its place a difference of 1e-3. fairseq: epsilon joins the root before its bias is
// corrected.
double plain_adamw_of(double value, double decay, const std::vector<double>& gradients, bool fairseq) {
  const double beta1 = 0.8, beta2 = 0.95, epsilon = 1e-2;
  double mean = 0, square = 0;
  for (int t = 1; t <= kSteps; ++t) {
    const double gradient = gradients[static_cast<size_t>(t - 1)], rate = kRate * t;
    value -= rate * decay * value;
    mean = beta1 * mean + (1 - beta1) * gradient;
    square = beta2 * square + (1 - beta2) * gradient * gradient;
    if (fairseq) {
      value -=
          rate * std::sqrt(1 - std::pow(beta2, t)) / (1 - std::pow(beta1, t)) * mean / (std::sqrt(square) + epsilon);
      continue;
    }
    const double mean_hat = mean / (1 - std::pow(beta1, t)), square_hat = square / (1 - std::pow(beta2, t));
    value -= rate * mean_hat / (std::sqrt(square_hat) + epsilon);
  }
  return value;
}
double plain_adamw(double value, double decay, const std::vector<double>& gradients) {
  return plain_adamw_of(value, decay, gradients, false);
}
double fairseq_adamw(double value, double decay, const std::vector<double>& gradients) {
  return plain_adamw_of(value, decay, gradients, true);
}

// The formula of torch.optim.SGD's page, dampening 0; with `decays_all` every number decays.
Truth plain_sgd(double momentum, bool nesterov = false, bool decays_all = false) {
  return [=](double value, double decay, const std::vector<double>& gradients) {
    double velocity = 0;
    for (int t = 1; t <= kSteps; ++t) {
      const double gradient = gradients[static_cast<size_t>(t - 1)] + (decays_all ? kDecay : decay) * value;
      velocity = momentum * velocity + gradient;
      value -= kRate * t * (nesterov ? gradient + momentum * velocity : velocity);
    }
    return value;
  };
}

void expect_truth(const std::string& lines, const Truth& truth) {
  const Problem problem(1);
  for (const auto type : {at::kDouble, at::kFloat}) {
    // About ten roundings a step over six steps of numbers near 1: 60 x 1.1e-16 (6.0e-8 in float), with room for a
    // factor 3.
    const double tolerance = type == at::kDouble ? 2e-14 : 1e-5;
    const auto optimizer = make(lines);
    const auto values = trained(problem, *optimizer, kAll, type);
    for (const size_t i : kAll) {
      const auto got = numbers_of(values[i]);
      const double decay = decays(i) ? kDecay : 0.0;
      for (size_t k = 0; k < got.size(); ++k) {
        std::vector<double> gradients;
        for (const auto& of_step : problem.gradients[i]) gradients.push_back(of_step[k]);
        const double expected = truth(problem.start[i][k], decay, gradients);
        EXPECT_NEAR(got[k], expected, tolerance * std::max(1.0, std::abs(expected))) << lines << ": " << i << ", " << k;
      }
    }
  }
}

TEST(Optimizer, AdamWIsThePlainLoop) {
  expect_truth("name = \"adamw\"\nbeta1 = 0.8\nbeta2 = 0.95\nepsilon = 1e-2\nweight_decay = 0.1", plain_adamw);
  expect_truth(
      "name = \"adamw\"\nbeta1 = 0.8\nbeta2 = 0.95\nepsilon = 1e-2\nepsilon_placement = \"fairseq\"\nweight_decay = "
      "0.1",
      fairseq_adamw);
}

TEST(Optimizer, SgdIsThePlainLoop) {
  expect_truth("name = \"sgd\"\nweight_decay = 0.1", plain_sgd(0.0));
  expect_truth("name = \"sgd\"\nmomentum = 0.9\nweight_decay = 0.1", plain_sgd(0.9));
  expect_truth("name = \"sgd\"\nmomentum = 0.9\nnesterov = true\nweight_decay = 0.1", plain_sgd(0.9, true));
  expect_truth("name = \"sgd\"\nmomentum = 0.9\ndecayed = \"all\"\nweight_decay = 0.1", plain_sgd(0.9, false, true));
}

const std::vector<std::string> kEvery = {"name = \"adamw\"", "name = \"adamw\"\nepsilon_placement = \"fairseq\"",
                                         "name = \"sgd\"\nmomentum = 0.9", "name = \"lamb\"", "name = \"sgd\""};

// Where a stage ends and how many threads it has decides which tensors share a call: no bit may hear of it.
TEST(Optimizer, BitsDoNotDependOnTheCut) {
  const Problem problem(2);
  for (const std::string& lines : kEvery) {
    for (const auto type : {at::kFloat, at::kDouble}) {
      at::set_num_threads(1);
      const auto together = trained(problem, *make(lines), kAll, type);
      at::set_num_threads(2);
      for (const size_t i : kAll) {
        const auto alone = trained(problem, *make(lines), {i}, type);
        EXPECT_TRUE(same_bits(alone[0], together[i])) << lines << " tensor " << i;
      }
      at::set_num_threads(1);
    }
  }
}

// A replica that keeps a share of the state updates a part of a tensor.
TEST(Optimizer, ElementwiseOnesMayBeCutInsideATensor) {
  for (const std::string& lines : kEvery) {
    const auto whole = make(lines), parts = make(lines);
    if (!whole->elementwise()) continue;
    const auto start = tensor_of(Problem(3).start[5], {3, 20011}, at::kFloat).view({-1});
    const at::Tensor one = start.clone(), other = start.clone(), gradient = start.mul(0.5);
    whole->attach({{"w", one, gradient}});
    constexpr int64_t cut = 12345;
    parts->attach({{"w", other.narrow(0, 0, cut), gradient.narrow(0, 0, cut)},
                   {"w", other.narrow(0, cut, 60033 - cut), gradient.narrow(0, cut, 60033 - cut)}});
    for (int step = 0; step < 3; ++step) whole->step(UpdateNumbers::of(kRate)), parts->step(UpdateNumbers::of(kRate));
    EXPECT_TRUE(same_bits(one, other)) << lines;
  }
  EXPECT_FALSE(make("name = \"lamb\"")->elementwise());
}

// What a checkpoint does: the state written into a fresh optimizer goes on as if nothing had happened.
TEST(Optimizer, StateCarriesOver) {
  const Problem problem(4);
  for (const std::string& lines : kEvery) {
    std::vector<Parameter> here, there;
    for (const size_t i : kAll) {
      const at::Tensor value = tensor_of(problem.start[i], kShapes[i], at::kFloat);
      const at::Tensor gradient = tensor_of(problem.gradients[i][0], kShapes[i], at::kFloat);
      here.push_back({"p" + std::to_string(i), value, gradient, decays(i)});
    }
    const auto one = make(lines);
    one->attach(here);
    for (int step = 0; step < 3; ++step) one->step(UpdateNumbers::of(kRate));
    for (Parameter copy : here) {
      copy.value = copy.value.clone();
      there.push_back(copy);
    }
    const auto other = make(lines);
    other->attach(there);
    const auto from = one->state(), to = other->state();
    ASSERT_EQ(from.size(), here.size());
    for (size_t i = 0; i < from.size(); ++i) {
      ASSERT_EQ(from[i].size(), one->state_names().size()) << lines;
      for (size_t k = 0; k < from[i].size(); ++k) {
        EXPECT_TRUE(from[i][k].dim() == 0 || from[i][k].sizes() == here[i].value.sizes()) << lines;
        to[i][k].copy_(from[i][k]);
      }
    }
    one->step(UpdateNumbers::of(kRate));
    other->step(UpdateNumbers::of(kRate));
    for (size_t i = 0; i < here.size(); ++i)
      EXPECT_TRUE(same_bits(here[i].value, there[i].value)) << lines << ": " << i;
  }
}

TEST(Optimizer, StageWithoutParameters) {
  for (const std::string& lines : kEvery) {
    const auto optimizer = make(lines);
    optimizer->attach({});
    EXPECT_NO_THROW(optimizer->step(UpdateNumbers::of(0.1)));
    EXPECT_TRUE(optimizer->state().empty());
  }
}

// What a plan counts: bytes of state per byte of parameters, the counts of updates aside.
TEST(Optimizer, StateRatioIsWhatItKeeps) {
  for (const std::string& lines : kEvery) {
    const auto optimizer = make(lines);
    const at::Tensor value = tensor_of(std::vector<double>(1000, 1.0), {10, 100}, at::kFloat);
    optimizer->attach({{"w", value, value.clone()}});
    double bytes = 0;
    const auto state = optimizer->state();
    for (const at::Tensor& tensor : state.front())
      if (tensor.dim() > 0) bytes += static_cast<double>(tensor.nbytes());
    EXPECT_EQ(bytes / 4000, optimizer->state_ratio()) << lines;
  }
}

TEST(Optimizer, Refusals) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"name = \"adam\"", "adamw"},
      {"name = \"sgd\"\nbeta1 = 0.9", "beta1"},
      {"name = \"adamw\"\nmomentum = 0.9", "momentum"},
      {"name = \"adamw\"\ntrust_clip = 10", "trust_clip"},
      {"name = \"lamb\"\ntrust_clip = -1", "trust_clip"},
      {"epsilon_placement = \"before\"", "epsilon_placement"},
      {"beta1 = 1.0", "beta1"},
      {"beta2 = 1", "beta2"},
      {"epsilon = 0.0", "epsilon"},
      {"weight_decay = -0.1", "weight_decay"},
      {"name = \"sgd\"\nmomentum = 2.0", "momentum"},
      {"name = \"sgd\"\nnesterov = true", "nesterov"},
  };
  for (const auto& [lines, word] : wrong) {
    try {
      make(lines);
      ADD_FAILURE() << "accepted " << lines;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::config);
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace interlock
