// Tied embeddings, and the local head that reads through a copy of the readout.
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "models/blocks/keyed.h"
#include "models/blocks/transformer.h"
#include "models/parameter_count.h"
#include "tests/models/support.h"

namespace interlock::tests {
namespace {

const std::string tiny = "layers = 2\nwidth = 16\nheads = 2\nfeed_forward = 24\nvocabulary = 40\nmax_length = 12\n";
const std::string tied = tiny + "tie_embeddings = true\n";

std::string sizes(int64_t layers, int64_t width, int64_t heads, const std::string& tie) {
  return message("layers = ", layers, "\nwidth = ", width, "\nheads = ", heads, "\nfeed_forward = ", 4 * width,
                 "\nvocabulary = 50265\nmax_length = 512\ntie_embeddings = ", tie, "\n");
}

TEST(Tie, ParametersAreCountedAsTransformersDoes) {
  // sum(p.numel() for p in RobertaForMaskedLM(config).parameters()) of the published configs.
  EXPECT_EQ(parameter_count(*make_model({.toml = sizes(12, 768, 12, "true")})), 124'697'433);
  EXPECT_EQ(parameter_count(*make_model({.toml = sizes(24, 1024, 16, "true")})), 355'412'057);
  // Untied, the decoder has a table of its own.
  EXPECT_EQ(parameter_count(*make_model({.toml = sizes(12, 768, 12, "false")})), 124'697'433 + 50265 * 768);
}

TEST(Tie, TheDecoderStartsAsTheWordTable) {
  const auto model = make_model({.toml = tied});
  const auto tie = model->tie();
  ASSERT_TRUE(tie.has_value());
  EXPECT_EQ(tie->numbers, 40 * 16);
  const auto body = model->body(0, 1)->named_parameters(), readout = model->readout()->named_parameters();
  ASSERT_TRUE(body.contains(tie->body) && readout.contains(tie->readout));
  EXPECT_EQ(tie->body, "roberta.embeddings.word_embeddings.weight");
  EXPECT_EQ(tie->readout, "lm_head.decoder.weight");
  EXPECT_TRUE(bit_equal(body[tie->body], readout[tie->readout]));
  EXPECT_FALSE(body[tie->body].is_same(readout[tie->readout])) << "each holds a tensor of its own";
  EXPECT_EQ(largest(listed(readout[tie->readout][1])), 0);  // padding

  const auto apart = make_model({.toml = tiny});
  EXPECT_FALSE(apart->tie().has_value());
  EXPECT_FALSE(bit_equal(apart->readout()->named_parameters()[tie->readout], body[tie->body]));
  EXPECT_TRUE(bit_equal(apart->body(0, 1)->named_parameters()[tie->body], body[tie->body]));
  for (const std::string& name : readout.keys()) {
    if (name == tie->readout) continue;
    EXPECT_TRUE(bit_equal(apart->readout()->named_parameters()[name], readout[name])) << name;
  }
}

TEST(Tie, AFileHoldsTheTableOnceAndLocalDecodersAreNeverTied) {
  using Alias = std::pair<std::string, std::string>;
  const auto model = make_model({.toml = tied}), apart = make_model({.toml = tiny});
  EXPECT_TRUE(model->aliases().empty());
  EXPECT_THAT(apart->aliases(), testing::ElementsAre(Alias("lm_head.decoder.bias", "lm_head.bias")));
  for (const std::string kind : {"linear", "block"}) {
    EXPECT_TRUE(bit_equal(model->head(kind, 1)->named_parameters()["heads.1.decoder.weight"],
                          apart->head(kind, 1)->named_parameters()["heads.1.decoder.weight"]))
        << kind;
  }
  EXPECT_FALSE(make_model({.name = "mlp", .toml = "", .classes = 3, .features = 4})->tie().has_value());
}

class SharedReadout : public testing::TestWithParam<const char*> {};

TEST_P(SharedReadout, StartsAsTheReadoutAndTrainsItsBlockOnly) {
  const auto model = make_model({.toml = GetParam()});
  const auto head = model->head("shared_readout", 1);
  const auto readout = model->readout()->named_parameters();
  const auto copies = head->readout_copies();
  ASSERT_EQ(copies.size(), readout.size());
  for (size_t i = 0; i < copies.size(); ++i) {
    EXPECT_EQ(copies[i].first, readout.keys()[i]);
    EXPECT_TRUE(bit_equal(copies[i].second, readout[copies[i].first])) << copies[i].first;
    EXPECT_FALSE(copies[i].second.requires_grad()) << copies[i].first;
  }
  const auto block = model->head("block", 1)->named_parameters();
  for (const auto& entry : head->named_parameters()) {
    EXPECT_TRUE(entry.key().starts_with("heads.1.block.")) << entry.key();
    EXPECT_TRUE(bit_equal(entry.value(), block[entry.key()])) << entry.key();
  }
  EXPECT_EQ(head->parameters().size(), block.size() - 4);  // but for norm and decoder
  EXPECT_TRUE(model->head("block", 1)->readout_copies().empty());
}

INSTANTIATE_TEST_SUITE_P(Tying, SharedReadout, testing::Values(tiny.c_str(), tied.c_str()));

// The copy may be refreshed at any time between passes, and the head then scores as the readout above its block would.
TEST(SharedReadoutHead, ReadsThroughWhatTheCopyHolds) {
  const auto model = make_model({.toml = tiny});
  const auto head = model->head("shared_readout", 1);
  const auto readout = model->readout();
  const Batch batch = token_batch(2, 12, 40, {12, 7});
  const ForwardContext context{&batch, 1, 3, true};
  const auto hidden = some_numbers({2, 12, 16}, at::kFloat).requires_grad_();
  const at::Tensor before = head->scores(hidden, context);
  for (const auto& [name, copy] : head->readout_copies()) {
    const at::NoGradGuard no_graph;
    at::Tensor own = readout->named_parameters()[name];
    own.copy_(some_numbers(own.sizes().vec(), at::kFloat));
    at::Tensor(copy).copy_(own);
  }
  const at::Tensor after = head->scores(hidden, context);
  EXPECT_FALSE(bit_equal(before, after));
  // The block alone, and the readout above it.
  TransformerBlock block({.width = 16, .heads = 2, .feed_forward = 24, .numbers = {}}, HeadPlace{1}.layer());
  const auto values = head->named_parameters();
  for (auto& entry : block.named_parameters()) {
    const at::NoGradGuard no_graph;
    entry.value().copy_(values["heads.1.block." + entry.key()]);
  }
  EXPECT_TRUE(bit_equal(readout->scores(block.forward(hidden, context), context), after));
  const LossSum loss = head->loss(hidden, context);
  std::vector<at::Tensor> inputs = head->parameters();
  inputs.push_back(hidden);
  const auto gradients = torch::autograd::grad({loss.sum}, inputs);
  for (const at::Tensor& gradient : gradients) EXPECT_GT(largest(listed(gradient)), 0);
  for (const auto& [name, copy] : head->readout_copies()) EXPECT_FALSE(copy.grad().defined()) << name;
}

TEST(SharedReadoutHead, TheSmallModelHasOneToo) {
  const auto model = make_model({.name = "mlp", .toml = "layers = 2\nwidth = 8\n", .classes = 3, .features = 4});
  const auto head = model->head("shared_readout", 1);
  EXPECT_THAT(head->named_parameters().keys(), testing::ElementsAre("heads.1.layer.weight", "heads.1.layer.bias"));
  const auto readout = model->readout()->named_parameters();
  for (const auto& [name, copy] : head->readout_copies()) EXPECT_TRUE(bit_equal(copy, readout[name])) << name;
  EXPECT_EQ(head->readout_copies().size(), 2u);
}

}  // namespace
}  // namespace interlock::tests
