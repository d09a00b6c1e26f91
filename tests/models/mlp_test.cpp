// The small model: slices, gradients, refusals, and that it learns.
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "tests/models/support.h"

namespace interlock::tests {
namespace {

Given small(const std::string& extra = "") {
  return {.name = "mlp", .toml = "layers = 3\nwidth = 16\n" + extra, .classes = 3, .features = 4};
}

// Class by which of the first three features is largest: known, and no straight line through the origin alone.
Batch labelled(int64_t samples) {
  Batch batch;
  batch.inputs = some_numbers({samples, 4}, at::kFloat);
  batch.targets = batch.inputs.narrow(1, 0, 3).argmax(1);
  for (int64_t i = 0; i < samples; ++i) batch.sample_ids.push_back(i);
  batch.predicted = samples;
  return batch;
}

TEST(Mlp, SlicesComposeToTheWholeBitByBitWithDropoutOn) {
  const auto model = make_model(small("dropout = 0.3\n"));
  const Batch batch = labelled(5);
  const ForwardContext context{&batch, 1, 2, true};
  const auto whole = model->body(0, 3)->forward(batch.inputs, context);
  const auto below = model->body(0, 2)->forward(batch.inputs, context);
  EXPECT_TRUE(bit_equal(model->body(2, 3)->forward(below, context), whole));
  EXPECT_FALSE(bit_equal(model->body(0, 3)->forward(batch.inputs, {&batch, 1, 3, true}), whole));
}

TEST(Mlp, SaysWhatItReadsAndScores) {
  const auto model = make_model(small());
  EXPECT_EQ(model->input_type(), labelled(1).inputs.scalar_type());
  EXPECT_EQ(model->classes(), 3);
  EXPECT_EQ(model->max_length(), 1);
}

TEST(Mlp, LearnsAKnownRuleByPlainDescent) {
  const auto model = make_model(small());
  const auto body = model->body(0, 3);
  const auto readout = model->readout();
  const auto local = model->head("linear", 1);
  const Batch batch = labelled(128);
  const ForwardContext context{&batch, 1, 0, true};
  auto parameters = body->parameters();
  for (const auto& parameter : readout->parameters()) parameters.push_back(parameter);
  const auto loss = [&] { return readout->loss(body->forward(batch.inputs, context), context).sum / 128; };
  const double at_first = loss().item<double>();
  for (int step = 0; step < 200; ++step) {
    const auto gradients = torch::autograd::grad({loss()}, parameters);
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < parameters.size(); ++i) parameters[i].sub_(gradients[i], 0.3);
  }
  EXPECT_GT(at_first, 0.9);  // near ln 3 = 1.10: nothing is known yet
  EXPECT_LT(loss().item<double>(), 0.3);
  const auto guesses = readout->scores(body->forward(batch.inputs, context), context).argmax(1);
  EXPECT_GT(guesses.eq(batch.targets).sum().item<int64_t>(), 115);
  EXPECT_EQ(local->scores(model->body(0, 1)->forward(batch.inputs, context), context).sizes(),
            (std::vector<int64_t>{128, 3}));
}

TEST(Mlp, WorksInDoublePrecisionOnFloatInputs) {
  Given given = small();
  given.precision = Precision::float64;
  const auto model = make_model(given);
  const Batch batch = labelled(3);
  const ForwardContext context{&batch, 1, 0, true};
  const LossSum loss = model->readout()->loss(model->body(0, 3)->forward(batch.inputs, context), context);
  EXPECT_EQ(loss.sum.scalar_type(), at::kDouble);
  EXPECT_EQ(loss.count, 3);
}

TEST(Mlp, RefusesWhatCannotWork) {
  using testing::HasSubstr;
  const auto refusal = [](const Given& given) -> std::string {
    try {
      make_model(given);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::config);
      return error.what();
    }
    return "accepted";
  };
  Given text = small();
  text.features = 0;
  EXPECT_THAT(refusal(text), HasSubstr("0 features"));
  EXPECT_THAT(refusal(small("dropout = 1.0\n")), HasSubstr("dropout"));
  EXPECT_EQ(refusal(small()), "accepted");
  EXPECT_THROW(make_model(small())->head("block", 1), Error);
  EXPECT_THAT(make_model(small())->body(0, 3)->named_parameters().keys(), testing::Contains("mlp.layer.2.weight"));
}

}  // namespace
}  // namespace interlock::tests
