// `interlock prune` and `interlock techniques` as a person meets them.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string layer_drop = R"(technique=[{name = "layer_drop", rate = 0.5}])";

class PruneCommand : public SmallProject {};

TEST_F(PruneCommand, MakesAModelThatEvaluatesTrainsOnAndGoesToHuggingFace) {
  expect_done(train_threads({layer_drop}));
  const CommandResult made = interlock({"prune", "run", "--keep", "0,2", "--to", "pruned"});
  expect_done(made);
  EXPECT_THAT(made.output, HasSubstr("layers 0, 2 of 4 as 0 to 1"));
  EXPECT_THAT(made.output, HasSubstr("Left out: heads.2, heads.3"));
  const CommandResult evaluated = interlock({"evaluate", "pruned", "--data", "corpus", "--json"});
  expect_done(evaluated);
  EXPECT_GT(last_object(evaluated)["loss"], 0);
  expect_done(train_threads({"model.layers=2", "parallel.stages=2", "parallel.ranks=2", "run.weights=pruned",
                             "run.folder=on", "run.steps=1"}));
  expect_done(interlock({"export", "pruned", "--to", "exported"}));
  EXPECT_EQ(json::parse(read("exported/config.json"))["num_hidden_layers"], 2);
  expect_failure(interlock({"prune", "run", "--keep", "0", "--to", "pruned"}), 73, {"pruned"});
  // A model that was pruned can be pruned again.
  expect_failure(interlock({"prune", "pruned", "--layers", "1", "--to", "pruned", "--overwrite"}), 2,
                 {"--to pruned is what is read here"});
  expect_done(interlock({"prune", "run", "--layers", "1", "--to", "pruned", "--overwrite"}));
}

TEST_F(PruneCommand, SearchesOnHeldOutText) {
  expect_done(train_threads({layer_drop, "run.steps=2"}));
  const Words search{"prune", "run", "--layers", "2", "--strategy", "search", "--data", "corpus", "--sequences", "8"};
  Words first = search, second = search;
  first.insert(first.end(), {"--to", "one"});
  second.insert(second.end(), {"--to", "two"});
  expect_done(interlock(first));
  expect_done(interlock(second));
  EXPECT_EQ(read("one/weights.safetensors"), read("two/weights.safetensors"));
}

TEST_F(PruneCommand, NoLayerIsNoModel) {
  expect_done(train_threads({}));
  expect_failure(interlock({"prune", "run", "--keep", "", "--to", "x"}), 64, {"--keep", "no layer is named"});
  EXPECT_FALSE(std::filesystem::exists(path("x")));
}

TEST_F(PruneCommand, RefusesWhatTheModelDoesNotHave) {
  expect_done(train_threads({"run.steps=1"}));
  expect_failure(interlock({"prune", "run", "--layers", "5", "--to", "x"}), 64, {"--layers 5", "4 layers"});
  expect_failure(interlock({"prune", "run", "--keep", "0,4", "--to", "x"}), 64, {"no layer 4", "0 to 3"});
  const std::pair<Words, std::string> usage[] = {{{}, "--keep or --layers"},
                                                 {{"--keep", "0", "--layers", "1"}, "--keep excludes --layers"},
                                                 {{"--layers", "2", "--strategy", "search"}, "--data FILE"},
                                                 {{"--layers", "0"}, "--layers"}};
  for (const auto& [options, says] : usage) {
    Words words{"prune", "run", "--to", "x"};
    words.insert(words.end(), options.begin(), options.end());
    const CommandResult result = interlock(words);
    EXPECT_EQ(result.code, 2) << says;
    EXPECT_THAT(result.all, HasSubstr(says));
  }
  expect_failure(interlock({"prune", "nowhere", "--layers", "2", "--to", "x"}), 65, {"nowhere"});
  EXPECT_FALSE(std::filesystem::exists(path("x")));
}

TEST_F(PruneCommand, TheTraceShowsWhatWasLeftOut) {
  expect_done(train_threads({layer_drop, "run.steps=4"}));
  std::set<std::string> forward, backward;
  const json trace = json::parse(read("run/trace.json"));
  for (const json& event : trace["traceEvents"]) {
    const std::string name = event["name"];
    if (event["ph"] == "X" && name.starts_with("2F")) forward.insert(name);
    if (event["ph"] == "X" && name.starts_with("2W")) backward.insert(name);
  }
  for (const std::set<std::string>* names : {&forward, &backward}) {
    EXPECT_THAT(*names, testing::Contains(testing::EndsWith(" without 2")));
    EXPECT_THAT(*names, testing::Contains(testing::Not(HasSubstr("without"))));
  }
}

