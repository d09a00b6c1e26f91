// What a run learns does not depend on where it runs: real processes over MPI against threads of one process, from the
// command line, four stages on one, two and four ranks. tests/equivalence has far more cases, all on threads.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using nlohmann::json;

struct Placement {
  std::string name;
  Words overrides;
};

const Words processes = {"parallel.transport=mpi"}, threads = {"parallel.transport=loopback"};

Words joined(Words one, const Words& other) {
  one.insert(one.end(), other.begin(), other.end());
  return one;
}

// Each number of ranks, schedule and placement at least once over processes.
std::vector<Placement> placements() {
  return {
      {"one process", joined(processes, {"parallel.ranks=1"})},
      {"two processes, gpipe", joined(processes, {"parallel.ranks=2", "parallel.schedule=gpipe"})},
      {"two processes, interleaved", joined(processes, {"parallel.ranks=2", "parallel.placement=interleaved"})},
      {"four processes", joined(processes, {"parallel.ranks=4"})},
      {"two threads", joined(threads, {"parallel.ranks=2"})},
      {"two threads, interleaved, gpipe",
       joined(threads, {"parallel.ranks=2", "parallel.placement=interleaved", "parallel.schedule=gpipe"})},
      {"four threads, gpipe", joined(threads, {"parallel.ranks=4", "parallel.schedule=gpipe"})},
  };
}

class PlacementOfARun : public SmallProject {
 protected:
  json summary(const Words& overrides) {
    const CommandResult result = train(overrides, {"--json", "--overwrite"});
    expect_done(result);
    return last_object(result);
  }

  // The plan's messages times steps and replicas, as the run must have counted them.
  json planned_messages(const Words& overrides, int steps, int replicas) {
    Words words{"plan", "config.toml", "--json"};
    for (const std::string& one : overrides) words.insert(words.end(), {"--set", one});
    const CommandResult result = interlock(words);
    expect_done(result);
    json messages = last_object(result)["messages"];
    EXPECT_EQ(messages.size(), 3U);
    for (json& boundary : messages)
      for (json& count : boundary) count = count.get<int64_t>() * steps * replicas;
    return messages;
  }

  // A run of these overrides is, to the last bit, the run that `truth` tells of.
  void expect_like(const json& truth, const Words& overrides) {
    const json result = summary(overrides);
    EXPECT_EQ(result["digest"], truth["digest"]);
    EXPECT_EQ(result["loss"], truth["loss"]);
    EXPECT_EQ(result["validation_loss"], truth["validation_loss"]);
    EXPECT_EQ(result["messages_per_boundary"], truth["messages_per_boundary"]);
  }
};

// Dropout is on in all of these.
TEST_F(PlacementOfARun, UnderSum) {
  const Words rule{"learning.rule=sum", "learning.horizon=2"};
  const json truth = summary(joined(rule, joined(threads, {"parallel.ranks=4"})));
  EXPECT_EQ(truth["messages_per_boundary"], planned_messages(rule, 4, 1));
  for (const Placement& placement : placements()) {
    SCOPED_TRACE(placement.name);
    expect_like(truth, joined(rule, placement.overrides));
  }
  // It is not that all runs look alike.
  EXPECT_NE(summary(joined(rule, joined(threads, {"run.seed=2"})))["digest"], truth["digest"]);
  EXPECT_NE(summary(joined(rule, joined(threads, {"model.dropout=0.2"})))["digest"], truth["digest"]);
}

TEST_F(PlacementOfARun, UnderGlobal) {
  const Words rule{"learning.rule=global"};
  const json truth = summary(joined(rule, joined(threads, {"parallel.ranks=2"})));
  EXPECT_EQ(truth["messages_per_boundary"], planned_messages(rule, 4, 1));
  expect_like(truth, joined(rule, joined(processes, {"parallel.ranks=4", "parallel.schedule=gpipe"})));
  expect_like(truth, joined(rule, joined(processes, {"parallel.ranks=2", "parallel.placement=interleaved"})));
}

