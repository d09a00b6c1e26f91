// A pruned model is the deep one without the layers that went: to the bit, and in every file.

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>
#include <set>

#include "launch/huggingface/huggingface.h"
#include "launch/stored_model/pruning.h"
#include "runtime/core/error.h"
#include "tests/equivalence/pieces_of_a_run.h"

namespace interlock {
namespace {

using testing::ElementsAre;

std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

TEST(KeptLayers, AreReadAndRefused) {
  EXPECT_THAT(read_kept_layers("4,0,2", 6), ElementsAre(0, 2, 4));
  for (const char* wrong : {"0,6", "-1", "0,,2", "a", "1,1", "0 2", ""})
    EXPECT_THAT(refusal([&] { read_kept_layers(wrong, 6); }), testing::HasSubstr("layers 0 to 5")) << wrong;
}

// Fan et al.: to remove a share q, drop every floor(1/q)-th layer, counted from 1.
TEST(KeptLayers, EveryOtherIsThePublishedRuleWhereItCanBe) {
  for (const int64_t layers : {6, 12, 16, 24})
    for (const int64_t each : {2, 3, 4}) {
      if (layers % each != 0) continue;
      KeptLayers published;
      for (int64_t layer = 0; layer < layers; ++layer)
        if ((layer + 1) % each != 0) published.push_back(layer);
      EXPECT_EQ(every_other(layers, layers - layers / each), published) << layers << " " << each;
    }
  EXPECT_THAT(every_other(12, 4), ElementsAre(0, 3, 6, 9));
  EXPECT_THAT(every_other(5, 5), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(without_the_last(3), ElementsAre(0, 1, 2));
}

// Each layer is worth something of its own: what is worth most stays. 3 + 4 + 5 evaluations.
TEST(KeptLayers, SearchTakesAwayWhatIsWorthLeast) {
  const double worth[] = {5, 1, 4, 2, 3};
  int asked = 0;
  const auto loss = [&](const KeptLayers& kept) {
    ++asked;
    double sum = 0;
    for (const int64_t layer : kept) sum -= worth[layer];
    return sum;
  };
  EXPECT_THAT(search_layers(5, 2, loss), ElementsAre(0, 2));
  EXPECT_EQ(asked, 5 + 4 + 3);
}

class Pruned : public testing::Test {
 protected:
  static const std::string& deep() {  // the run of a model of six layers with local heads, after two steps
    static const std::string folder = [] {
      const std::string made = new_folder();
      go_on(made,
            {"model.layers=6", "learning.rule=sum", "learning.head=block", "parallel.partition=[1,2,1,2]",
             "model.frozen=['*.layer.5.*']", "technique=[{name='layer_drop', rate=0.3}]"},
            2);
      return made;
    }();
    return folder;
  }
  // The folder of the model with these layers alone.
  static std::string prune(const KeptLayers& kept) {
    const TextModel source = open_text_model(find_checkpoint(deep()), "prune");
    const std::string folder = new_folder();
    std::map<std::string, std::string> metadata{{"interlock.config", pruned_config(*source.weights, kept)}};
    copy_tensors(*source.weights, prune_tensors(*source.weights, kept, 6).tensors, folder + "/weights.safetensors",
                 metadata, [] {});
    return folder;
  }
  static std::set<std::string> names(const std::string& path) {
    const auto weights = WeightsSet::open(path);
    std::set<std::string> all;
    for (const TensorEntry& tensor : weights->tensors()) all.insert(tensor.name);
    return all;
  }
};

TEST_F(Pruned, IsTheDeepModelWithTheOthersSwitchedOffToTheBit) {
  const LoadedModel whole = load_model(open_text_model(find_checkpoint(deep()), "prune"));
  const LoadedModel shallow = load_model(open_text_model(prune({0, 3, 4}), "prune"));
  Batch batch;
  batch.inputs = at::arange(32, at::kLong).view({2, 16});
  batch.targets = at::full({2, 16}, 7, at::kLong);
  batch.sample_ids = {0, 1};
  const ForwardContext context{.batch = &batch, .training = false};
  const c10::NoGradGuard no_graph;
  at::Tensor x = whole.body->forward_segment(0, batch.inputs, context);
  for (const int64_t layer : {0, 3, 4}) x = whole.body->forward_segment(1 + layer, x, context);
  const at::Tensor truth = whole.readout->scores(x, context);
  const auto equals_truth = [&](const LoadedModel& model) {
    const at::Tensor scores = model.readout->scores(model.body->forward(batch.inputs, context), context).contiguous();
    return scores.nbytes() == truth.nbytes() && std::memcmp(scores.data_ptr(), truth.data_ptr(), truth.nbytes()) == 0;
  };
  EXPECT_TRUE(equals_truth(shallow));
  EXPECT_TRUE(equals_truth(with_layers(whole, {0, 3, 4})));
  EXPECT_FALSE(equals_truth(whole));
}

// Width 16, feed-forward 32: four products of attention, two of the feed-forward part, two norms.
TEST_F(Pruned, HasTheParametersOfItsLayers) {
  constexpr int64_t width = 16, wide = 32;
  constexpr int64_t of_layer = 4 * width * (width + 1) + 2 * width * wide + wide + width + 4 * width;
  const auto count = [](const std::string& path) {
    const auto weights = WeightsSet::open(path);
    int64_t sum = 0;
    for (const TensorEntry& tensor : weights->tensors())
      if (!tensor.name.starts_with("heads.")) {
        int64_t numbers = 1;
        for (const int64_t extent : tensor.shape) numbers *= extent;
        sum += numbers;
      }
    return sum;
  };
  EXPECT_EQ(count(find_checkpoint(deep())) - count(prune({1, 5})), 4 * of_layer);
}

// Heads stand above layers 0, 2 and 3.
TEST_F(Pruned, TakesAHeadAlongWithTheLayerBelowIt) {
  const std::set<std::string> kept = names(prune({0, 3, 4}));
  EXPECT_TRUE(kept.contains("heads.1.decoder.weight"));
  EXPECT_TRUE(kept.contains("heads.2.decoder.weight")) << "of layer 3, which is the second now";
  EXPECT_TRUE(kept.contains("roberta.encoder.layer.2.output.dense.weight"));
  EXPECT_FALSE(kept.contains("roberta.encoder.layer.3.output.dense.weight"));
  EXPECT_FALSE(kept.contains("heads.3.decoder.weight"));
  const auto weights = WeightsSet::open(find_checkpoint(deep()));
  EXPECT_THAT(prune_tensors(*weights, {0, 3, 4}, 6).left_out_heads, ElementsAre("heads.3"));
  EXPECT_THAT(prune_tensors(*weights, {0, 3}, 6).left_out_heads, ElementsAre("heads.3", "heads.4"))
      << "above the last layer stands the readout";
}

TEST_F(Pruned, TrainsOn) {
  const std::string folder = prune({0, 2, 3, 5});
  const RunSettings settings = settings_for_test(
      {"model.layers=4", "learning.rule=sum", "learning.head=block", "run.weights='" + folder + "'", "run.steps=0"});
  const TestRun start = run_on_loopback(settings);
  const auto pruned = WeightsSet::open(folder);
  for (const TensorEntry& tensor : start.weights->tensors()) {
    if (tensor.name.starts_with("heads.")) continue;
    const auto here = start.weights->bytes(tensor), there = pruned->bytes(*pruned->find(tensor.name));
    EXPECT_TRUE(std::ranges::equal(here, there)) << tensor.name;
  }
}

}  // namespace
}  // namespace interlock
