// The matrices of the named rules, and the sentences with which wrong ones are refused.

#include "parallel/plan/learning_rule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "runtime/core/error.h"

namespace interlock {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refusal(const RuleRequest& request, int stages) {
  try {
    make_rule(request, stages);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    return error.what();
  }
  return "not refused";
}

TEST(LearningRule, NamedRulesAreTheMatricesOfTheirDefinitions) {
  EXPECT_EQ(make_rule({.rule = "local"}, 3).weights, (Matrix{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}));
  EXPECT_EQ(make_rule({.rule = "global"}, 3).weights, (Matrix{{0, 0, 1}, {0, 0, 1}, {0, 0, 1}}));
  EXPECT_EQ(make_rule({.rule = "furthest", .horizon = 2}, 4).weights,
            (Matrix{{0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}, {0, 0, 0, 1}}));
  EXPECT_EQ(make_rule({.rule = "sum", .horizon = 2}, 4).weights,
            (Matrix{{1, 1, 0, 0}, {0, 1, 1, 0}, {0, 0, 1, 1}, {0, 0, 0, 1}}));
  EXPECT_EQ(make_rule({.rule = "deep_supervision", .weight = 0.3}, 3).weights,
            (Matrix{{0.3, 0.3, 1}, {0, 0.3, 1}, {0, 0, 1}}));
  EXPECT_EQ(make_rule({.rule = "chunked", .window = 2}, 5).weights,
            (Matrix{{0, 1, 0, 0, 0}, {0, 1, 0, 0, 0}, {0, 0, 0, 1, 0}, {0, 0, 0, 1, 0}, {0, 0, 0, 0, 1}}));
  // A last block that is shorter learns from the last loss.
  EXPECT_EQ(make_rule({.rule = "chunked", .window = 3}, 4).weights,
            (Matrix{{0, 0, 1, 0}, {0, 0, 1, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}}));
}

TEST(LearningRule, FurthestSpansLocalToGlobal) {
  for (int stages = 1; stages <= 9; ++stages) {
    const Matrix local = make_rule({.rule = "local"}, stages).weights;
    const Matrix global = make_rule({.rule = "global"}, stages).weights;
    EXPECT_EQ(make_rule({.rule = "furthest", .horizon = 1}, stages).weights, local);
    EXPECT_EQ(make_rule({.rule = "furthest", .horizon = stages}, stages).weights, global);
    EXPECT_EQ(make_rule({.rule = "sum", .horizon = 1}, stages).weights, local);
    EXPECT_EQ(make_rule({.rule = "chunked", .window = 1}, stages).weights, local);
    EXPECT_EQ(make_rule({.rule = "chunked", .window = stages}, stages).weights, global);
    EXPECT_EQ(make_rule({.rule = "deep_supervision", .weight = 0}, stages).weights, global);
  }
}

TEST(LearningRule, NamesSayWhatWasAskedFor) {
  EXPECT_EQ(make_rule({.rule = "furthest", .horizon = 2}, 4).name, "furthest(2)");
  EXPECT_EQ(make_rule({.rule = "sum", .horizon = 3}, 4).name, "sum(3)");
  EXPECT_EQ(make_rule({.rule = "chunked", .window = 2}, 4).name, "chunked(2)");
  EXPECT_EQ(make_rule({.rule = "deep_supervision", .weight = 0.3}, 4).name, "deep_supervision(0.3)");
  EXPECT_EQ(make_rule({.rule = "local"}, 4).name, "local");
  EXPECT_EQ(make_rule({.rule = "matrix", .matrix = {{1}}}, 1).name, "matrix");
}

TEST(LearningRule, HorizonsBeyondTheStagesNameTheLargest) {
  EXPECT_THAT(refusal({.rule = "furthest", .horizon = 5}, 4),
              AllOf(HasSubstr("learning.horizon = 5"), HasSubstr("largest that makes sense is 4")));
  EXPECT_THAT(refusal({.rule = "sum", .horizon = 5}, 4), HasSubstr("largest that makes sense is 4"));
  EXPECT_THAT(refusal({.rule = "furthest", .horizon = 0}, 4), HasSubstr("1 to 4"));
  EXPECT_THAT(refusal({.rule = "sum", .horizon = -1}, 4), HasSubstr("1 to 4"));
  EXPECT_THAT(refusal({.rule = "chunked", .window = 5}, 4), HasSubstr("learning.window = 5"));
  EXPECT_THAT(refusal({.rule = "furthest", .horizon = std::numeric_limits<int>::max()}, 4), HasSubstr("is 4"));
}

TEST(LearningRule, KeysOfOtherRulesAreNotRead) {
  EXPECT_NO_THROW(make_rule({.rule = "local", .horizon = 99, .window = -1, .weight = -1}, 2));
}

TEST(LearningRule, WrongMatricesAreRefused) {
  const auto of = [](Matrix matrix, std::vector<int> frozen = {}) {
    return RuleRequest{.rule = "matrix", .matrix = std::move(matrix), .frozen = std::move(frozen)};
  };
  EXPECT_THAT(refusal(of({{1, 0}}), 2), HasSubstr("1 rows, but there are 2 stages"));
  EXPECT_THAT(refusal(of({{1, 0}, {1}}), 2), HasSubstr("learning.matrix[1] has 1 numbers"));
  EXPECT_THAT(refusal(of({{1, 0}, {1, 1}}), 2), HasSubstr("not upper triangular"));
  EXPECT_THAT(refusal(of({{1, -1}, {0, 1}}), 2), HasSubstr("learning.matrix[0][1] = -1"));
  EXPECT_THAT(refusal(of({{1, std::numeric_limits<double>::quiet_NaN()}, {0, 1}}), 2), HasSubstr("number"));
  EXPECT_THAT(refusal(of({{1, std::numeric_limits<double>::infinity()}, {0, 1}}), 2), HasSubstr("number"));
  EXPECT_THAT(refusal(of({{0, 0}, {0, 1}}), 2), AllOf(HasSubstr("stage 0 learns from nothing"), HasSubstr("frozen")));
  EXPECT_THAT(refusal(of({{1, 0}, {0, 1}}, {0}), 2), HasSubstr("gives it a weight"));
  EXPECT_THAT(refusal(of({{0, 0}, {0, 1}}, {2}), 2), HasSubstr("the stages are 0 to 1"));
  EXPECT_THAT(refusal(of({}), 0), HasSubstr("at least 1 stage"));
  EXPECT_THAT(refusal({.rule = "deep_supervision", .weight = -0.5}, 2), HasSubstr("learning.weight = -0.5"));
  EXPECT_THAT(refusal({.rule = "furthst"}, 2), HasSubstr("did you mean \"furthest\""));
}

TEST(LearningRule, FreezingClearsTheRowOfANamedRule) {
  const LearningRule rule = make_rule({.rule = "furthest", .horizon = 2, .frozen = {2, 0, 2}}, 3);
  EXPECT_EQ(rule.weights, (Matrix{{0, 0, 0}, {0, 0, 1}, {0, 0, 0}}));
  EXPECT_EQ(rule.frozen, (std::vector<int>{0, 2}));
}

TEST(LearningRule, AStageWithNothingToTrainIsFrozenUnderAnyRule) {
  const LearningRule named = make_rule({.rule = "global", .frozen = {2}, .untrained = {1, 0, 1}}, 4);
  EXPECT_EQ(named.weights, (Matrix{{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 1}}));
  EXPECT_EQ(named.frozen, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(named.name, "global");
  // Nobody has asked for it, so what a matrix gives the stage is no mistake, and neither is an empty row.
  const RuleRequest matrix{.rule = "matrix", .matrix = {{1, 2, 3}, {0, 0, 0}, {0, 0, 4}}, .untrained = {0, 1}};
  EXPECT_EQ(make_rule(matrix, 3).weights, (Matrix{{0, 0, 0}, {0, 0, 0}, {0, 0, 4}}));
  EXPECT_EQ(make_rule(matrix, 3).frozen, (std::vector<int>{0, 1}));
  // What a user asks for is checked as before, beside it.
  RuleRequest wrong = matrix;
  wrong.frozen = {0};
  EXPECT_THAT(refusal(wrong, 3), HasSubstr("gives it a weight"));
  wrong.frozen = {3};
  EXPECT_THAT(refusal(wrong, 3), HasSubstr("the stages are 0 to 2"));
  RuleRequest empty = matrix;
  empty.untrained = {0};
  EXPECT_THAT(refusal(empty, 3), HasSubstr("stage 1 learns from nothing"));
  EXPECT_TRUE(RuleRequest{}.all_train());
  EXPECT_FALSE(named.frozen.empty() || matrix.all_train());
}

TEST(LearningRule, TheFirstStageDecidesWhetherAllAreCoupled) {
  EXPECT_TRUE(couples_all_stages(make_rule({.rule = "global"}, 4)));
  EXPECT_TRUE(couples_all_stages(make_rule({.rule = "sum", .horizon = 4}, 4)));
  EXPECT_FALSE(couples_all_stages(make_rule({.rule = "furthest", .horizon = 3}, 4)));
  EXPECT_TRUE(couples_all_stages(make_rule({.rule = "local"}, 1)));
}

}  // namespace
}  // namespace interlock
