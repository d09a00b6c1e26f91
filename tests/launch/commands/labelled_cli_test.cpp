// Labels on the command line: training on tables, anywhere and with a stop in the middle; the best weights of a run;
// `evaluate` and `predict`; and what is refused.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>

#include "tests/launch/commands/labelled_project.h"
#include "tests/launch/commands/token_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class LabelledCli : public LabelledProject {
 protected:
  std::string digest(const Words& overrides, const std::string& folder) const {
    Words all = overrides;
    all.push_back("run.folder=" + folder);
    const CommandResult result = train_labels(all, {"--json"});
    expect_done(result);
    return last_object(result)["digest"];
  }
  std::vector<std::string> lines(const std::string& text) const {
    std::vector<std::string> all;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }
};

TEST_F(LabelledCli, TheSameAnywhereAndWhenResumed) {
  const std::string one = digest({"parallel.ranks=1"}, "one");
  EXPECT_EQ(digest({"parallel.ranks=2"}, "two"), one);
  EXPECT_EQ(digest({"parallel.ranks=4"}, "four"), one);
  const std::string local = digest({"learning.rule=local", "parallel.ranks=2"}, "local");
  EXPECT_NE(local, one);
  EXPECT_EQ(digest({"learning.rule=local", "parallel.ranks=4"}, "local4"), local);
  expect_done(train_labels({"run.folder=resumed"}, {"--until", "17"}));
  const CommandResult resumed = train_labels({"run.folder=resumed", "parallel.ranks=2"}, {"--resume", "--json"});
  expect_done(resumed);
  EXPECT_EQ(last_object(resumed)["digest"], one);
}

