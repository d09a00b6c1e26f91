// What `interlock plan` tells: the JSON against hand-made numbers, the text for what a person must find in it, costs
// files.

#include "launch/plan_report/plan_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "launch/plan_report/plan_costs.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

PlanReport report_of(const RuleRequest& asked, int stages, int ranks, int microbatches,
                     const std::string& schedule = "wavefront") {
  PlanRequest request;
  request.shape = {.stages = stages, .ranks = ranks, .microbatches = microbatches};
  request.rule = make_rule(asked, stages);
  request.schedule = schedule;
  const SimulationCosts costs = SimulationCosts::unit(stages);
  PlanReport report;
  report.plan = make_plan(request);
  report.simulation = simulate(report.plan, costs);
  report.picture = simulate(report.plan, costs, 1, true);
  report.picture_steps = 1;
  report.costs = "unit costs";
  return report;
}

RuleRequest rule(const std::string& name, int horizon = 2) {
  RuleRequest asked;
  asked.rule = name;
  asked.horizon = horizon;
  return asked;
}

TEST(PlanJson, FurthestOfFourStages) {
  PlanReport report = report_of(rule("furthest"), 4, 2, 3);
  report.blocks = {2, 2, 2, 2};
  const json told = report_json(report);
  EXPECT_EQ(told["stages"], 4);
  EXPECT_EQ(told["ranks"], 2);
  EXPECT_EQ(told["replicas"], 1);
  EXPECT_EQ(told["microbatches"], 3);
  EXPECT_EQ(told["rule"], "furthest");
  EXPECT_EQ(told["schedule"], "wavefront");
  EXPECT_EQ(told["matrix"], json::parse("[[0,1,0,0],[0,0,1,0],[0,0,0,1],[0,0,0,1]]"));
  EXPECT_EQ(told["heads"], json::parse("[1,2,3]"));
  EXPECT_EQ(told["streams"], json::parse("[[[1]],[[2]],[[3]]]"));
  // Boundaries inside a rank count too: three microbatches up, one stream down each.
  EXPECT_EQ(told["messages"],
            json::parse(R"([{"forward":3,"backward":3},{"forward":3,"backward":3},{"forward":3,"backward":3}])"));
  EXPECT_EQ(told["longest_backward_chain"], 1);
  EXPECT_EQ(told["in_flight"].size(), 4u);
  EXPECT_EQ(told["blocks"], json::parse("[2,2,2,2]"));
  EXPECT_EQ(told["partition"], told["blocks"]);
  EXPECT_EQ(told["unit"], "block");
  ASSERT_EQ(told["actions"].size(), 2u);
  EXPECT_EQ(told["actions"][0][0], "0F0");
  size_t forwards = 0;
  for (const auto& ranks : told["actions"])
    for (const std::string word : ranks) forwards += word.size() == 3 && word[1] == 'F';
  EXPECT_EQ(forwards, 4u * 3);
  EXPECT_TRUE(told["simulated"]["step"].is_number());
  EXPECT_EQ(told["simulated"]["peak_bytes"].size(), 2u);
}

TEST(PlanJson, StreamsListTheLossesTheyCarry) {
  // Above the first boundary losses 1 and 2 have proportional columns (stage 0 alone lies below): one stream for both.
  RuleRequest asked = rule("matrix");
  asked.matrix = {{1, 1, 2, 0}, {0, 1, 1, 1}, {0, 0, 1, 1}, {0, 0, 0, 1}};
  const json told = report_json(report_of(asked, 4, 4, 1));
  EXPECT_EQ(told["streams"][0], json::parse("[[1,2]]"));
  EXPECT_EQ(told["streams"][1], json::parse("[[2],[3]]"));
  EXPECT_EQ(told["messages"][1], json::parse(R"({"forward":1,"backward":2})"));
}

// The closed forms: one step of 1F1B and of GPipe takes 3 (m + K - 1), idle (K - 1) / (m + K - 1); local never waits.
TEST(PlanJson, UnitCostsGiveTheClosedForms) {
  for (const int stages : {2, 4, 5})
    for (const int microbatches : {1, 4, 9})
      for (const char* schedule : {"wavefront", "gpipe"}) {
        const json global = report_json(report_of(rule("global"), stages, stages, microbatches, schedule))["simulated"];
        EXPECT_EQ(global["step"], 3 * (microbatches + stages - 1)) << schedule;
        // A quotient of exact integers, rounded once here and a few times in the mean over ranks.
        EXPECT_NEAR(global["idle_share"], (stages - 1.0) / (microbatches + stages - 1), 1e-12);
      }
  const json local = report_json(report_of(rule("local"), 4, 4, 6))["simulated"];
  EXPECT_EQ(local["step"], 18);
  EXPECT_EQ(local["idle_share"], 0);
}

