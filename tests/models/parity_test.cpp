// RoBERTa against Hugging Face's RobertaForMaskedLM and RobertaPreLayerNormForMaskedLM: tests/golden/roberta.json and
// roberta_pre_norm.json hold the logits and gradients that make_roberta_golden.py computed in double precision with
// weights made by a formula, on a batch with padding.
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/models/golden_weights.h"
#include "tests/models/support.h"

namespace interlock::tests {
namespace {

class Parity : public testing::TestWithParam<std::tuple<bool, const char*>> {
 protected:
  void SetUp() override {
    const std::string norm = std::get<1>(GetParam());
    std::ifstream(norm == "pre" ? INTERLOCK_GOLDEN "/roberta_pre_norm.json" : INTERLOCK_GOLDEN "/roberta.json") >>
        golden_;
    const auto& config = golden_["config"];
    Given given{.toml = "norm = \"" + norm + "\"\n"};
    if (exact()) given.precision = Precision::float64;
    for (const std::string key : {"layers", "width", "heads", "feed_forward", "vocabulary", "max_length"}) {
      given.toml += key + " = " + config[key].dump() + "\n";
    }
    const auto model = make_model(given);
    body_ = model->body(0, model->units());
    readout_ = model->readout();
    fill_with_golden_weights(*body_);
    fill_with_golden_weights(*readout_);
    batch_.inputs = integers(golden_["tokens"]);
    batch_.targets = integers(golden_["targets"]);
    batch_.lengths = at::tensor(golden_["lengths"].get<std::vector<int64_t>>());
    batch_.sample_ids = {0, 1, 2};
    context_ = {&batch_, 1, 0, false};
  }

  static bool exact() { return std::get<0>(GetParam()); }

  nlohmann::json golden_;
  std::shared_ptr<Body> body_;
  std::shared_ptr<Head> readout_;
  Batch batch_;
  ForwardContext context_;
};

TEST_P(Parity, LogitsOfThePredictedPositions) {
  const auto expected = golden_["logits"].get<std::vector<double>>();
  const auto ours = listed(readout_->scores(body_->forward(batch_.inputs, context_), context_));
  // Stored with nine digits: values near 1 carry an error of 1e-9. Single precision: 2^-24 through some 20 operations
  // on numbers near 1 stays below 1e-5, far from the 1e-2 that any change of the architecture makes.
  EXPECT_LT(largest_difference(ours, expected), exact() ? 1e-8 : 1e-5);
}

TEST_P(Parity, LossAndGradientsOfEveryParameter) {
  const LossSum loss = readout_->loss(body_->forward(batch_.inputs, context_), context_);
  EXPECT_NEAR(loss.sum.item<double>(), golden_["loss"].get<double>(), exact() ? 1e-8 : 1e-4);
  EXPECT_EQ(loss.count, 7);
  loss.sum.backward();
  // A shift of all scores of a row changes nothing: the key bias has a true gradient of zero, so its bound is absolute.
  expect_gradients({body_.get(), readout_.get()}, golden_["gradients"], exact() ? 1e-8 : 1e-5,
                   [](const std::string& name) { return name.ends_with("key.bias") ? 0.1 : 0.0; });
}

INSTANTIATE_TEST_SUITE_P(Models, Parity, testing::Combine(testing::Bool(), testing::Values("post", "pre")),
                         [](const auto& given) {
                           return std::string(std::get<0>(given.param) ? "float64_" : "float32_") +
                                  std::get<1>(given.param);
                         });

}  // namespace
}  // namespace interlock::tests