// A plan counts the classes of the tables, where it can read them.
TEST_F(LabelledCli, PlanCountsTheClassesOfTheTables) {
  write("three.tsv", table(60, 1) + "gamma delta\tneither\nzeta\tneither\n");
  const auto parameters = [&](const Words& more) {
    Words words{"plan", "labelled.toml", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const CommandResult planned = interlock(words);
    expect_done(planned);
    return std::pair(last_object(planned)["parameters"].get<int64_t>(), planned.errors);
  };
  const auto [two, nothing_said] = parameters({});
  EXPECT_THAT(nothing_said, Not(HasSubstr("classes")));
  constexpr int64_t of_a_class = 16 + 1;  // width weights and a bias
  EXPECT_EQ(parameters({"--set", "data.paths=['three.tsv']"}).first, two + of_a_class);
  const auto [counted, warning] = parameters({"--set", "data.paths=['elsewhere.tsv']"});
  EXPECT_EQ(counted, two);
  EXPECT_THAT(warning, HasSubstr("the classes are not known where the data cannot be read: the plan counts 2"));
}

TEST_F(LabelledCli, MpiSendsBatchesOfEveryWidth) {
  const std::string threads = digest({"parallel.ranks=2", "run.steps=10"}, "threads");
  EXPECT_EQ(digest({"parallel.ranks=2", "run.steps=10", "parallel.transport=mpi"}, "mpi"), threads);
}

TEST_F(LabelledCli, EvaluateSaysWhatTrainingSaid) {
  const CommandResult trained = train_labels({"run.steps=120"}, {"--json"});
  expect_done(trained);
  const json result = last_object(trained);
  EXPECT_GE(result["validation_scores"]["accuracy"].get<double>(), 0.9);  // half of it by chance
  const CommandResult evaluated = interlock({"evaluate", "run", "--data", "valid.tsv", "--json"});
  expect_done(evaluated);
  const json found = last_object(evaluated);
  EXPECT_EQ(found["rows"], 60);
  EXPECT_EQ(found["labels"],
            json(std::vector<std::string>({rows(1, 1)[0].label, rows(1, 1)[0].label == "good" ? "bad" : "good"})));
  for (const char* score : {"accuracy", "f1", "matthews"})
    EXPECT_NEAR(found[score].get<double>(), result["validation_scores"][score].get<double>(), 1e-12) << score;
  // Batches of other widths: sums in another order.
  EXPECT_NEAR(found["loss"].get<double>(), result["validation_loss"].get<double>(), 1e-5);
  const CommandResult shown = interlock({"data", "labelled.toml", "--json"});
  expect_done(shown);
  EXPECT_EQ(last_object(shown)["targets"].size(), 8U);
}

// The weights that are kept are those of the evaluation that was best, and a run ends when nothing gets better.
TEST_F(LabelledCli, KeepsItsBestWeights) {
  // The rate makes it worse again after a while.
  const Words keys = {"run.keep_best=loss", "run.patience=3", "run.steps=400", "optimizer.learning_rate=0.05",
                      "optimizer.decay=constant"};
  const CommandResult trained = train_labels(keys, {"--json"});
  expect_done(trained);
  const json result = last_object(trained);
  std::vector<std::pair<double, int64_t>> losses;
  for (const std::string& line : lines(read("run/metrics.jsonl"))) {
    const json one = json::parse(line);
    if (one.contains("validation_loss")) losses.emplace_back(one["validation_loss"], one["step"]);
  }
  const auto best = *std::min_element(losses.begin(), losses.end());
  EXPECT_EQ(result["best_value"], best.first);
  EXPECT_EQ(result["best_step"], best.second);
  ASSERT_EQ(result["ended_early"], true) << "the test's rate should do harm";
  EXPECT_EQ(losses.back().second, best.second + 30);  // three evaluations later
  EXPECT_EQ(result["steps"], losses.back().second);
  const CommandResult evaluated = interlock({"evaluate", "run", "--data", "valid.tsv", "--json"});
  expect_done(evaluated);
  EXPECT_NEAR(last_object(evaluated)["loss"].get<double>(), best.first, 1e-5);
  // Another run to that step ends with the same weights.
  Words until = keys;
  until.push_back("run.folder=until");
  const CommandResult stopped = train_labels(until, {"--until", std::to_string(best.second)});
  expect_done(stopped);
  const CommandResult compared = interlock({"inspect", "run", "--against", "until", "--json"});
  expect_done(compared);
  EXPECT_EQ(last_object(compared)["max_abs_difference"], 0);
  // Stopped in the middle it chooses alike, and a run that has ended stays as it is.
  Words resumed = keys;
  resumed.push_back("run.folder=resumed");
  expect_done(train_labels(resumed, {"--until", std::to_string(best.second + 5)}));
  const CommandResult gone_on = train_labels(resumed, {"--resume", "--json"});
  expect_done(gone_on);
  EXPECT_EQ(last_object(gone_on)["digest"], result["digest"]);
  const CommandResult again = train_labels(resumed, {"--resume", "--json"});
  expect_done(again);
  EXPECT_EQ(last_object(again)["digest"], result["digest"]);
  EXPECT_FALSE(std::filesystem::exists(path("run/best.safetensors")));
}

TEST_F(LabelledCli, PredictsRowByRow) {
  expect_done(train_labels({"run.steps=120"}));
  write("input.csv",
        "id,sentence\n1,\"theta, alpha \"\"iota\"\"\"\n2,beta\n\n3,kappa delta epsilon theta iota eta alpha\n");
  const CommandResult result = interlock({"predict", "run", "--input", "input.csv", "--output", "out.tsv", "--json"});
  expect_done(result);
  const json predictions = last_object(result)["predictions"];
  ASSERT_EQ(predictions.size(), 3U);
  const std::vector<std::string> written = lines(read("out.tsv"));
  ASSERT_EQ(written.size(), 4U);
  for (size_t row = 0; row < 3; ++row) {
    const json& one = predictions[row];
    const double good = one["probabilities"]["good"], bad = one["probabilities"]["bad"];
    EXPECT_NEAR(good + bad, 1, 1e-12);
    EXPECT_EQ(one["label"], good > bad ? "good" : "bad");
    EXPECT_EQ(one["label"], row == 1 ? "bad" : "good");
    EXPECT_TRUE(written[row + 1].starts_with(one["label"].get<std::string>() + "\t")) << written[row + 1];
  }
  // Alone a row gets the same answer, to what another width of its batch does to rounding.
  write("alone.csv", "id,sentence\n2,beta\n");
  const CommandResult alone = interlock({"predict", "run", "--input", "alone.csv", "--json"});
  expect_done(alone);
  EXPECT_NEAR(last_object(alone)["predictions"][0]["probabilities"]["bad"].get<double>(),
              predictions[1]["probabilities"]["bad"].get<double>(), 1e-5);
}

// What is written is read again as its ending says; the input and the model are never written over.
TEST_F(LabelledCli, WritesPredictionsAsTheirFileEnds) {
  expect_done(train_labels({"run.steps=2"}));
  const auto predict = [&](const Words& more) {
    Words words{"predict", "run", "--input", "valid.tsv"};
    words.insert(words.end(), more.begin(), more.end());
    return interlock(words);
  };
  for (const char* name : {"out.tsv", "out.csv"}) {
    expect_done(predict({"--output", name}));
    expect_done(interlock({"predict", "run", "--input", name, "--text", "label"}));
  }
  EXPECT_THAT(read("out.csv"), testing::StartsWith("label,bad,good\n"));
  expect_done(predict({"--output", "out.jsonl"}));
  const std::vector<std::string> objects = lines(read("out.jsonl"));
  ASSERT_EQ(objects.size(), 60U);
  EXPECT_TRUE(json::parse(objects[0])["probabilities"].contains("good"));

  const std::string table = read("valid.tsv"), weights = read("run/weights.safetensors");
  expect_failure(predict({"--output", "valid.tsv"}), 2, {"--output valid.tsv", "would be replaced"});
  expect_failure(predict({"--output", "run/weights.safetensors"}), 2, {"is a part of run"});
  expect_failure(predict({"--uncertainty", "2", "--svg", "valid.tsv"}), 2, {"--svg valid.tsv"});
  EXPECT_EQ(read("valid.tsv"), table);
  EXPECT_EQ(read("run/weights.safetensors"), weights);
}

// The first line of a table whose columns are told by number is no row where it has the names that training knew.
TEST_F(LabelledCli, AHeaderIsNoRowForColumnsByNumber) {
  expect_done(train_labels({"run.steps=2"}));
  write("named.tsv", "sentence\tlabel\nalpha\tgood\nbeta\tbad\n");
  write("bare.tsv", "alpha\tgood\nbeta\tbad\n");
  for (const char* table : {"named.tsv", "bare.tsv"}) {
    const CommandResult result = interlock({"predict", "run", "--input", table, "--text", "0", "--json"});
    expect_done(result);
    EXPECT_EQ(last_object(result)["predictions"].size(), 2U) << table;
  }
  expect_failure(interlock({"predict", "run", "--input", "named.tsv", "bare.tsv", "--text", "0"}), 65,
                 {"named.tsv names columns", "bare.tsv does not"});
}

// Classes come out of tables and may be called anything; what is said of them stays on its line.
TEST_F(LabelledCli, ClassesWithControlCharactersAreUsed) {
  std::string table;
  for (int i = 0; i < 8; ++i)
    table += R"({"sentence": "alpha", "label": "good\tone"})"
             "\n"
             R"({"sentence": "beta", "label": "\u2067bad\u2069"})"
             "\n";
  write("odd.jsonl", table);
  expect_done(train_labels({"data.paths=[\"odd.jsonl\"]", "data.validation_paths=[\"odd.jsonl\"]", "run.steps=2"}));
  const CommandResult result = interlock({"predict", "run", "--input", "odd.jsonl"});
  expect_done(result);
  EXPECT_THAT(result.output, HasSubstr("good\\tone"));
  EXPECT_EQ(lines(result.output).size(), 17U);
}

// Entropy of the mean and mutual information by their formulas need the passes themselves; what holds of any is that
// 0 <= information <= entropy <= ln 2, and that the same seed says the same.
TEST_F(LabelledCli, SaysHowSureItIs) {
  expect_done(train_labels({"run.steps=60"}));
  const Words words{"predict", "run", "--input", "valid.tsv", "--uncertainty", "8", "--svg", "referral.svg", "--json"};
  const CommandResult result = interlock(words);
  expect_done(result);
  const json found = last_object(result);
  ASSERT_EQ(found["predictions"].size(), 60U);
  double largest = 0;
  for (const json& one : found["predictions"]) {
    const double entropy = one["entropy"], information = one["mutual_information"];
    EXPECT_GE(information, 0);
    EXPECT_LE(information, entropy + 1e-12);
    EXPECT_LE(entropy, std::log(2.0) + 1e-12);
    const double good = one["probabilities"]["good"];
    EXPECT_NEAR(entropy, -good * std::log(good) - (1 - good) * std::log(1 - good), 1e-9);
    largest = std::max(largest, information);
  }
  EXPECT_GT(largest, 0);  // the passes differ
  ASSERT_EQ(found["referral"].size(), 10U);
  EXPECT_NEAR(found["referral"][0]["entropy"].get<double>(), found["scores"]["accuracy"].get<double>(), 1e-12);
  EXPECT_GE(found["referral"][5]["entropy"].get<double>(), found["referral"][0]["entropy"].get<double>());
  EXPECT_THAT(read("referral.svg"), HasSubstr("<polyline"));
  EXPECT_EQ(last_object(interlock(words)), found);
  Words other = words;
  other.insert(other.end(), {"--seed", "2"});
  EXPECT_NE(last_object(interlock(other))["predictions"], found["predictions"]);
}

// Weights are mixed anew in every pass, and several threads pass through one model.
TEST_F(LabelledCli, SaysTheSameOfItselfWithMixedWeights) {
  expect_done(train_labels({"run.steps=5", "technique=[{name='mixout', rate=0.5}]"}));
  const Words words{"predict", "run", "--input", "train.tsv", "--uncertainty", "8", "--json"};
  const json found = last_object(interlock(words));
  ASSERT_EQ(found["predictions"].size(), 160U);
  for (int again = 0; again < 3; ++again) EXPECT_EQ(last_object(interlock(words)), found);
}

TEST_F(LabelledCli, ScoresThatAreNoNumbersAreRefused) {
  expect_done(train_labels({"run.steps=1"}));
  change_stored(path("run/weights.safetensors").string(), [](StoredFile& stored) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(stored.tensors.at("classifier.out_proj.bias").bytes.data(), &nan, sizeof nan);
  });
  expect_failure(interlock({"predict", "run", "--input", "valid.tsv"}), 65, {"run/weights.safetensors", "not finite"});
  expect_failure(interlock({"evaluate", "run", "--data", "valid.tsv"}), 65, {"run/weights.safetensors", "not finite"});
}