TEST(PlanText, HoldsWhatAPersonAsksFor) {
  PlanReport report = report_of(rule("furthest"), 4, 4, 4);
  report.global = report_of(rule("global"), 4, 4, 4).simulation;
  report.break_even = 5.75;
  report.break_even_by_formula = true;
  const std::string text = report_text(report, 100);
  EXPECT_THAT(
      text,
      HasSubstr("Plan: furthest(2), 4 stages on 4 ranks, 1 replica, 4 microbatches per step, schedule wavefront"));
  EXPECT_THAT(text, HasSubstr("Costs: unit costs"));
  EXPECT_THAT(text, HasSubstr("stage  0  .  1  .  .\n"));
  EXPECT_THAT(text, HasSubstr("head of their own: 1 2;"));
  EXPECT_THAT(text, HasSubstr("rank 3 |"));
  EXPECT_THAT(text, HasSubstr("between stages 1 and 2: 4 activations up, 4 gradients down (of loss 2)"));
  EXPECT_THAT(text, HasSubstr("Longest backward chain: 1 hop of 3 possible."));
  EXPECT_THAT(text, HasSubstr("Microbatches in flight at most, per stage: 2 2 2 1"));
  EXPECT_THAT(text, HasSubstr("goes on to the next step while later stages are busy"));
  EXPECT_THAT(text, HasSubstr("idle share, rank 3"));
  EXPECT_THAT(text, HasSubstr("21 units"));  // of global
  EXPECT_THAT(text, HasSubstr("42.9 %"));    // 3 / 7
  EXPECT_THAT(text, HasSubstr("Break-even: from 6 microbatches per step on (5.75 by the formula"));
}

TEST(PlanText, SaysWhyAStepWaits) {
  const PlanReport global = report_of(rule("global"), 4, 4, 4);
  EXPECT_THAT(report_text(global, 100), HasSubstr("because the last loss teaches stage 0"));
  EXPECT_THAT(report_text(global, 100), Not(HasSubstr("Break-even")));
  EXPECT_THAT(report_text(report_of(rule("local"), 4, 4, 4), 100), HasSubstr("No gradient crosses a stage boundary"));
}

TEST(PlanText, BreakEvenHasWordsForBothEnds) {
  PlanReport report = report_of(rule("furthest"), 4, 4, 4);
  report.global = report.simulation;
  report.break_even = 0;
  EXPECT_THAT(report_text(report, 100), HasSubstr("at least as fast per step from the first microbatch on"));
  report.break_even = -1;
  report.most_tried = 4096;
  EXPECT_THAT(report_text(report, 100), HasSubstr("at every number of microbatches tried (up to 4096)"));
}

TEST(PlanText, ShortensWhatIsTooLongToRead) {
  const std::string text = report_text(report_of(rule("global"), 100, 100, 2), 100);
  EXPECT_THAT(text, HasSubstr("The matrix of the rule is 100 x 100"));
  EXPECT_THAT(text, HasSubstr("The timeline of 100 ranks is not printed"));
  EXPECT_THAT(text, HasSubstr("between stages 0 and 1 ... 98 and 99, each: 2 activations up, 2 gradients down"));
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 30);
}

TEST(PlanText, TellsLaterRules) {
  PlanReport report = report_of(rule("local"), 2, 2, 2);
  PlanReport later = report_of(rule("global"), 2, 2, 2);
  report.changes.push_back({1000, later.plan, later.simulation});
  EXPECT_THAT(report_text(report, 100), HasSubstr("From step 1000 on: global"));
  const json told = report_json(report);
  ASSERT_EQ(told["changes"].size(), 1u);
  EXPECT_EQ(told["changes"][0]["at_step"], 1000);
  EXPECT_EQ(told["changes"][0]["matrix"], json::parse("[[0,1],[0,1]]"));
}

