// RoBERTa's slices, start values, keyed dropout, masked readout and refusals.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <set>

#include "models/blocks/dropout.h"
#include "models/blocks/keyed.h"
#include "tests/models/support.h"

namespace interlock::tests {
namespace {

const std::string tiny = "layers = 4\nwidth = 16\nheads = 2\nfeed_forward = 24\nvocabulary = 40\nmax_length = 12\n";

std::string refusal(const Given& given) {
  try {
    make_model(given);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    return error.what();
  }
  return "accepted";
}

TEST(Roberta, SlicesComposeToTheWholeBitByBitWithDropoutOn) {
  const auto model = make_model({.toml = tiny + "dropout = 0.3\n"});
  const Batch batch = token_batch(3, 12, 40, {12, 5, 9});
  const ForwardContext context{&batch, 5, 17, true};
  const auto whole = model->body(0, 4)->forward(batch.inputs, context);
  for (int64_t cut = 1; cut < 4; ++cut) {
    const auto below = model->body(0, cut)->forward(batch.inputs, context);
    EXPECT_TRUE(bit_equal(model->body(cut, 4)->forward(below, context), whole)) << "cut at " << cut;
  }
  const ForwardContext next_step{&batch, 5, 18, true}, other_seed{&batch, 6, 17, true}, off{&batch, 5, 17, false};
  const auto body = model->body(0, 4);
  EXPECT_FALSE(bit_equal(body->forward(batch.inputs, next_step), whole));
  EXPECT_FALSE(bit_equal(body->forward(batch.inputs, other_seed), whole));
  EXPECT_FALSE(bit_equal(body->forward(batch.inputs, off), whole));
}

TEST(Roberta, SaysWhatItReadsAndScores) {
  const auto model = make_model({.toml = tiny});
  EXPECT_EQ(model->input_type(), token_batch(1, 12, 40).inputs.scalar_type());
  EXPECT_EQ(model->classes(), 40);
  EXPECT_EQ(model->max_length(), 12);
}

TEST(Roberta, StartValuesDependOnNameAndSeedOnly) {
  const auto model = make_model({.toml = tiny}), other = make_model({.toml = tiny, .seed = 2});
  const auto whole = model->body(0, 4)->named_parameters();
  size_t compared = 0;
  for (const auto& [begin, end] : {std::pair{0, 1}, {1, 3}, {3, 4}}) {
    for (const auto& entry : model->body(begin, end)->named_parameters()) {
      ASSERT_TRUE(whole.contains(entry.key())) << entry.key();
      EXPECT_TRUE(bit_equal(entry.value(), whole[entry.key()])) << entry.key();
      ++compared;
    }
  }
  EXPECT_EQ(compared, whole.size());
  const std::string name = "roberta.encoder.layer.2.attention.self.query.weight";
  EXPECT_FALSE(bit_equal(whole[name], other->body(0, 4)->named_parameters()[name]));
  EXPECT_FALSE(bit_equal(whole[name], whole["roberta.encoder.layer.1.attention.self.query.weight"]));
}

TEST(Roberta, StartValuesFollowTheRecipe) {
  const auto model = make_model({.toml = "layers = 1\nwidth = 128\nheads = 4\nvocabulary = 500\n"});
  const auto body = model->body(0, 1)->named_parameters();
  for (const auto& entry : body) {
    const std::string& name = entry.key();
    auto values = listed(entry.value());
    if (entry.value().dim() == 1) {
      const double expected = name.ends_with("weight") ? 1 : 0;
      EXPECT_EQ(values, std::vector<double>(values.size(), expected)) << name;
      continue;
    }
    const bool pads = name.ends_with("word_embeddings.weight") || name.ends_with("position_embeddings.weight");
    if (pads) {
      EXPECT_EQ(largest(listed(entry.value()[1])), 0) << name;
    }
    double sum = 0, squares = 0;
    for (const double value : values) sum += value, squares += value * value;
    const auto count = static_cast<double>(values.size()) - (pads ? 128 : 0);
    // Five standard errors: 0.02 / sqrt(count) of the mean, 0.02 / sqrt(2 count) of the deviation.
    EXPECT_NEAR(sum / count, 0, 5 * 0.02 / std::sqrt(count)) << name;
    EXPECT_NEAR(std::sqrt(squares / count), 0.02, 5 * 0.02 / std::sqrt(2 * count)) << name;
  }
}

TEST(Roberta, ADropoutMaskBelongsToTheSampleNotToTheMicrobatch) {
  const at::Tensor ones = at::full_like(some_numbers({4, 3, 5}, at::kFloat), 1.0);
  const auto masks = [&](const std::vector<int64_t>& samples, uint64_t layer, Site site) {
    Batch batch;
    batch.sample_ids = samples;
    const ForwardContext context{&batch, 1, 3, true};
    return keyed_dropout(ones.narrow(0, 0, static_cast<int64_t>(samples.size())), 0.5, layer, site, context);
  };
  for (const Site site :
       {Site::attention_probabilities, Site::attention_output, Site::feed_forward, Site::embeddings}) {
    const auto together = masks({8, 9, 10, 11}, 2, site);
    EXPECT_TRUE(bit_equal(masks({10, 11}, 2, site), together.narrow(0, 2, 2)));
    EXPECT_TRUE(bit_equal(masks({9}, 2, site), together.narrow(0, 1, 1)));
    EXPECT_FALSE(bit_equal(together[0], together[1]));
    EXPECT_FALSE(bit_equal(masks({8, 9, 10, 11}, 3, site), together));
    EXPECT_FALSE(bit_equal(masks({8, 9, 10, 11}, HeadPlace{2}.layer(), site), together));
  }
  EXPECT_FALSE(bit_equal(masks({8}, 2, Site::attention_output), masks({8}, 2, Site::feed_forward)));
}

TEST(Roberta, ASampleComesOutTheSameFromAnyMicrobatch) {
  const auto model = make_model({.toml = tiny + "dropout = 0.4\n", .precision = Precision::float64});
  const auto body = model->body(0, 4);
  const Batch all = token_batch(4, 12, 40);
  Batch last = all;
  last.inputs = all.inputs.narrow(0, 3, 1);
  last.targets = all.targets.narrow(0, 3, 1);
  last.sample_ids = {all.sample_ids[3]};
  const auto together = body->forward(all.inputs, {&all, 1, 2, true}).narrow(0, 3, 1);
  const auto alone = body->forward(last.inputs, {&last, 1, 2, true});
  // Same masks; products of another size may sum in another order: 2^-53 times a few hundred operations.
  EXPECT_LT(largest_difference(listed(alone), listed(together)), 1e-12);
}

TEST(Roberta, DropoutKeepsTheMeanAndDropsAtItsRate) {
  const auto ones = at::full_like(some_numbers({2, 50, 100}, at::kDouble), 1.0);
  Batch batch;
  batch.sample_ids = {0, 1};
  const auto out = listed(keyed_dropout(ones, 0.2, 0, Site::feed_forward, {&batch, 1, 0, true}));
  const auto dropped = std::count(out.begin(), out.end(), 0.0);
  EXPECT_EQ(std::count(out.begin(), out.end(), 1.25) + dropped, 10000);
  EXPECT_NEAR(static_cast<double>(dropped), 2000, 200);  // five standard deviations of 40
}

TEST(Roberta, PaddingIsNeverLookedAt) {
  for (const char* dropout : {"dropout = 0\n", "dropout = 0\nattention_dropout = 0.3\n"}) {  // both ways of attention
    const auto model = make_model({.toml = tiny + dropout});
    const auto body = model->body(0, 4);
    const auto head = model->head("block", 4);
    Batch batch = token_batch(2, 12, 40, {12, 5});
    const ForwardContext context{&batch, 1, 0, true};
    const auto before = body->forward(batch.inputs, context);
    const auto scores = head->scores(before, context);
    batch.inputs = batch.inputs.clone();
    batch.inputs[1].narrow(0, 5, 7).fill_(33);
    const auto after = body->forward(batch.inputs, context);
    EXPECT_TRUE(bit_equal(before[1].narrow(0, 0, 5), after[1].narrow(0, 0, 5)));
    EXPECT_FALSE(bit_equal(before[1].narrow(0, 5, 7), after[1].narrow(0, 5, 7)));
    EXPECT_TRUE(bit_equal(head->scores(after, context), scores));
  }
}

TEST(Roberta, LengthsThatPadNothingChangeNothingButRounding) {
  const auto model = make_model({.toml = tiny + "dropout = 0\n", .precision = Precision::float64});
  const auto body = model->body(0, 4);
  const Batch plain = token_batch(2, 12, 40), full = token_batch(2, 12, 40, {12, 12});
  // The masked kernel sums in another order: 2^-53 times a few hundred operations.
  EXPECT_LT(largest_difference(listed(body->forward(plain.inputs, {&plain, 1, 0, true})),
                               listed(body->forward(full.inputs, {&full, 1, 0, true}))),
            1e-12);
}

TEST(Roberta, AttentionWithDropoutAgreesWithTheLibrarysWhenAlmostNothingIsDropped) {
  // At a rate of 1e-12 no element of these is dropped, and the factor 1 / (1 - rate) is 1 + 1e-12.
  const auto dropping =
      make_model({.toml = tiny + "dropout = 0\nattention_dropout = 1e-12\n", .precision = Precision::float64});
  const auto plain = make_model({.toml = tiny + "dropout = 0\n", .precision = Precision::float64});
  const Batch batch = token_batch(2, 12, 40, {12, 7});
  const ForwardContext context{&batch, 1, 0, true};
  EXPECT_LT(largest_difference(listed(dropping->body(0, 4)->forward(batch.inputs, context)),
                               listed(plain->body(0, 4)->forward(batch.inputs, context))),
            1e-10);
}

TEST(Roberta, NothingPredictedGivesZeroLossAndZeroGradients) {
  const auto model = make_model({.toml = tiny});
  Batch batch = token_batch(2, 12, 40);
  batch.targets.fill_(ignored_target);
  batch.predicted = 0;
  const ForwardContext context{&batch, 1, 0, true};
  for (const auto& head : {model->readout(), model->head("linear", 2), model->head("block", 2)}) {
    const auto hidden = some_numbers({2, 12, 16}, at::kFloat).requires_grad_();
    const LossSum loss = head->loss(hidden, context);
    EXPECT_EQ(loss.count, 0);
    EXPECT_EQ(loss.sum.item<double>(), 0);
    loss.sum.backward();
    EXPECT_EQ(largest(listed(hidden.grad())), 0);
    for (const auto& entry : head->named_parameters()) {
      EXPECT_EQ(largest(listed(entry.value().grad())), 0) << entry.key();
    }
  }
}

TEST(Roberta, EveryPositionPredictedIsTheSameAsChosenOneByOne) {
  const auto model = make_model({.toml = tiny, .precision = Precision::float64});
  const auto head = model->readout();
  Batch batch = token_batch(2, 12, 40);
  batch.targets = batch.inputs;
  const auto hidden = some_numbers({2, 12, 16}, at::kDouble);
  const double all = head->loss(hidden, {&batch, 1, 0, true}).sum.item<double>();
  double one_by_one = 0;
  for (int64_t place = 0; place < 24; ++place) {
    Batch single = batch;
    single.targets = at::full_like(batch.inputs, ignored_target);
    single.targets.view(-1)[place] = batch.inputs.view(-1)[place];
    const LossSum loss = head->loss(hidden, {&single, 1, 0, true});
    EXPECT_EQ(loss.count, 1);
    one_by_one += loss.sum.item<double>();
  }
  EXPECT_NEAR(all, one_by_one, 1e-11);  // 24 numbers near 4 in double precision
}

TEST(Roberta, NamesAreGlobalAndTheDecoderBiasIsOneTensor) {
  const auto model = make_model({.toml = tiny});
  using testing::UnorderedElementsAre;
  EXPECT_THAT(model->readout()->named_parameters().keys(),
              UnorderedElementsAre("lm_head.dense.weight", "lm_head.dense.bias", "lm_head.layer_norm.weight",
                                   "lm_head.layer_norm.bias", "lm_head.decoder.weight", "lm_head.bias"));
  EXPECT_THAT(model->head("linear", 3)->named_parameters().keys(),
              UnorderedElementsAre("heads.3.norm.weight", "heads.3.norm.bias", "heads.3.decoder.weight",
                                   "heads.3.decoder.bias"));
  const auto block = model->head("block", 3)->named_parameters();
  EXPECT_TRUE(block.contains("heads.3.block.attention.self.query.weight"));
  EXPECT_TRUE(block.contains("heads.3.block.output.LayerNorm.bias"));
  const auto modules = model->body(0, 4)->named_modules();
  for (const InsertionSite& site : model->sites()) EXPECT_TRUE(modules.contains(site.name)) << site.name;
}

TEST(Roberta, RefusesWhatCannotWork) {
  using testing::HasSubstr;
  EXPECT_THAT(refusal({.toml = "width = 10\nheads = 4\n"}), AllOf(HasSubstr("heads"), HasSubstr("10"), HasSubstr("4")));
  EXPECT_THAT(refusal({.toml = "vocabulary = 100\n", .classes = 261}),
              AllOf(HasSubstr("vocabulary too small for the data"), HasSubstr("100"), HasSubstr("261")));
  EXPECT_EQ(refusal({.toml = "vocabulary = 261\n", .classes = 261}), "accepted");
  EXPECT_THAT(refusal({.toml = "max_length = 32\n", .sample_length = 64}), AllOf(HasSubstr("32"), HasSubstr("64")));
  for (const std::string key : {"layers", "width", "heads", "feed_forward", "vocabulary", "max_length"}) {
    for (const std::string value : {"0", "-3"}) EXPECT_THAT(refusal({.toml = key + " = " + value}), HasSubstr(key));
  }
  for (const std::string key : {"dropout", "attention_dropout"}) {
    for (const std::string value : {"1.0", "-0.1", "1.5"})
      EXPECT_THAT(refusal({.toml = key + " = " + value}), HasSubstr(key));
  }
  const auto model = make_model({.toml = tiny});
  EXPECT_THROW(model->head("blok", 2), Error);
  EXPECT_THROW(model->head_costs("blok", 2), Error);
}

TEST(Roberta, AttentionDropoutDefaultsToDropout) {
  const Batch batch = token_batch(2, 12, 40);
  const ForwardContext context{&batch, 1, 0, true};
  const auto out = [&](const std::string& extra) {
    return make_model({.toml = tiny + extra})->body(1, 2)->forward(some_numbers({2, 12, 16}, at::kFloat), context);
  };
  EXPECT_TRUE(bit_equal(out("dropout = 0.3\n"), out("dropout = 0.3\nattention_dropout = 0.3\n")));
  EXPECT_FALSE(bit_equal(out("dropout = 0.3\n"), out("dropout = 0.3\nattention_dropout = 0\n")));
}

}  // namespace
}  // namespace interlock::tests
