// `compare` as a person starts it: arms, report, and going on.
#include <gmock/gmock.h>
#include <signal.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/html.h"
#include "tests/support/small_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

namespace fs = std::filesystem;

// As much of JSON Schema as ours uses; says where it does not hold.
void expect_fits(const json& value, const json& schema, const std::string& where) {
  if (const auto any = schema.find("enum"); any != schema.end()) {
    EXPECT_NE(std::find(any->begin(), any->end(), value), any->end()) << where << ": " << value;
    return;
  }
  const json types = schema["type"].is_array() ? schema["type"] : json{schema["type"]};
  const auto is = [&](const std::string& type) {
    if (type == "integer") return value.is_number_integer();
    if (type == "number") return value.is_number();
    return type == value.type_name();
  };
  EXPECT_TRUE(std::any_of(types.begin(), types.end(), [&](const json& type) { return is(type); }))
      << where << ": " << value;
  if (value.is_object() && schema.contains("properties")) {
    for (const json& name : schema["required"])
      EXPECT_TRUE(value.contains(name.get<std::string>())) << where << "." << name;
    for (const auto& [name, part] : value.items()) {
      ASSERT_TRUE(schema["properties"].contains(name)) << where << "." << name << " stands in no schema";
      expect_fits(part, schema["properties"][name], where + "." + name);
    }
  }
  if (value.is_array() && schema.contains("items"))
    for (const json& part : value) expect_fits(part, schema["items"], where + "[]");
}

