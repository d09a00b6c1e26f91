// gpt: against Hugging Face's GPT2LMHeadModel (tests/golden/gpt.json, written by make_gpt_golden.py in double
// precision), its slices, what a token may look at, documents, the cache of keys and values, sizes and refusals.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "models/key_value_cache.h"
#include "models/parameter_count.h"
#include "tests/models/golden_weights.h"
#include "tests/models/support.h"

namespace interlock::tests {
namespace {

const std::string tiny = "layers = 4\nwidth = 16\nheads = 2\nfeed_forward = 24\nvocabulary = 40\nmax_length = 12\n";

Given gpt(const std::string& lines, Precision precision = Precision::float32) {
  return {.name = "gpt", .toml = lines, .precision = precision, .predicted_share = 1, .objective = Objective::causal};
}

// Hugging Face's files hold the matrices of blocks as [inputs, outputs].
bool is_turned(const std::string& name, const at::Tensor& values) {
  return values.dim() == 2 && name.find(".h.") != std::string::npos;
}

class GptParity : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    std::ifstream(INTERLOCK_GOLDEN "/gpt.json") >> golden_;
    std::string lines;
    for (const std::string key : {"layers", "width", "heads", "feed_forward", "vocabulary", "max_length"})
      lines += key + " = " + golden_["config"][key].dump() + "\n";
    const auto model = make_model(gpt(lines, GetParam() ? Precision::float64 : Precision::float32));
    body_ = model->body(0, model->units());
    readout_ = model->readout();
    fill_with_golden_weights(*body_, is_turned);
    fill_with_golden_weights(*readout_, is_turned);
    batch_.inputs = integers(golden_["tokens"]);
    batch_.targets = integers(golden_["targets"]);
    batch_.sample_ids = {0, 1, 2};
    context_ = {&batch_, 1, 0, false};
  }

  nlohmann::json golden_;
  std::shared_ptr<Body> body_;
  std::shared_ptr<Head> readout_;
  Batch batch_;
  ForwardContext context_;
};

// Bounds as in parity_test.cpp: nine digits stored; single precision through some 20 operations on numbers near 1.
TEST_P(GptParity, LogitsOfAllPositions) {
  const auto expected = golden_["logits"].get<std::vector<double>>();
  const auto ours = listed(readout_->scores(body_->forward(batch_.inputs, context_), context_));
  EXPECT_LT(largest_difference(ours, expected), GetParam() ? 1e-8 : 1e-5);
}

TEST_P(GptParity, LossAndGradientsOfEveryParameter) {
  const LossSum loss = readout_->loss(body_->forward(batch_.inputs, context_), context_);
  EXPECT_NEAR(loss.sum.item<double>(), golden_["loss"].get<double>(), GetParam() ? 1e-7 : 1e-4);
  EXPECT_EQ(loss.count, 36);
  loss.sum.backward();
  // Of the fused bias the middle third is the key's, whose true gradient is zero; the others give the scale.
  expect_gradients({body_.get(), readout_.get()}, golden_["gradients"], GetParam() ? 1e-8 : 1e-5, {}, is_turned);
}

INSTANTIATE_TEST_SUITE_P(Precision, GptParity, testing::Bool(),
                         [](const auto& precision) { return precision.param ? "float64" : "float32"; });

TEST(Gpt, SlicesComposeToTheWholeBitByBitWithDropoutOn) {
  const auto model = make_model(gpt(tiny + "dropout = 0.3\n"));
  const Batch batch = token_batch(3, 12, 40);
  const ForwardContext context{&batch, 5, 17, true};
  const auto whole = model->body(0, 4)->forward(batch.inputs, context);
  for (int64_t cut = 1; cut < 4; ++cut) {
    const auto below = model->body(0, cut)->forward(batch.inputs, context);
    EXPECT_TRUE(bit_equal(model->body(cut, 4)->forward(below, context), whole)) << "cut at " << cut;
  }
}

