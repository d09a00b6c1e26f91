// A ResNet from the command line: trained, evaluated on other files, exported, taken back, and what is refused.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using nlohmann::json;

// Grey images of 8 x 8 whose class is the quarter that is bright, with noise.
class ImageCli : public SmallProject {
 protected:
  void SetUp() override {
    write_split("train", 160, 1);
    write_split("valid", 48, 2);
    write("resnet.toml", R"([model]
name = "resnet"
blocks = [1, 1, 1]
widths = [8, 8, 16]

[data]
name = "idx"
features = 64
classes = 4
images = "train-images"
labels = "train-labels"
validation_images = "valid-images"
validation_labels = "valid-labels"

[learning]
rule = "furthest"
head = "paper"

[parallel]
stages = 3
microbatches = 2
microbatch_size = 8
transport = "loopback"

[optimizer]
name = "sgd"
learning_rate = 0.05
momentum = 0.9
nesterov = true
decay = "steps"
milestones = [30]
warmup_steps = 0

[run]
steps = 40
folder = "run"
evaluate_every = 20
evaluate_sequences = 48
)");
  }

  CommandResult train_images(const Words& overrides = {}, const Words& options = {}) const {
    Words words{"train", "resnet.toml"};
    for (const std::string& one : overrides) words.insert(words.end(), {"--set", one});
    words.insert(words.end(), options.begin(), options.end());
    return interlock(words);
  }

 private:
  void write_split(const std::string& name, int count, unsigned seed) const {
    std::mt19937 random(seed);
    std::string images("\0\0\x08\x03\0\0\0", 7), labels("\0\0\x08\x01\0\0\0", 7);
    images += static_cast<char>(count) + std::string("\0\0\0\x08\0\0\0\x08", 8);
    labels += static_cast<char>(count);
    for (int image = 0; image < count; ++image) {
      const int label = image % 4;
      labels += static_cast<char>(label);
      for (int row = 0; row < 8; ++row)
        for (int column = 0; column < 8; ++column)
          images += static_cast<char>((row / 4 * 2 + column / 4 == label ? 120 : 0) + random() % 120);
    }
    write(name + "-images", images);
    write(name + "-labels", labels);
  }
};

TEST_F(ImageCli, IsTrainedEvaluatedExportedAndTakenBack) {
  const CommandResult trained = train_images({}, {"--json"});
  expect_done(trained);
  const json result = last_object(trained);
  EXPECT_GE(result["validation_scores"]["accuracy"].get<double>(), 0.9);  // a quarter of it by chance
  const CommandResult evaluated =
      interlock({"evaluate", "run", "--data", "valid-images", "--data", "valid-labels", "--json"});
  expect_done(evaluated);
  const json found = last_object(evaluated);
  EXPECT_EQ(found["samples"], 48);
  EXPECT_EQ(found["top1"], result["validation_scores"]["accuracy"]);
  EXPECT_EQ(found["top5"], 1.0);                                                            // of four classes
  EXPECT_NEAR(found["loss"].get<double>(), result["validation_loss"].get<double>(), 1e-5);  // other batches, float32

  expect_done(interlock({"export", "run", "--to", "exported"}));
  const CommandResult names = interlock({"inspect", "exported/model.safetensors", "--json"});
  EXPECT_THAT(names.output, testing::HasSubstr("layer3.0.downsample.1.running_var"));
  EXPECT_THAT(names.output, testing::Not(testing::HasSubstr("heads.")));
  expect_done(train_images({"run.steps=0", "run.weights=exported/model.safetensors", "run.folder=again"}));
  const CommandResult again =
      interlock({"evaluate", "again", "--data", "valid-images", "--data", "valid-labels", "--json"});
  EXPECT_EQ(last_object(again)["loss"], found["loss"]);
  // The folder goes for its file, which says what model it is, and whose hash is its own.
  const CommandResult at_once =
      interlock({"evaluate", "exported", "--data", "valid-images", "--data", "valid-labels", "--json"});
  expect_done(at_once);
  EXPECT_EQ(last_object(at_once)["loss"], found["loss"]);
  expect_done(interlock({"verify", "exported/model.safetensors"}));
  expect_done(train_images({"run.steps=0", "run.weights=exported", "run.folder=once_more"}));
}

// What a person asks of a classifier: how many are right, and what the most frequent class alone would get. 48 images
// of 4 classes in turn: exactly a quarter.
TEST_F(ImageCli, AccuracyStandsBesideItsBaseline) {
  const CommandResult trained = train_images({}, {"--json"});
  expect_done(trained);
  const json result = last_object(trained);
  EXPECT_EQ(result["accuracy"], result["validation_scores"]["accuracy"]);
  EXPECT_EQ(result["majority_baseline"], 0.25);
  EXPECT_THAT(trained.errors, testing::ContainsRegex("Held out +accuracy +loss"));
  EXPECT_THAT(trained.errors, testing::ContainsRegex("class frequencies alone +0.2500 +[0-9.]+\n"));
  EXPECT_THAT(trained.errors, testing::Not(testing::HasSubstr("per target")));
  EXPECT_THAT(trained.errors, testing::ContainsRegex("step 20/40 .*accuracy [01]\\.[0-9]{3}"));
  // What the run held out, where its config says.
  const CommandResult evaluated = interlock({"evaluate", "run", "--json"});
  expect_done(evaluated);
  const json found = last_object(evaluated);
  EXPECT_EQ(found["accuracy"], result["accuracy"]);
  EXPECT_EQ(found["majority_baseline"], 0.25);
  EXPECT_EQ(found["samples"], 48);
}