// Layers that are left out hand on what they were given: here over processes.
TEST_F(PlacementOfARun, WithTechniques) {
  const Words techniques{R"(technique=[{name = "layer_drop", rate = 0.5}, {name = "adapters", size = 3}])",
                         "learning.rule=sum"};
  const json truth = summary(joined(techniques, joined(threads, {"parallel.ranks=1"})));
  expect_like(truth, joined(techniques, joined(processes, {"parallel.ranks=4"})));
  expect_like(truth, joined(techniques, joined(processes, {"parallel.ranks=2", "parallel.schedule=zero_bubble"})));
}

TEST_F(PlacementOfARun, TwoReplicas) {
  for (const Words& rule : {Words{"learning.rule=sum", "learning.horizon=2"}, Words{"learning.rule=global"}}) {
    SCOPED_TRACE(rule.front());
    const Words twice = joined(rule, {"parallel.replicas=2", "parallel.microbatches=2"});
    const json truth = summary(joined(twice, joined(threads, {"parallel.ranks=1"})));
    EXPECT_EQ(truth["messages_per_boundary"], planned_messages(twice, 4, 2));
    EXPECT_EQ(truth["peak_rss_mib"].size(), 2U);
    expect_like(truth, joined(twice, joined(threads, {"parallel.ranks=4", "parallel.schedule=gpipe"})));
    expect_like(truth, joined(twice, joined(processes, {"parallel.ranks=2", "parallel.placement=interleaved"})));
  }
}

TEST_F(PlacementOfARun, HeadsThatTeachNobodyChangeNoBitOfTheRest) {
  const Words rule{"learning.rule=furthest", "learning.horizon=3", "parallel.ranks=2"};
  summary(joined(rule, joined(threads, {"run.folder='needed'"})));
  summary(joined(rule, joined(processes, {"run.folder='all'", "learning.heads=all"})));
  const CommandResult compared = interlock({"inspect", "needed", "--against", "all", "--json"});
  expect_done(compared);
  const json result = last_object(compared);
  EXPECT_EQ(result["max_abs_difference"], 0);
  EXPECT_GT(result["tensors"].size(), 60U);
}

TEST_F(PlacementOfARun, StartValuesAreTheSameForAnyCut) {
  // No step: the plan only decides which heads there are. Those of two stages are among those of four.
  summary(joined(threads, {"run.steps=0", "run.folder='four'"}));
  summary(joined(processes, {"run.steps=0", "run.folder='two'", "parallel.stages=2", "parallel.ranks=2"}));
  const CommandResult compared = interlock({"inspect", "two", "--against", "four", "--json"});
  expect_done(compared);
  const json two = last_object(compared);
  EXPECT_EQ(two["max_abs_difference"], 0);
  const json listed = last_object(interlock({"inspect", "four", "--json"}));
  std::map<std::string, std::string> four;
  for (const json& tensor : listed["tensors"]) four[tensor["name"]] = tensor["sha256"];
  for (const json& tensor : two["tensors"]) {
    ASSERT_TRUE(four.contains(tensor["name"])) << tensor["name"];
    EXPECT_EQ(tensor["sha256"], four[tensor["name"]]) << tensor["name"];
  }
  EXPECT_GT(four.size(), two["tensors"].size()) << "four stages have two more heads";
}

TEST_F(PlacementOfARun, TheConfigOfARunFolderTrainsTheSameRunAgain) {
  const json first = summary(joined(threads, {"learning.change=[{at_step=3, rule='global'}]"}));
  const CommandResult again = interlock({"train", "run/config.toml", "--set", "run.folder='again'", "--json"});
  expect_done(again);
  EXPECT_EQ(last_object(again)["digest"], first["digest"]);
  // Nothing was left to defaults: the resolved config of the second run differs in its folder only.
  std::string config = read("again/config.toml");
  const size_t at = config.find("\"again\"");
  ASSERT_NE(at, std::string::npos) << config;
  EXPECT_EQ(config.replace(at, 7, "\"run\""), read("run/config.toml"));
}

}  // namespace
}  // namespace interlock