// Both ways of attention: the library's, and ours with dropout.
TEST(Gpt, NoTokenLooksAhead) {
  for (const char* dropout : {"dropout = 0\n", "dropout = 0\nattention_dropout = 0.3\n"}) {
    const auto body = make_model(gpt(tiny + dropout))->body(0, 4);
    Batch batch = token_batch(2, 12, 40);
    const ForwardContext context{&batch, 1, 0, true};
    const auto before = body->forward(batch.inputs, context);
    batch.inputs = batch.inputs.clone();
    batch.inputs.select(1, 7).fill_(33);
    const auto after = body->forward(batch.inputs, context);
    EXPECT_TRUE(bit_equal(before.narrow(1, 0, 7), after.narrow(1, 0, 7))) << dropout;
    for (int64_t place = 7; place < 12; ++place)
      EXPECT_FALSE(bit_equal(before.select(1, place), after.select(1, place))) << dropout << place;
  }
}

TEST(Gpt, AttentionWithDropoutAgreesWithTheLibrarysWhenAlmostNothingIsDropped) {
  // At a rate of 1e-12 no element of these is dropped, and the factor 1 / (1 - rate) is 1 + 1e-12.
  const auto dropping = make_model(gpt(tiny + "dropout = 0\nattention_dropout = 1e-12\n", Precision::float64));
  const auto plain = make_model(gpt(tiny + "dropout = 0\n", Precision::float64));
  Batch batch = token_batch(2, 12, 40);
  for (const bool documents : {false, true}) {
    if (documents)
      batch.positions = integers({{0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 1}});
    const ForwardContext context{&batch, 1, 0, true};
    EXPECT_LT(largest_difference(listed(dropping->body(0, 4)->forward(batch.inputs, context)),
                                 listed(plain->body(0, 4)->forward(batch.inputs, context))),
              1e-10);
  }
}

// Truth: each document alone.
TEST(Gpt, DocumentsOfASampleDoNotSeeEachOther) {
  const auto body = make_model(gpt(tiny + "dropout = 0\n", Precision::float64))->body(0, 4);
  Batch batch = token_batch(1, 12, 40);
  batch.positions = integers({{0, 1, 2, 3, 4, 0, 1, 2, 3, 0, 1, 2}});
  const auto together = body->forward(batch.inputs, {&batch, 1, 0, true});
  for (const auto& [begin, length] : {std::pair{0, 5}, {5, 4}, {9, 3}}) {
    Batch alone;
    alone.inputs = batch.inputs.narrow(1, begin, length).contiguous();
    alone.sample_ids = {100};
    // Masked and unmasked kernels sum in other orders: 2^-53 times a few hundred operations.
    EXPECT_LT(largest_difference(listed(body->forward(alone.inputs, {&alone, 1, 0, true})),
                                 listed(together.narrow(1, begin, length))),
              1e-12)
        << begin;
  }
}

// Prompts of unequal length, filled up to the longest, then token by token; truth: the whole text at once.
TEST(Gpt, TheCacheGivesTheScoresOfTheWholeText) {
  const at::NoGradGuard no_graph;
  for (const Precision precision : {Precision::float64, Precision::float32}) {
    const auto model = make_model(gpt(tiny, precision));
    const auto body = model->body(0, 4);
    const auto head = model->head("block", 4);  // has a block of its own
    const Batch whole = token_batch(2, 12, 40);
    const std::vector<int64_t> prompts = {3, 6};
    KeyValueCache cache{.capacity = 12, .positions = {}, .filled = 0, .layers = {}};
    Batch now;
    now.sample_ids = {100, 101};
    const auto feed = [&](const at::Tensor& tokens, const at::Tensor& positions, int64_t filled) {
      now.inputs = tokens;
      now.targets = at::full_like(tokens, 0);
      cache.positions = positions;
      cache.filled = filled;
      const ForwardContext context{.batch = &now, .training = false, .cache = &cache};
      return head->scores(body->forward(tokens, context), context).view({2, tokens.size(1), 40});
    };
    Batch all = whole;
    all.targets = at::full_like(whole.inputs, 0);
    const ForwardContext context{.batch = &all, .training = false};
    const auto truth = head->scores(body->forward(all.inputs, context), context).view({2, 12, 40});
    // float32: scores below 1 through four blocks whose sums are made in other orders.
    const double bound = precision == Precision::float64 ? 1e-12 : 1e-5;
    const auto compare = [&](const at::Tensor& found, int64_t sample, int64_t place) {
      EXPECT_LT(largest_difference(listed(found), listed(truth[sample][place])), bound) << sample << " " << place;
    };
    at::Tensor tokens = whole.inputs.narrow(1, 0, 6).clone();
    tokens[0].narrow(0, 3, 3).fill_(1);  // fills up
    const at::Tensor first = feed(tokens, integers({{0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}}), 6);
    for (int64_t place = 0; place < 3; ++place) compare(first[0][place], 0, place);
    for (int64_t place = 0; place < 6; ++place) compare(first[1][place], 1, place);
    for (int64_t step = 0; step < 6; ++step) {
      const int64_t a = prompts[0] + step, b = prompts[1] + step;
      const at::Tensor next = integers({{whole.inputs[0][a].item<int64_t>()}, {whole.inputs[1][b].item<int64_t>()}});
      const at::Tensor found = feed(next, integers({{a}, {b}}), b + 1);
      compare(found[0][0], 0, a);
      compare(found[1][0], 1, b);
    }
  }
}