TEST_F(LabelledCli, LearnsScores) {
  std::string table = "text\tscore\n";
  for (int i = 0; i < 120; ++i)
    table +=
        std::string(static_cast<size_t>(1 + i * 7 % 30), 'a') + "\t" + std::to_string((1 + i * 7 % 30) / 10.0) + "\n";
  write("scores.tsv", table);
  const CommandResult trained =
      train_labels({"data.paths=[\"scores.tsv\"]", "data.validation_paths=[\"scores.tsv\"]", "data.text=text",
                    "data.label=score", "objective.name=regression", "run.steps=150"},
                   {"--json"});
  expect_done(trained);
  EXPECT_GE(last_object(trained)["validation_scores"]["spearman"].get<double>(), 0.9);
  const CommandResult result = interlock({"predict", "run", "--input", "scores.tsv", "--json"});
  expect_done(result);
  const json found = last_object(result);
  EXPECT_TRUE(found["predictions"][0]["score"].is_number());
  expect_failure(interlock({"predict", "run", "--input", "scores.tsv", "--uncertainty", "2", "--svg", "x.svg"}), 2,
                 {"--svg draws accuracy", "regression"});
  EXPECT_GE(found["scores"]["spearman"].get<double>(), 0.9);
}

// Under the masked objective the texts of tables are learned, and others evaluated.
TEST_F(LabelledCli, MasksTextsOfTables) {
  const CommandResult trained = train_labels({"objective.name=masked", "run.steps=10"}, {"--json"});
  expect_done(trained);
  EXPECT_FALSE(last_object(trained).contains("validation_scores"));
  const CommandResult evaluated = interlock({"evaluate", "run", "--data", "valid.tsv", "--json"});
  expect_done(evaluated);
  EXPECT_EQ(last_object(evaluated)["sequences"], 60);
  expect_done(interlock({"fill", "run", "alpha<mask>beta"}));
  expect_failure(interlock({"evaluate", "run", "--data", "corpus/1.txt"}), 65, {"corpus/1.txt", "unknown column"});
}

