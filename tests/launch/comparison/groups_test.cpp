// From the words of the command line to groups.
#include <gmock/gmock.h>

#include "launch/comparison/controls.h"
#include "launch/comparison/groups.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

RunSettings base(const std::vector<std::string>& overrides = {}) {
  return read_settings(Config::from_text("[data]\npaths = ['x']\n", overrides));
}

std::string refused(const std::string& words) {
  try {
    parse_rules(words);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

std::vector<std::string> names_of(const Groups& groups) {
  std::vector<std::string> names;
  for (const RuleGroup& group : groups.all) names.push_back(group.name());
  return names;
}

TEST(Rules, WordsBecomeKeys) {
  const auto rules = parse_rules("local,furthest:3,deep_supervision:0.25");
  ASSERT_EQ(rules.size(), 3U);
  EXPECT_THAT(rules[0].overrides, ElementsAre("learning.rule=local"));
  EXPECT_THAT(rules[1].overrides, ElementsAre("learning.rule=furthest", "learning.horizon=3"));
  EXPECT_EQ(rules[1].request.horizon, 3);
  EXPECT_THAT(rules[2].overrides, ElementsAre("learning.rule=deep_supervision", "learning.weight=0.25"));
}

TEST(Rules, WhatIsNoRuleIsRefusedInWords) {
  EXPECT_THAT(refused("globl"), HasSubstr("did you mean \"global\""));
  EXPECT_THAT(refused("sum"), HasSubstr("sum needs a number, its learning.horizon"));
  EXPECT_THAT(refused("sum:two"), HasSubstr("two is no number for learning.horizon"));
  EXPECT_THAT(refused("sum:2.5"), HasSubstr("2.5 is no number"));
  EXPECT_THAT(refused("local:2"), HasSubstr("the rule local takes no number"));
  EXPECT_THAT(refused("local,,global"), HasSubstr("an empty word"));
  EXPECT_THAT(refused("local,local"), HasSubstr("local stands twice"));
  EXPECT_THAT(refused(""), HasSubstr("nothing is given"));
  EXPECT_THROW(parse_numbers("2,0", "--stages"), Error);
  EXPECT_THROW(parse_numbers("2,x", "--stages"), Error);
  for (const char* speed : {"0", "-1", "x", "1e8x", "inf", "nan"}) EXPECT_THROW(parse_speeds(speed, "--links"), Error);
  EXPECT_EQ(parse_speeds("1e8,5", "--links"), (std::vector<double>{1e8, 5}));
}

TEST(Groups, HeadsMultiplyRulesThatNeedThem) {
  const Groups groups = make_groups(base(), parse_rules("local,global"), {"linear", "block"}, {4});
  EXPECT_THAT(names_of(groups), ElementsAre("local_linear_4-stages", "local_block_4-stages", "global_none_4-stages"));
  EXPECT_THAT(groups.all[1].overrides, Contains("learning.head=block"));
  EXPECT_EQ(groups.all[2].label(), "global");
}

TEST(Groups, StagesBringRanksAlong) {
  const Groups both = make_groups(base(), parse_rules("global"), {"linear"}, {2, 8});
  EXPECT_THAT(both.all[1].overrides, Contains("parallel.ranks=8"));
  const Groups fewer = make_groups(base({"parallel.ranks=2"}), parse_rules("global"), {"linear"}, {8});
  EXPECT_THAT(fewer.all[0].overrides, Contains("parallel.ranks=2"));
}

TEST(Groups, WhatHasNoMeaningIsLeftOutAndSaid) {
  const Groups groups = make_groups(base(), parse_rules("furthest:3,global"), {"linear"}, {2, 4});
  EXPECT_THAT(names_of(groups),
              ElementsAre("global_none_2-stages", "furthest-3_linear_4-stages", "global_none_4-stages"));
  ASSERT_EQ(groups.left_out.size(), 1U);
  EXPECT_THAT(groups.left_out[0], HasSubstr("furthest:3 at 2 stages"));
  EXPECT_THROW(make_groups(base(), parse_rules("furthest:9"), {"linear"}, {2}), Error);
  EXPECT_THROW(make_groups(base(), parse_rules("global,furthest:9"), {"linear"}, {2, 4}), Error) << "it fits nowhere";
}

// As if a layer cost 10, and every rule but local 25 more than its layers.
double flops_for_test(const std::vector<std::string>& overrides) {
  double layers = 8, more = 25;
  for (const std::string& one : overrides) {
    if (one.starts_with("model.layers=")) layers = std::stod(one.substr(13));
    if (one == "learning.rule=local") more = 0;
  }
  return 10 * layers + more;
}

TEST(Groups, ControlsStandBesideTheRules) {
  Groups groups = make_groups(base({"model.layers=8"}), parse_rules("chunked:2,global"), {"linear"}, {4, 1});
  const size_t rules = groups.all.size();
  add_controls(groups, base({"model.layers=8"}), parse_rules("chunked:2,global"), {"linear"}, {4, 1}, flops_for_test);
  EXPECT_TRUE(std::all_of(groups.all.begin(), groups.all.begin() + static_cast<int64_t>(rules),
                          [](const RuleGroup& group) { return !group.control; }));
  EXPECT_TRUE(std::all_of(groups.all.begin() + static_cast<int64_t>(rules), groups.all.end(),
                          [](const RuleGroup& group) { return group.control; }));
  EXPECT_THAT(names_of(groups), Contains("local_deeper-11_linear_4-stages"));  // 25 more are two and a half layers
  EXPECT_THAT(names_of(groups), Contains("frozen_lower_none_4-stages"));
  EXPECT_THAT(names_of(groups), Contains("global_heads_linear_4-stages"));
  EXPECT_THAT(names_of(groups), Contains("deep_supervision-0.3_linear_4-stages"));
  EXPECT_EQ(std::ranges::count(names_of(groups), "chunked-2_linear_4-stages"), 1);
  for (const RuleGroup& group : groups.all)
    if (group.rule.word == "frozen_lower") {
      EXPECT_THAT(group.overrides, Contains("learning.frozen=[0, 1]"));
    }
  EXPECT_THAT(groups.left_out, Contains(HasSubstr("controls at 1 stage")));
}

TEST(Groups, LocalIsMadeNoDeeperThanTheCostliestRuleAllows) {
  Groups groups = make_groups(base({"model.layers=8"}), parse_rules("local"), {"linear"}, {4});
  add_controls(groups, base({"model.layers=8"}), parse_rules("local"), {"linear"}, {4}, flops_for_test);
  EXPECT_THAT(groups.left_out, Contains(HasSubstr("local costs as much as local linear as it is")));
}

}  // namespace
}  // namespace interlock