TEST_F(ImageCli, PredictTellsEveryImage) {
  const CommandResult trained = train_images({}, {"--json"});
  expect_done(trained);
  const CommandResult predicted = interlock({"predict", "run", "--json"});
  expect_done(predicted);
  const json all = last_object(predicted);
  ASSERT_EQ(all["predictions"].size(), 48U);
  EXPECT_EQ(all["scores"]["accuracy"], last_object(trained)["accuracy"]);
  int right = 0;
  for (size_t i = 0; i < 48; ++i) {
    const json& one = all["predictions"][i];
    double sum = 0, most = 0;
    for (const auto& [label, probability] : one["probabilities"].items()) {
      sum += probability.get<double>();
      most = std::max(most, probability.get<double>());
    }
    EXPECT_NEAR(sum, 1, 1e-9);
    EXPECT_EQ(one["probabilities"][one["label"].get<std::string>()], most);
    right += one["label"] == std::to_string(i % 4);
  }
  EXPECT_EQ(right / 48.0, all["scores"]["accuracy"].get<double>());
  expect_done(
      interlock({"predict", "run", "--input", "valid-images", "--input", "valid-labels", "--output", "out.tsv"}));
  const std::string lines = read("out.tsv");
  EXPECT_TRUE(lines.starts_with("label\t0\t1\t2\t3\n")) << lines.substr(0, 40);
  EXPECT_EQ(std::ranges::count(lines, '\n'), 49);
  expect_failure(interlock({"predict", "run", "--text", "x"}), 2, {"--text", "images"});
}

// As weights of ImageNet are taken over for another set of classes.
TEST_F(ImageCli, AnotherNumberOfClassesBeginsWithAFreshReadout) {
  expect_done(train_images({"run.steps=2", "run.folder='first'"}));
  const CommandResult result = train_images({"data.classes=6", "run.weights='first'", "run.steps=0"});
  expect_done(result);
  EXPECT_THAT(result.errors, testing::HasSubstr("the readout starts fresh"));
  const CommandResult compared = interlock({"inspect", "run", "--json"});
  expect_done(compared);
  const json inspected = last_object(compared);
  std::map<std::string, json> shapes;
  for (const json& tensor : inspected["tensors"]) shapes[tensor["name"]] = tensor["shape"];
  EXPECT_EQ(shapes["fc.bias"], json::array({6})) << json(shapes);
}

TEST_F(ImageCli, CompressedFilesAreCalledThat) {
  write("train-images", "\x1f\x8b\x08 what gzip begins with");
  expect_failure(train_images({}), 65, {"train-images", "is compressed (gzip)", "gunzip"});
}

TEST_F(ImageCli, DataShowsRowsAsTheModelSeesThem) {
  const CommandResult shown = interlock({"data", "resnet.toml", "--json"});
  expect_done(shown);
  const json batch = last_object(shown);
  ASSERT_EQ(batch["inputs"].size(), 8U);
  EXPECT_EQ(batch["inputs"][0].size(), 64U);
  EXPECT_EQ(batch["targets"].size(), 8U);
}

TEST_F(ImageCli, RefusesWhatCannotBe) {
  expect_failure(train_images({"parallel.unit=half_block"}), 64, {"half_block", "resnet"});
  expect_failure(train_images({"parallel.partition=[1,1]"}), 64, {"partition"});
  expect_failure(train_images({"learning.head=block"}), 64, {"block", "paper", "dgl"});
  expect_failure(train_images({"data.name=spirals"}), 64, {"resnet", "images"});
  // 8 x 8 is 1 x 1 behind three more halvings.
  expect_failure(train_images({"model.blocks=[1,1,1,1]", "model.widths=[4,4,4,4]", "parallel.microbatch_size=1"}), 64,
                 {"microbatch_size", "group"});
  write("train-labels", read("train-labels").substr(0, 100));
  expect_failure(train_images({"run.folder=other"}), 65, {"train-labels"});
}

TEST_F(ImageCli, EvaluateWantsBothFiles) {
  expect_done(train_images({"run.steps=1"}));
  expect_failure(interlock({"evaluate", "run", "--data", "valid-images"}), 2, {"--data", "validation_labels"});
  expect_failure(interlock({"evaluate", "run", "--data", "valid-labels", "--data", "valid-labels"}), 65,
                 {"valid-labels"});
}

}  // namespace
}  // namespace interlock
