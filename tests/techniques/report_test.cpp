// What techniques tell of themselves, against what runs leave behind: traces and weights.

#include <ATen/ops/matmul.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <regex>

#include "tests/equivalence/pieces_of_a_run.h"

namespace interlock {
namespace {

// float64, so that what is told and what is computed again agree to its rounding.
const Overrides exact{"run.precision='float64'", "learning.rule=sum", "run.steps=3"};
constexpr double rounding = 1e-12;

TestRun run_of(const std::string& technique, const Overrides& more = {}) {
  Overrides all = exact;
  all.insert(all.end(), more.begin(), more.end());
  if (!technique.empty()) all.push_back("technique=[" + technique + "]");
  return run_on_loopback(settings_for_test(all));
}

double squares(const at::Tensor& tensor) { return tensor.square().sum().item<double>(); }

// Of the tensors of a run named X + ending, the sum of what `of` makes of X.
template <class Of>
double sum_over(const TestRun& run, const std::string& ending, Of of) {
  double sum = 0;
  for (const TensorEntry& tensor : run.weights->tensors())
    if (tensor.name.ends_with(ending)) sum += of(tensor.name.substr(0, tensor.name.size() - ending.size()));
  EXPECT_GT(sum, 0) << "no " << ending;
  return sum;
}

// The trace has what every forward action left out.
TEST(TechniqueReport, LayersThatRunAreThoseOfTheTrace) {
  const TestRun run = run_of("{name='layer_drop', rate=0.4}", {"model.layers=8", "parallel.ranks=4"});
  const std::regex forward(R"(\d+F\d+( without ([0-9, ]+))?)");
  std::map<int64_t, double> left_out;
  for (const RankSummary& rank : run.summary.ranks)
    for (const TraceSlice& slice : rank.trace.slices) {
      std::smatch found;
      const std::string name = slice.name;
      if (slice.track != TraceTrack::compute || !std::regex_match(name, found, forward) || !found[1].matched) continue;
      const std::string layers = found[2];
      left_out[slice.step] += 1.0 + static_cast<double>(std::ranges::count(layers, ','));
    }
  ASSERT_EQ(run.metrics.size(), 3U);
  double mean = 0;
  for (const StepMetrics& step : run.metrics) {
    const double expected = 1 - left_out[step.step] / (8 * 3);  // layers, microbatches
    EXPECT_DOUBLE_EQ(step.techniques.at("layer_drop.layers_run"), expected);
    mean += expected / 3;
  }
  EXPECT_LT(mean, 0.9);
  EXPECT_NEAR(run.summary.techniques.at("layer_drop.layers_run"), mean, rounding);
}

TEST(TechniqueReport, UpdatesBesideTheirWeights) {
  const TestRun run = run_of("{name='lora', rank=3, alpha=6, targets=['query', 'intermediate.dense']}");
  const auto of = [&](const std::string& name) { return tensor_of(*run.weights, name); };
  const double updates = sum_over(run, ".lora_A.weight", [&](const std::string& site) {
    return squares(at::matmul(of(site + ".lora_B.weight"), of(site + ".lora_A.weight")).mul(2));
  });
  const double weights =
      sum_over(run, ".lora_A.weight", [&](const std::string& site) { return squares(of(site + ".weight")); });
  const double told = run.summary.techniques.at("lora.update");
  EXPECT_NEAR(told, std::sqrt(updates / weights), rounding * told);
  EXPECT_EQ(run.metrics.back().techniques.at("lora.update"), told);
  EXPECT_TRUE(run.metrics.front().techniques.empty()) << "measured without an evaluation";
}

TEST(TechniqueReport, TheSizeOfAnAdapter) {
  const TestRun run = run_of("{name='adapters', size=3, deviation=0.1}");
  const auto of = [&](const std::string& name) { return tensor_of(*run.weights, name); };
  const double products = sum_over(run, ".adapter_up.weight", [&](const std::string& adapter) {
    return squares(at::matmul(of(adapter + ".adapter_up.weight"), of(adapter + ".adapter_down.0.weight")));
  });
  const double told = run.summary.techniques.at("adapters.size");
  EXPECT_NEAR(told, std::sqrt(products / 8), rounding * told);  // four layers with two each
}

TEST(TechniqueReport, TheDistanceFromTheStart) {
  const TestRun start = run_of("", {"run.steps=0"}), run = run_of("{name='mixout', rate=0.5}");
  const auto way = [&](const std::string& site) {
    return squares(minus(tensor_of(*run.weights, site + ".weight"), tensor_of(*start.weights, site + ".weight")));
  };
  const auto whole = [&](const std::string& site) { return squares(tensor_of(*start.weights, site + ".weight")); };
  const double told = run.summary.techniques.at("mixout.distance");
  EXPECT_NEAR(told, std::sqrt(sum_over(run, ".mixout.weight", way) / sum_over(run, ".mixout.weight", whole)),
              rounding * told);
}

// Training goes on as without, so a plain run ends with the weights that the average lies behind.
TEST(TechniqueReport, TheDistanceOfTheAverage) {
  const TestRun plain = run_of(""), run = run_of("{name='ema', decay=0.6}");
  double way = 0, whole = 0;
  for (const TensorEntry& tensor : plain.weights->tensors()) {
    if (tensor.name == "lm_head.bias" && plain.weights->find("lm_head.decoder.bias") != nullptr) continue;  // an alias
    const at::Tensor value = tensor_of(*plain.weights, tensor.name);
    way += squares(minus(tensor_of(*run.weights, tensor.name), value));
    whole += squares(value);
  }
  const double told = run.summary.techniques.at("ema.distance");
  EXPECT_NEAR(told, std::sqrt(way / whole), 1e-9 * told);
}

TEST(TechniqueReport, NothingIsToldWithoutATechnique) {
  const TestRun run = run_of("", {"run.evaluate_every=1"});
  EXPECT_TRUE(run.summary.techniques.empty());
  for (const StepMetrics& step : run.metrics) EXPECT_TRUE(step.techniques.empty());
}

}  // namespace
}  // namespace interlock
