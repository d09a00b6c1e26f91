// How a config says where a model is cut.

#include <gmock/gmock.h>

#include "models/model.h"
#include "tests/launch/settings/settings_for_test.h"

namespace interlock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Partition, IsAWordOrAList) {
  EXPECT_THAT(with({"parallel.partition=[1,2,3,2]"}).parallel.partition, ElementsAre(1, 2, 3, 2));
  EXPECT_THAT(refused({"parallel.partition=even"}), HasSubstr("unknown partition"));
  EXPECT_THAT(refused({"parallel.partition=[4,4]"}), HasSubstr("has 2 entries for 4 stages"));
  EXPECT_THAT(refused({"parallel.partition=[]"}), HasSubstr("has 0 entries"));
  EXPECT_THAT(refused({"parallel.partition=[2,2,4,0]"}), HasSubstr("0 is out of range"));
  EXPECT_THAT(refused({"parallel.partition=3"}), HasSubstr("a list of integers"));
  EXPECT_THAT(refused_whole({"parallel.partition=[2,2,2,1]"}), HasSubstr("7"));  // of 8 blocks
}

std::vector<int> cut_of(const std::vector<std::string>& overrides) {
  const RunSettings settings = with(overrides);
  check_settings(settings);
  return make_partition(settings, *make_model(settings, *make_dataset(settings)));
}

TEST(Partition, CountsUnits) {
  EXPECT_EQ(with({}).parallel.unit, Unit::block);
  EXPECT_THAT(cut_of({"parallel.unit=half_block", "parallel.partition=[1,3,5,7]"}), ElementsAre(1, 3, 5, 7));
  EXPECT_THAT(cut_of({"parallel.unit=half_block", "parallel.stages=16", "parallel.ranks=1"}), testing::SizeIs(16));
  EXPECT_THAT(refused({"parallel.unit=layer"}), testing::AllOf(HasSubstr("unit"), HasSubstr("half_block")));
  EXPECT_THAT(refused_whole({"parallel.unit=half_block", "parallel.partition=[2,2,2,2]"}),
              testing::AllOf(HasSubstr("8 half blocks"), HasSubstr("16")));
  EXPECT_THAT(refused_whole({"parallel.unit=half_block", "parallel.stages=17", "parallel.ranks=1"}),
              HasSubstr("16 half blocks"));
  EXPECT_THAT(refused_whole(
                  {"model.name=mlp", "data.name=spirals", "objective.name=classification", "parallel.unit=half_block"}),
              testing::AllOf(HasSubstr("parallel.unit"), HasSubstr("mlp, which has no half blocks")));
}

// Heads of tiny.toml stand on all but the last stage, whose readout costs more than a head.
TEST(Partition, MayBeBalancedForTheRule) {
  const std::string for_rule = "parallel.partition=balanced_for_rule";
  EXPECT_TRUE(with({for_rule}).parallel.balanced_for_rule);
  EXPECT_THAT(cut_of({for_rule, "learning.rule=global"}), testing::ElementsAreArray(cut_of({"learning.rule=global"})));
  const std::vector<std::string> large_heads = {"model.layers=13", "learning.rule=local", "learning.head=block",
                                                "parallel.stages=3", "parallel.ranks=3"};
  std::vector<std::string> asked = large_heads;
  asked.push_back(for_rule);
  EXPECT_THAT(cut_of(large_heads), ElementsAre(4, 5, 4));
  EXPECT_THAT(cut_of(asked), ElementsAre(4, 4, 5));  // a head holds a block, the readout none
  // Neither ranks nor recomputation move a cut, nor with it a head.
  for (const char* placed : {"parallel.ranks=1", "run.recompute=block", "parallel.schedule=gpipe"}) {
    std::vector<std::string> elsewhere = asked;
    elsewhere.emplace_back(placed);
    EXPECT_EQ(cut_of(elsewhere), cut_of(asked)) << placed;
  }
  EXPECT_THAT(refused_whole({for_rule, "learning.horizon=9"}),
              testing::AllOf(HasSubstr("horizon"), HasSubstr("1 to 4")));
  EXPECT_THAT(refused_whole({for_rule, "learning.change=[{at_step=5, rule='sum', horizon=7}]"}),
              testing::AllOf(HasSubstr("change"), HasSubstr("horizon = 7")));
  EXPECT_THAT(refused_whole({for_rule, "parallel.stages=9", "parallel.ranks=9"}), HasSubstr("8 blocks"));
}

}  // namespace
}  // namespace interlock
