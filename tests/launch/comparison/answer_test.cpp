// The sentences of an answer, from outcomes made by hand.
#include "launch/comparison/answer.h"

#include <gmock/gmock.h>

#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

using testing::HasSubstr;
using testing::Not;

// Three seeds with these test losses; every run goes down from 5 to its loss in ten steps of a second.
GroupOutcome group_of(const std::string& rule, const std::vector<double>& losses) {
  GroupOutcome group;
  group.group.rule.word = rule;
  group.group.head = "none";
  group.group.stages = 2;
  for (size_t i = 0; i < losses.size(); ++i) {
    ArmOutcome arm;
    arm.arm.group = group.group;
    arm.arm.seed = i + 1;
    arm.status = ArmStatus::done;
    arm.run.emplace();
    for (int64_t step = 1; step <= 10; ++step) {
      MetricsRow& row = arm.run->rows.emplace_back();
      row.step = step;
      row.validation_loss = 5 + (losses[i] - 5) * static_cast<double>(step) / 10;
      row.seconds = static_cast<double>(step);
    }
    arm.test = TestScore{.loss = losses[i], .exits = {}, .targets = 1, .sequences = 1};
    group.arms.push_back(std::move(arm));
  }
  return group;
}

std::string answer(std::vector<GroupOutcome> groups) {
  Outcome outcome;
  outcome.steps = 10;
  outcome.cores = 2;
  outcome.seeds = {1, 2, 3};
  outcome.groups = std::move(groups);
  return join(answer_of(outcome), "\n");
}

const std::vector<double> of_global{3.0, 3.1, 2.9};

TEST(Answer, GlobalByAnotherNameIsNoOtherRule) {
  const std::string text = answer({group_of("global", of_global), group_of("furthest:2", of_global),
                                   group_of("local", {4.0, 4.1, 3.95}), group_of("sum:2", {3.0, 3.2, 2.8})});
  EXPECT_THAT(text, HasSubstr("the best of the others, sum:2"));
  EXPECT_THAT(text, HasSubstr("Of the 2 others 0 are better, 1 worse and 1 within the noise of the seeds; 1 more is "
                              "global learning by another name."));
}

TEST(Answer, OneOtherIsNotCalledSeveral) {
  const std::string text = answer({group_of("global", of_global), group_of("local", {4.0, 4.1, 3.95})});
  EXPECT_THAT(text, HasSubstr("which is worse beyond noise"));
  EXPECT_THAT(text, Not(HasSubstr("others 0")));
}

TEST(Answer, NothingBesideGlobal) {
  EXPECT_THAT(answer({group_of("global", of_global), group_of("furthest:2", of_global)}),
              HasSubstr("there is nothing else to compare it with"));
}

}  // namespace
}  // namespace interlock