// Operations as they are to be expected, memory as a microbatch needs it that passes every layer.
TEST_F(PruneCommand, ThePlanCountsTheLayersThatRun) {
  const auto plan = [&](const Words& more) {
    Words words{"plan", "config.toml"};
    words.insert(words.end(), more.begin(), more.end());
    CommandResult result = interlock(words);
    expect_done(result);
    return result;
  };
  const json all = last_object(plan({"--json"})), some = last_object(plan({"--json", "--set", layer_drop}));
  EXPECT_FALSE(all.contains("layers"));
  EXPECT_EQ(some["layers"], json::parse(R"({"count": 4, "expected": 2.0})"));
  EXPECT_LT(some["simulated"]["step"], all["simulated"]["step"]);
  ASSERT_EQ(some["memory"]["ranks"].size(), all["memory"]["ranks"].size());
  for (size_t rank = 0; rank < all["memory"]["ranks"].size(); ++rank)
    EXPECT_EQ(some["memory"]["ranks"][rank]["activations"], all["memory"]["ranks"][rank]["activations"]);
  EXPECT_THAT(plan({"--set", layer_drop}).output, HasSubstr("Layers: of 4 a microbatch passes 2 in the long run"));
}

// metrics.jsonl by step, result.json over the run.
TEST_F(PruneCommand, TheShareOfLayersIsTold) {
  expect_done(train_threads({layer_drop, "run.steps=4"}));
  double mean = 0;
  std::istringstream lines(read("run/metrics.jsonl"));
  for (std::string line; std::getline(lines, line);)
    mean += json::parse(line)["techniques"]["layer_drop.layers_run"].get<double>() / 4;
  EXPECT_GT(mean, 0.2);
  EXPECT_LT(mean, 0.8);
  EXPECT_NEAR(json::parse(read("run/result.json"))["techniques"]["layer_drop.layers_run"].get<double>(), mean, 1e-12);
}

TEST_F(PruneCommand, TechniquesAreListed) {
  const CommandResult listed = interlock({"techniques", "--json"});
  expect_done(listed);
  const json all = json::parse(listed.output);
  ASSERT_TRUE(all.is_array());
  const auto found = std::ranges::find(all, "layer_drop", [](const json& one) { return one["name"]; });
  ASSERT_NE(found, all.end());
  EXPECT_EQ((*found)["options"]["rate"], 0.2);
  EXPECT_FALSE((*found)["summary"].get<std::string>().empty());
  EXPECT_THAT((*found)["paper"].get<std::string>(), HasSubstr("2020"));
  EXPECT_THAT(interlock({"techniques"}).output, HasSubstr("layer_drop: "));
}

TEST_F(PruneCommand, BadTechniquesAreRefused) {
  const auto refuse = [&](const std::string& technique, const Words& words) {
    expect_failure(train({"technique=" + technique}), 64, words);
  };
  refuse("[{name = \"layer_drp\"}]", {"technique[0].name", "did you mean \"layer_drop\"?"});
  refuse("[{name = \"layer_drop\", rte = 0.2}]", {"technique[0].rte", "did you mean \"rate\"?"});
  refuse("[{name = \"layer_drop\", rate = 1.5}]", {"technique[0].rate", "1.5"});
  refuse("[{name = \"layer_drop\", rate = [0.1]}]", {"technique[0].rate", "1 entries", "4 layers"});
  refuse("[{name = \"freeze\", names = [\"roberta.embedings.*\"]}]",
         {"technique[0].names[0]", "fits no parameter", "roberta.embeddings."});
  refuse("[{name = \"freeze\", layers = [4]}]", {"technique[0].layers", "layer 4", "0 to 3"});
  refuse("[{name = \"mixout\", rate = 0.5}, {name = \"lora\"}]", {"mixout", "lora", "cannot work together"});
  refuse("[{name = \"lora\", rank = 99}]", {"technique[0].rank", "99"});
  refuse("[{name = \"adapters\", layers = [7]}]", {"technique[0].layers", "layer 7", "0 to 3"});
  expect_done(train_threads({layer_drop}, {"--until", "2"}));
  expect_failure(train_threads({}, {"--resume"}), 64, {"(layer_drop)", "(none)"});
}

}  // namespace
}  // namespace interlock