// A ramp of the batch was not told of at all.
TEST(PlanText, TellsOtherBatches) {
  PlanReport report = report_of(rule("local"), 2, 2, 4);
  PlanReport first = report_of(rule("local"), 2, 2, 1), later = report_of(rule("global"), 2, 2, 3);
  report.changes.push_back({1, first.plan, first.simulation});
  report.changes.push_back({7, later.plan, later.simulation});
  const std::string text = report_text(report, 100);
  EXPECT_THAT(text, HasSubstr("From step 1 on: 1 microbatch per step\n  a step takes"));
  EXPECT_THAT(text, HasSubstr("From step 7 on: global, 3 microbatches per step\n"));
  EXPECT_EQ(report_json(report)["changes"][1]["microbatches"], 3);
}

class CostsFile : public testing::Test {
 protected:
  CostsFile() {
    std::string pattern = (std::filesystem::temp_directory_path() / "interlock_costs_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~CostsFile() override { std::filesystem::remove_all(folder_); }
  std::string write(const std::string& text) const {
    std::ofstream(folder_ + "/costs.json") << text;
    return folder_ + "/costs.json";
  }
  std::string refusal(const std::string& text, int stages) const {
    try {
      read_costs(write(text), stages);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      return error.what();
    }
    ADD_FAILURE() << "nothing was refused";
    return "";
  }

 private:
  std::string folder_;
};

TEST_F(CostsFile, IsReadWhole) {
  const auto costs =
      read_costs(write(R"({"stages":[{"forward":1,"input_gradient":2,"weight_gradient":3,"loss":4,"update":5,
    "message_bytes":6,"activation_bytes":7,"fixed_bytes":8,"recorded_bytes":9,"forward_working_bytes":10},{"forward":0.5,"input_gradient":0,"weight_gradient":1e-3}],
    "seconds_per_byte":1e-9,"latency":2e-6})"),
                 2);
  ASSERT_EQ(costs.stages.size(), 2u);
  const StageCosts& first = costs.stages[0];
  EXPECT_THAT((std::vector<double>{first.forward, first.input_gradient, first.weight_gradient, first.loss, first.update,
                                   first.message_bytes, first.activation_bytes, first.fixed_bytes, first.recorded_bytes,
                                   first.forward_working_bytes}),
              testing::ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
  EXPECT_EQ(costs.stages[1].recorded_bytes, 0);
  EXPECT_EQ(costs.stages[1].forward, 0.5);
  EXPECT_EQ(costs.stages[1].loss, 0);
  EXPECT_EQ(costs.seconds_per_byte, 1e-9);
  EXPECT_EQ(costs.latency, 2e-6);
}

TEST_F(CostsFile, RefusesWhatDoesNotFit) {
  EXPECT_THAT(refusal("nonsense", 1), HasSubstr("is not a JSON object"));
  EXPECT_THAT(refusal("[]", 1), HasSubstr("is not a JSON object"));
  EXPECT_THAT(refusal("{}", 1), HasSubstr("has no list \"stages\""));
  EXPECT_THAT(refusal(R"({"stages":[{}]})", 2), HasSubstr("has costs of 1 stages, the plan has 2"));
  EXPECT_THAT(refusal(R"({"stages":[{"forward":1}]})", 1), HasSubstr("has no stages[0].input_gradient"));
  EXPECT_THAT(refusal(R"({"stages":[{"forward":"1"}]})", 1), HasSubstr("stages[0].forward is not a number"));
  EXPECT_THAT(refusal(R"({"stages":[{"forward":-1}]})", 1), HasSubstr("stages[0].forward is -1"));
  EXPECT_THAT(refusal(R"({"stages":[{"forward":1,"input_gradient":1,"weight_gradient":1,"recorded_bytes":-1}]})", 1),
              HasSubstr("stages[0].recorded_bytes is -1"));
  EXPECT_THAT(refusal(R"({"stages":[3]})", 1), HasSubstr("stages[0] is not an object"));
}

TEST(UnitTimes, KeepSizes) {
  SimulationCosts costs = SimulationCosts::unit(1);
  costs.stages[0] = {5, 6, 7, 8, 9, 10, 11, 12};
  costs.seconds_per_byte = costs.latency = 1;
  const auto unit = with_unit_times(costs);
  const StageCosts& stage = unit.stages[0];
  EXPECT_THAT(
      (std::vector<double>{stage.forward, stage.input_gradient, stage.weight_gradient, stage.loss, stage.update}),
      testing::ElementsAre(1, 1, 1, 0, 0));
  EXPECT_EQ(stage.activation_bytes, 11);
  EXPECT_EQ(stage.fixed_bytes, 12);
  EXPECT_EQ(unit.seconds_per_byte + unit.latency, 0);
}

}  // namespace
}  // namespace interlock