TEST(Gpt, HasThePublishedSizes) {
  const auto numbers = [](const std::string& lines) {
    return parameter_count(*make_model(gpt(lines + "vocabulary = 50257\nmax_length = 1024\ntie_embeddings = true\n")));
  };
  EXPECT_EQ(numbers("layers = 12\nwidth = 768\nheads = 12\n"), 124439808);
  EXPECT_EQ(numbers("layers = 48\nwidth = 1600\nheads = 25\n"), 1557611200);
}

TEST(Gpt, WhatJoinsTheResidualStartsSmaller) {
  const auto named = make_model(gpt("layers = 8\nwidth = 128\nheads = 4\n"))->body(0, 8)->named_parameters();
  for (const auto& entry : named) {
    if (entry.value().dim() != 2) continue;
    const auto values = listed(entry.value());
    double squares = 0;
    for (const double value : values) squares += value * value;
    const auto count = static_cast<double>(values.size());
    const double wanted = entry.key().ends_with("c_proj.weight") ? 0.02 / std::sqrt(16.0) : 0.02;
    // Five standard errors of a deviation.
    EXPECT_NEAR(std::sqrt(squares / count), wanted, 5 * wanted / std::sqrt(2 * count)) << entry.key();
  }
}

TEST(Gpt, NamesAreGlobalAndTiesStartEqual) {
  const auto model = make_model(gpt(tiny + "tie_embeddings = true\n"));
  const auto body = model->body(0, 4)->named_parameters(), readout = model->readout()->named_parameters();
  EXPECT_THAT(readout.keys(),
              testing::UnorderedElementsAre("transformer.ln_f.weight", "transformer.ln_f.bias", "lm_head.weight"));
  EXPECT_TRUE(bit_equal(body["transformer.wte.weight"], readout["lm_head.weight"]));
  EXPECT_EQ(body["transformer.h.3.attn.c_attn.weight"].sizes(), (std::vector<int64_t>{48, 16}));
  const auto modules = model->body(0, 4)->named_modules();
  for (const InsertionSite& site : model->sites()) EXPECT_TRUE(modules.contains(site.name)) << site.name;
}

std::string refusal(Given given) {
  try {
    make_model(given);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    return error.what();
  }
  return "accepted";
}

TEST(Gpt, RefusesWhatCannotWork) {
  using testing::HasSubstr;
  Given masked = gpt(tiny), roberta = gpt(tiny);
  masked.objective = Objective::masked;
  roberta.name = "roberta";
  EXPECT_THAT(refusal(masked), AllOf(HasSubstr("continues texts"), HasSubstr("causal")));
  EXPECT_THAT(refusal(roberta), AllOf(HasSubstr("behind a token"), HasSubstr("gpt")));
  EXPECT_THAT(refusal(gpt("embedding_dropout = 1.0")), HasSubstr("embedding_dropout"));
  Given small = gpt("vocabulary = 100\n");
  small.classes = 261;
  EXPECT_THAT(refusal(small), HasSubstr("vocabulary too small for the data"));
}

}  // namespace
}  // namespace interlock::tests
