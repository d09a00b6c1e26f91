// `interlock plan --sweep`, and runs whose links are slowed down, on the command line.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class ScalingCommand : public SmallProject {
 protected:
  CommandResult sweep(const std::string& ranks, Words more = {}) {
    Words words = {"plan", "config.toml", "--sweep", ranks};
    words.insert(words.end(), more.begin(), more.end());
    return interlock(words);
  }
};

TEST_F(ScalingCommand, TellsEveryRuleWeakAndStrong) {
  const CommandResult result = sweep("ranks=1,2,4,...,16", {"--json"});
  expect_done(result);
  const json points = json::parse(result.output);
  std::set<std::string> rules, scalings;
  for (const json& point : points) {
    rules.insert(point["rule"]);
    scalings.insert(point["scaling"]);
    EXPECT_GT(point["step"], 0.0);
    EXPECT_GT(point["efficiency"], 0.0);
    EXPECT_FALSE(point["schedule"].get<std::string>().empty());
    EXPECT_GE(point["ranks"], 1);
  }
  EXPECT_GE(rules.size(), 3u);
  EXPECT_EQ(scalings, (std::set<std::string>{"strong", "weak"}));
}

TEST_F(ScalingCommand, SlowLinksCostTime) {
  const Words fast = {"--json", "--link-bandwidth", "1e12", "--link-latency", "0"};
  const Words slow = {"--json", "--link-bandwidth", "1e6", "--link-latency", "1e-3"};
  const json quick = json::parse(sweep("ranks=2", fast).output), late = json::parse(sweep("ranks=2", slow).output);
  ASSERT_EQ(quick.size(), late.size());
  for (size_t i = 0; i < quick.size(); ++i) EXPECT_GT(late[i]["step"], quick[i]["step"]);
}

TEST_F(ScalingCommand, TablesAndAPicture) {
  const CommandResult result = sweep("ranks=1,2,3,4,1000", {"--svg", "scaling.svg"});
  expect_done(result);
  EXPECT_THAT(result.output, HasSubstr("Weak scaling"));
  EXPECT_THAT(result.output, HasSubstr("Strong scaling"));
  EXPECT_THAT(result.output, HasSubstr("1000 ranks: "));  // no share of the microbatches
  EXPECT_THAT(read("scaling.svg"), HasSubstr("</svg>"));
}

TEST_F(ScalingCommand, RefusesWhatIsNoSweep) {
  expect_failure(sweep("replicas=1,2"), 2, {"--sweep replicas=1,2", "only ranks can be swept"});
  expect_failure(sweep("ranks=2,1"), 2, {"--sweep ranks=2,1", "1 does not rise", "ranks=1,2,4,...,1024"});
}

TEST_F(ScalingCommand, RefusesWhatAsksForOnePlan) {
  for (const Words& words : {Words{"--text", "plan.txt"}, Words{"--advise-depth"}}) {
    const CommandResult result = sweep("ranks=1,2", words);
    EXPECT_EQ(result.code, 2) << result.all;
    EXPECT_THAT(result.errors, HasSubstr(words.front() + " excludes --sweep"));
    EXPECT_EQ(result.output, "");
  }
}

TEST_F(ScalingCommand, SaysWhatTheConfigAsksOfSchedules) {
  const CommandResult result =
      sweep("ranks=1,2", {"--set", "parallel.schedule=gpipe", "--set", "parallel.memory_mib=999"});
  expect_done(result);
  EXPECT_THAT(result.output,
              HasSubstr("under parallel.schedule = \"gpipe\", one rank alone under the fastest, within 999 MiB"));
}

TEST_F(ScalingCommand, ARunOverSlowLinksLearnsTheSameAndSaysSo) {
  const CommandResult plain = train_threads({}, {"--json"});
  const CommandResult slow =
      train_threads({"parallel.link_bandwidth=1e8", "parallel.link_latency=1e-4", "run.folder=slow"}, {"--json"});
  expect_done(plain);
  expect_done(slow);
  EXPECT_EQ(last_object(plain)["digest"], last_object(slow)["digest"]);
  EXPECT_EQ(last_object(plain)["bytes_sent"], last_object(slow)["bytes_sent"]);
  EXPECT_FALSE(last_object(plain).contains("slowed_links"));
  EXPECT_EQ(last_object(slow)["slowed_links"], json({{"bandwidth", 1e8}, {"latency", 1e-4}}));
  EXPECT_THAT(slow.all, HasSubstr("links slowed down to 1e+08 bytes/s and 0.0001 s"));
  EXPECT_THAT(slow.all, HasSubstr("Links were slowed down: parallel.link_bandwidth = 1e+08"));
}

TEST_F(ScalingCommand, OnlyMessagesInHostMemoryAreSlowedDown) {
  expect_failure(train({"parallel.transport=nccl", "parallel.link_latency=1"}), 64, {"parallel.link_latency", "nccl"});
  expect_failure(train({"parallel.link_latency=-1"}), 64, {"parallel.link_latency", "-1"});
}

}  // namespace
}  // namespace interlock
