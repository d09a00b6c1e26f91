// What is told of a run, from what its ranks told.

#include "launch/run/result.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "launch/settings/parts.h"

namespace interlock {
namespace {

using nlohmann::json;

RunResult result_of_two_ranks(Ending ending, int64_t steps, int64_t first_step) {
  const RunSettings settings =
      read_settings(Config::from_text("[model]\nname = 'mlp'\n[data]\nname = 'spirals'\n[parallel]\nstages = 3\nranks "
                                      "= 1\nreplicas = 2\n[run]\nfolder = 'a'\n"));
  const auto dataset = make_dataset(settings);
  dataset->open();
  RunSummary summary;
  summary.ending = ending;
  summary.steps = steps;
  summary.first_step = first_step;
  summary.loss = 0.5;
  summary.tokens_per_second = 100;
  summary.idle_share = 0.25;
  summary.seconds = 2;
  summary.ranks.resize(2);
  summary.ranks[0].counters = {{3, 0}, {0, 2}, 5, 50};
  summary.ranks[1].counters = {{0, 4}, {1, 0}, 6, 60};
  summary.ranks[0].peak_rss_mib = 10;
  summary.ranks[1].peak_rss_mib = 20;
  summary.ranks[0].checkpoint_seconds = 0.5;
  summary.ranks[1].loader_seconds = 0.75;
  return result_of(settings, summary, *dataset);
}

TEST(RunResultOfRanks, AddsMessagesAndTakesTheLongestTimes) {
  const json told = json::parse(to_json(result_of_two_ranks(Ending::stopped, 4, 2)));
  const json expected = {
      {"run", "a"},
      {"steps", 4},
      {"performed", 3},
      {"stopped", true},
      {"loss", 0.5},
      {"validation_loss", nullptr},
      {"unigram_baseline", nullptr},
      {"tokens_per_second", 100.0},
      {"idle_share", 0.25},
      {"seconds", 2.0},
      {"peak_rss_mib", {10.0, 20.0}},
      {"messages", 11},
      {"messages_per_boundary", {{{"forward", 3}, {"backward", 1}}, {{"forward", 4}, {"backward", 2}}}},
      {"bytes_sent", 110},
      {"checkpoint_seconds", 0.5},
      {"loader_seconds", 0.75},
      {"left_out_steps", 0},
      {"rewinds", 0},
      {"digest", nullptr}};
  EXPECT_EQ(told, expected);
}

TEST(RunResultOfRanks, WithoutAStepHasNoLoss) {
  const RunResult result = result_of_two_ranks(Ending::stopped, 4, 5);
  EXPECT_EQ(result.performed, 0);
  EXPECT_FALSE(result.loss.has_value());
}

}  // namespace
}  // namespace interlock
