// Small plans, kept as text so that a change of a schedule or of lowering is seen in review. After a change that is
// meant:
//   INTERLOCK_UPDATE_GOLDEN=1 build/release/tests/plan/plan_golden_test     rewrites tests/golden/plans, then read the
//   diff.

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "parallel/plan/plan_check.h"

namespace interlock {
namespace {

struct Case {
  std::string file;
  RuleRequest rule;
  PlanShape shape;
  std::string schedule;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  const PlanShape straight{.stages = 4, .ranks = 4, .microbatches = 4};
  const PlanShape interleaved{
      .stages = 4, .ranks = 2, .microbatches = 4, .placement = Placement::named("interleaved", 4, 2)};
  const PlanShape v{.stages = 4, .ranks = 2, .microbatches = 4, .placement = Placement::named("v", 4, 2)};
  const std::vector<std::pair<std::string, RuleRequest>> rules = {{"local", {.rule = "local"}},
                                                                  {"furthest2", {.rule = "furthest", .horizon = 2}},
                                                                  {"sum2", {.rule = "sum", .horizon = 2}},
                                                                  {"global", {.rule = "global"}}};
  for (const auto& [name, rule] : rules) {
    for (const std::string schedule : {"wavefront", "gpipe", "zero_bubble", "steady"}) {
      all.push_back({name + "_" + schedule, rule, straight, schedule});
      all.push_back({name + "_" + schedule + "_interleaved", rule, interleaved, schedule});
    }
    all.push_back({name + "_interleaved", rule, interleaved, "interleaved"});
    all.push_back({name + "_zbv", rule, v, "zbv"});
  }
  return all;
}

class Golden : public testing::TestWithParam<Case> {};

TEST_P(Golden, PlanIsUnchanged) {
  const Case& each = GetParam();
  PlanRequest request;
  request.shape = each.shape;
  request.rule = make_rule(each.rule, each.shape.stages);
  request.schedule = each.schedule;
  request.norm_over_model = couples_all_stages(request.rule);
  const std::string text = print_plan(make_plan(request));
  const std::string path = std::string(INTERLOCK_GOLDEN_PLANS) + "/" + each.file + ".plan";
  if (std::getenv("INTERLOCK_UPDATE_GOLDEN")) {
    std::ofstream out(path);
    ASSERT_TRUE(out << text) << "cannot write " << path;
  }
  std::ifstream in(path);
  ASSERT_TRUE(in) << "missing " << path;
  std::ostringstream golden;
  golden << in.rdbuf();
  EXPECT_EQ(text, golden.str()) << "if this change is meant, see the top of golden_test.cpp";
  EXPECT_FALSE(find_fault(parse_plan(golden.str(), path)));
}

INSTANTIATE_TEST_SUITE_P(Plans, Golden, testing::ValuesIn(cases()),
                         [](const testing::TestParamInfo<Case>& each) { return each.param.file; });

}  // namespace
}  // namespace interlock