class CompareCommand : public SmallProject {
 protected:
  CommandResult compare(const Words& more, CommandOptions options = {}) const {
    return interlock(words(more), options);
  }
  // Threads of one process, so that a run starts in a tenth of a second.
  static Words words(const Words& more) {
    Words all{"compare", "config.toml", "--output", "cmp", "--set", "parallel.transport=loopback"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  json report() const { return json::parse(read("cmp/report.json")); }
  static json arm(const json& report, const std::string& rule, uint64_t seed) {
    for (const json& one : report["arms"])
      if (one["rule"] == rule && one["seed"] == seed) return one;
    return {};
  }
};

TEST_F(CompareCommand, ArmsAreOrdinaryRunsAndTheReportHoldsThem) {
  Words asked{"--rules",
              "local,sum:2,global",
              "--seeds",
              "2",
              "--tune",
              "1",
              "--diagnostics",
              "--links",
              "1e8,1e5",
              "--set",
              "parallel.partition=balanced_for_rule"};
  const CommandResult done = compare(asked);
  expect_done(done);
  EXPECT_THAT(done.output, HasSubstr("global learning has a test loss of"));
  EXPECT_THAT(done.output, HasSubstr("cmp/report.html"));
  EXPECT_THAT(done.errors, AllOf(HasSubstr("what the arms have learned"), Not(HasSubstr("reading "))));
  // An arm is scored before the next one starts, so that what ends a comparison takes no score from it.
  EXPECT_LE(fs::last_write_time(path("cmp/arms/local_linear_4-stages_seed-1.test.json")),
            fs::last_write_time(path("cmp/arms/local_linear_4-stages_seed-2/config.toml")));

  const json found = report();
  EXPECT_EQ(found["method"]["device"], "the CPU");
  // Rules are compared on one cut, whatever the config has each of them cut by.
  EXPECT_THAT(found["method"]["notes"].dump(), HasSubstr("rules are compared on one cut"));
  EXPECT_THAT(read("cmp/arms/local_linear_4-stages_seed-1/config.toml"), HasSubstr("partition = \"balanced\""));
  std::ifstream schema(INTERLOCK_SCHEMA);
  expect_fits(found, json::parse(schema), "report");
  EXPECT_EQ(found["arms"].size(), 6U);
  EXPECT_EQ(found["rules"].size(), 3U);
  for (const json& one : found["arms"]) {
    EXPECT_EQ(one["status"], "done");
    EXPECT_EQ(one["steps"], 4);
    EXPECT_GT(one["test_loss"], 0);
    EXPECT_GT(one["flops"], 0);
    EXPECT_GT(one["seconds"], 0);
  }
  // What a link carries of a step in one direction takes so long at 1e5 bytes per second.
  const double of_a_direction = arm(found, "global", 1)["bytes_sent"].get<double>() / 4 / 3 / 2;
  for (const json& rule : found["rules"]) {
    ASSERT_EQ(rule["slowed_links"].size(), 2U);
    EXPECT_EQ(rule["slowed_links"][0]["bandwidth"], 1e8);
    EXPECT_EQ(rule["slowed_links"][1]["bandwidth"], 1e5);
  }
  for (const json& rule : found["rules"])
    if (rule["rule"] == "global") {
      EXPECT_GT(rule["slowed_links"][1]["step"], of_a_direction / 1e5);
    }
  // One batch order and start for both rules of a seed; heads and streams cost operations.
  EXPECT_GT(arm(found, "local", 1)["flops"], 0);
  EXPECT_GT(arm(found, "sum:2", 1)["flops"], arm(found, "local", 1)["flops"]);
  EXPECT_EQ(arm(found, "local", 1)["exits"].size(), 4U);
  EXPECT_EQ(arm(found, "global", 1)["exits"].size(), 1U);
  EXPECT_NEAR(arm(found, "global", 1)["gradient_cosines"]["0"].get<double>(), 1, 1e-9);
  EXPECT_LT(arm(found, "local", 1)["bytes_sent"], arm(found, "global", 1)["bytes_sent"]);  // nothing goes back

  // Its config gives the same weights.
  const json sum = arm(found, "sum:2", 2);
  const CommandResult again =
      interlock({"train", sum["folder"].get<std::string>() + "/config.toml", "--json", "--set", "run.folder=again"});
  expect_done(again);
  EXPECT_EQ(last_object(again)["digest"], sum["digest"]);

  const std::string page = read("cmp/report.html");
  expect_whole_page(page);
  for (const char* part : {"Which way of learning is worth its cost", "Quality and time: 4 stages", "Learning curves",
                           "By time, simulated", "Quality and memory", "by their means none is better in both: ",
                           "Test loss at equal memory", "Equal budgets", "what ranks did, measured",
                           "Test loss of every head", "Cosine of each stage", "No link was slowed down",
                           "A delay was put into the transport", "2 seeds: intervals are rough", "Holm", "bootstrap"})
    EXPECT_THAT(page, HasSubstr(part));
  EXPECT_THAT(read("cmp/report.md"), HasSubstr("| rule | test loss, mean [95 %] |"));

  // Nothing is left to do; another seed adds one arm for each rule.
  const CommandResult same = compare(asked);
  expect_done(same);
  EXPECT_THAT(same.errors, Not(HasSubstr("compare  arm")));
  const json twice = report();
  EXPECT_EQ(twice["arms"], found["arms"]);
  EXPECT_EQ(twice["rules"], found["rules"]);
  const CommandResult more = compare({"--rules", "local,sum:2,global", "--seeds", "3", "--tune", "1"});
  expect_done(more);
  EXPECT_EQ(count_of(more.errors, " done in "), 3U) << more.errors;
  EXPECT_EQ(report()["arms"].size(), 9U);
}

TEST_F(CompareCommand, RatesAreSearchedByTheSameBudget) {
  expect_done(compare(
      {"--rules", "local,global", "--seeds", "1", "--tune", "3", "--set", "run.steps=2", "--microbatches", "1,3"}));
  const json found = report();
  // Of both rules a step with so many microbatches is measured, and one with 1, 2, 4, ... and so many simulated.
  for (const json& rule : found["rules"]) {
    std::map<int, json> by_number;
    for (const json& one : rule["by_microbatches"]) by_number[one["microbatches"]] = one;
    for (const int number : {1, 3}) EXPECT_GT(by_number[number]["measured"], 0.0) << rule;
    EXPECT_TRUE(by_number[2]["measured"].is_null()) << rule;
    EXPECT_GT(by_number[3]["simulated"], by_number[1]["simulated"]) << rule;
  }
  EXPECT_THAT(read("cmp/report.md"), HasSubstr("as configured"));
  EXPECT_THAT(read("cmp/report.html"), HasSubstr("share of a step by their number, measured on"));
  ASSERT_EQ(found["tuning"].size(), 2U);
  for (const json& search : found["tuning"]) {
    ASSERT_EQ(search["trials"].size(), 3U);
    double best = 1e9;
    for (const json& trial : search["trials"]) best = std::min(best, trial["validation_loss"].get<double>());
    for (const json& trial : search["trials"])
      if (trial["validation_loss"] == best) {
        EXPECT_EQ(trial["learning_rate"], search["chosen"]);
      }
    EXPECT_EQ(arm(found, search["rule"], 1)["learning_rate"], search["chosen"]);
  }
  // One seed: no interval and no test, and it is said.
  for (const json& rule : found["rules"]) {
    EXPECT_TRUE(rule["interval"].is_null());
    EXPECT_TRUE(rule["p_value"].is_null());
  }
  EXPECT_THAT(read("cmp/report.md"), HasSubstr("One seed: there is no interval and no test"));
  EXPECT_THAT(read("cmp/report.html"), HasSubstr("ways of global at 4 stages"));
}

TEST_F(CompareCommand, ArmsAtATimeAreTheArmsOneAfterAnother) {
  const Words asked{"--rules", "local,sum:2", "--seeds", "2", "--tune", "2", "--set", "run.steps=2"};
  expect_done(compare(asked));
  const json alone = report();
  fs::remove_all(path("cmp"));
  Words several = asked;
  several.insert(several.end(), {"--at-once", "3"});
  const CommandResult done = compare(several);
  expect_done(done);
  // The third begins before the first has ended; what measures costs runs alone.
  EXPECT_LT(done.errors.find("sum-2_linear_4-stages_tune-1\n"), done.errors.find("local_linear_4-stages_tune-1  done"));
  ASSERT_THAT(done.errors, HasSubstr("sum-2_linear_4-stages_costs\n"));
  EXPECT_GT(done.errors.find("sum-2_linear_4-stages_costs\n"), done.errors.find("local_linear_4-stages_costs  done"));
  const json found = report();
  EXPECT_EQ(found["tuning"], alone["tuning"]);
  for (const json& one : alone["arms"])
    EXPECT_EQ(arm(found, one["rule"], one["seed"])["digest"], one["digest"]) << one["rule"] << " " << one["seed"];
  EXPECT_THAT(read("cmp/report.md"), HasSubstr("Up to 3 arms ran at a time"));
  // It is the arms that know: said again without the option.
  expect_done(compare(asked));
  EXPECT_THAT(read("cmp/report.md"), HasSubstr("Up to 3 arms ran at a time"));
}

TEST_F(CompareCommand, StagesAndControlsStandBesideEachOther) {
  expect_done(compare({"--rules", "furthest:3,global", "--stages", "2,4", "--seeds", "1", "--tune", "1", "--controls",
                       "--set", "run.steps=1", "--set", "run.evaluate_every=1"}));
  const json found = report();
  std::set<std::string> rules;
  for (const json& rule : found["rules"])
    rules.insert(rule["rule"].get<std::string>() + "/" + std::to_string(rule["stages"].get<int>()));
  EXPECT_THAT(rules, testing::UnorderedElementsAre("furthest:3/4", "global/2", "global/4", "frozen_lower/2",
                                                   "frozen_lower/4", "global_heads/2", "global_heads/4", "chunked:2/2",
                                                   "chunked:2/4", "deep_supervision:0.3/2", "deep_supervision:0.3/4"));
  EXPECT_THAT(read("cmp/report.html"), HasSubstr("furthest:3 at 2 stages"));
}

TEST_F(CompareCommand, ADryRunWritesNothing) {
  const CommandResult listed = compare({"--rules", "local,global", "--seeds", "2", "--dry-run"});
  expect_done(listed);
  for (const char* part : {"local linear, 4 stages: 2 seeds, 6 learning rates", "FLOP a step", "runs of 4 steps",
                           "0 of the search done already", "At least"})
    EXPECT_THAT(listed.output, HasSubstr(part));
  EXPECT_FALSE(fs::exists(path("cmp")));
  // What would stop the comparison is said now.
  expect_failure(compare({"--rules", "local,global", "--dry-run", "--set", "data.test_paths=['nowhere']"}), 65,
                 {"data.test_paths", "nowhere"});
  expect_failure(compare({"--rules", "local,global", "--dry-run", "--stages", "2,99"}), 64,
                 {"--stages: 99: the model has", "units to cut"});
  expect_failure(compare({"--rules", "local,global", "--dry-run", "--microbatches", "2,2000000000"}), 64,
                 {"--microbatches: ", "is too large"});
  const CommandResult alone =
      compare({"--rules", "local,global", "--dry-run", "--set", "parallel.ranks=1", "--microbatches", "2"});
  expect_done(alone);
  EXPECT_THAT(alone.output, HasSubstr("left out: --links and --microbatches at 4 stages: one rank holds all of it"));
}

TEST_F(CompareCommand, AnInterruptedOneGoesOn) {
  const Words asked =
      words({"--rules", "local,global", "--seeds", "1", "--tune", "1", "--set", "run.steps=400", "--at-once", "2"});
  Words all{program()};
  all.insert(all.end(), asked.begin(), asked.end());
  CommandOptions options;
  options.folder = path().string();
  {
    RunningCommand running(all, options);
    ASSERT_TRUE(running.wait_until([&] {
      return fs::exists(path("cmp/arms/local_linear_4-stages_seed-1/metrics.jsonl")) &&
             fs::exists(path("cmp/arms/global_none_4-stages_seed-1/metrics.jsonl"));
    }));
    running.signal(SIGINT);
    const CommandResult ended = running.wait(30);
    EXPECT_EQ(ended.code, 128 + SIGINT) << ended.all;
    EXPECT_THAT(ended.errors, HasSubstr("the same command goes on from here"));
    EXPECT_THAT(ended.left_running, testing::IsEmpty());
  }
  EXPECT_FALSE(fs::exists(path("cmp/report.json")));
  // What a step costs is known by then, and in the end all of it.
  all.push_back("--dry-run");
  const CommandResult listed = run_command(all, options);
  EXPECT_THAT(listed.output, AllOf(HasSubstr(", 0 of those"), HasSubstr("in all, by the runs that are done")));
  all.pop_back();
  const CommandResult rest = run_command(all, options);
  expect_done(rest);
  all.push_back("--dry-run");
  EXPECT_THAT(run_command(all, options).output, HasSubstr(", 1 of those whose settings are known"));
  EXPECT_THAT(rest.errors, Not(HasSubstr("_costs  done")));  // those were done before
  for (const json& one : report()["arms"]) EXPECT_EQ(one["status"], "done");
}

}  // namespace
}  // namespace interlock