TEST_F(LabelledCli, WhatIsRefused) {
  expect_done(train_labels({"run.steps=2"}));
  expect_failure(train_labels({"run.folder=x", "data.text=sentense"}), 65,
                 {"train.tsv: line 1: unknown column \"sentense\"", "did you mean \"sentence\"?"});
  expect_failure(train_labels({"run.folder=x", "run.keep_best=spearman"}), 64,
                 {"run.keep_best", "spearman", "accuracy"});
  expect_failure(train_labels({"run.folder=x", "run.patience=2"}), 64, {"run.patience", "run.keep_best"});
  expect_failure(train_labels({"run.folder=x", "run.keep_best=f1", "run.evaluate_every=0"}), 64,
                 {"run.keep_best", "run.evaluate_every is 0"});
  expect_failure(train_labels({"run.folder=x", "model.tie_embeddings=true"}), 64, {"model.tie_embeddings", "masked"});
  write("latin.tsv", "sentence\tlabel\ncaf\xE9\tgood\n");
  expect_failure(interlock({"predict", "run", "--input", "latin.tsv"}), 65, {"latin.tsv: line 2", "UTF-8", "iconv"});
  write("unseen.tsv", "sentence\tlabel\nalpha\tgreat\n");
  expect_failure(interlock({"evaluate", "run", "--data", "unseen.tsv"}), 65,
                 {"unseen.tsv: line 2", "\"great\" does not occur in training", "\"good\""});
  expect_done(interlock({"predict", "run", "--input", "unseen.tsv"}));  // it is not asked what is right
  expect_failure(interlock({"fill", "run", "<mask>"}), 64, {"fill", "tells classes", "predict"});
  const CommandResult unasked = interlock({"predict", "run", "--input", "valid.tsv", "--svg", "x.svg"});
  EXPECT_EQ(unasked.code, 2);
  EXPECT_THAT(unasked.all, HasSubstr("--uncertainty"));
  expect_done(train({"run.folder=masked"}));
  expect_failure(interlock({"predict", "masked", "--input", "valid.tsv"}), 64,
                 {"predict", "guesses masked places", "finetune"});
  expect_failure(interlock({"evaluate", "masked", "--data", "corpus", "--label", "x"}), 2, {"--label"});
  // What the run began with is another data set when a class is added.
  expect_done(train_labels({"run.folder=again"}, {"--until", "5"}));
  write("train.tsv", read("train.tsv") + "new\tneither\n");
  expect_failure(train_labels({"run.folder=again"}, {"--resume"}), 64, {"other classes", "neither"});
}

TEST_F(LabelledCli, PrunesByALossOfLabels) {
  expect_done(train_labels({"run.steps=4"}));
  const CommandResult pruned =
      interlock({"prune", "run", "--layers", "2", "--strategy", "search", "--data", "valid.tsv", "--to", "pruned"});
  expect_done(pruned);
  EXPECT_THAT(pruned.output, HasSubstr("Loss on --data: "));
  // What it says of those it keeps is what `evaluate` finds.
  const double loss = last_object(interlock({"evaluate", "pruned", "--data", "valid.tsv", "--json"}))["loss"];
  const std::string with = pruned.output.substr(pruned.output.find("layers, ") + 8);
  EXPECT_NEAR(std::stod(with), loss, 1e-5 * loss);  // printed with six digits
  expect_failure(interlock({"prune", "run", "--layers", "2", "--strategy", "search", "--data", "valid.tsv",
                            "--sequences", "4", "--to", "other"}),
                 2, {"--sequences"});
}

}  // namespace
}  // namespace interlock
