// What is read from a run folder, against folders made by hand.
#include <gmock/gmock.h>

#include "launch/run_report/curves.h"
#include "launch/run_report/measured_trace.h"
#include "launch/run_report/run_page.h"
#include "runtime/core/error.h"
#include "tests/support/small_project.h"

namespace interlock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* config = R"([learning]
rule = "sum"
horizon = 3
[data]
sequence_length = 10
[parallel]
microbatches = 5
microbatch_size = 2
replicas = 1
[run]
folder = "run"
)";

// 100 tokens a step: at 50 tokens/s a step takes two seconds.
class Record : public SmallProject {
 protected:
  Record() {
    write("run/config.toml", config);
    write("run/metrics.jsonl",
          "{\"step\":1,\"loss\":5.0,\"losses\":{\"0\":6.0,\"1\":5.0},\"tokens_per_second\":50,\"idle_share\":0.5}\n"
          "{\"step\":2,\"loss\":4.0,\"tokens_per_second\":100,\"idle_share\":0.2,\"validation_loss\":4.5}\n");
  }
  std::string folder() const { return path("run").string(); }
  std::string failure() const {
    try {
      read_run(folder());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      return error.what();
    }
    return "";
  }
};

TEST_F(Record, IsReadWithItsTimes) {
  const RunRecord run = read_run(folder() + "/");
  EXPECT_EQ(run.name, "run");
  EXPECT_EQ(rule_label(run), "sum(3)");
  EXPECT_EQ(run.tokens_per_step(), 100);
  ASSERT_EQ(run.rows.size(), 2U);
  EXPECT_DOUBLE_EQ(run.rows[0].seconds, 2);
  EXPECT_DOUBLE_EQ(run.seconds(), 3);
  EXPECT_DOUBLE_EQ(run.tokens_per_second(), 200.0 / 3);
  EXPECT_DOUBLE_EQ(run.idle_share(), (2 * 0.5 + 1 * 0.2) / 3);
  EXPECT_EQ(run.last_validation(), 4.5);
  EXPECT_EQ(run.notes.size(), 2U);  // neither result.json nor manifest.json
  const auto curve = held_out_curve(run, seconds_of);
  ASSERT_EQ(curve.size(), 1U);
  EXPECT_DOUBLE_EQ(curve[0].x, 3);
}

TEST_F(Record, ALastLineCutShortIsLeftOutAndSaid) {
  write("run/metrics.jsonl", read("run/metrics.jsonl") + "{\"step\":3,\"lo");
  const RunRecord run = read_run(folder());
  EXPECT_EQ(run.rows.size(), 2U);
  EXPECT_THAT(run.notes.front(), HasSubstr("cut short"));
}

TEST_F(Record, DamageIsNamedWithItsLine) {
  const std::string whole = read("run/metrics.jsonl");
  write("run/metrics.jsonl", "nonsense\n" + whole);
  EXPECT_THAT(failure(), HasSubstr("metrics.jsonl:1: is damaged"));
  write("run/metrics.jsonl", whole);
  write("run/result.json", "[1, 2");
  EXPECT_THAT(failure(), HasSubstr("result.json: is damaged"));
  write("run/result.json", "{}");
  write("run/config.toml", "[learning\n");
  EXPECT_THAT(failure(), HasSubstr("config.toml:1: is no TOML"));
  std::filesystem::remove(path("run/config.toml"));
  EXPECT_THAT(failure(), HasSubstr("is no run folder: it has no config.toml"));
  std::filesystem::remove_all(path("run"));
  EXPECT_THAT(failure(), HasSubstr("there is no such run folder"));
}

TEST_F(Record, ConfigsAreComparedWithoutTheirFolders) {
  RunRecord one = read_run(folder()), other = one;
  other.config["run.folder"] = "'elsewhere'";
  EXPECT_TRUE(config_differences({one, other}).rows.empty());
  other.config["learning.horizon"] = "2";
  other.config.erase("parallel.replicas");
  EXPECT_THAT(config_differences({one, other}).rows,
              ElementsAre(ElementsAre("learning.horizon", "3", "2"), ElementsAre("parallel.replicas", "1", "not set")));
}

// Three steps of two ranks, rank 1 half a second behind; step 2 takes 2 s, step 3 4 s.
TEST_F(Record, TheTypicalStepIsTheMiddleOneAfterTheFirst) {
  const auto slice = [](int rank, const char* track, const char* name, double begin, double seconds, int step) {
    return "{\"ph\":\"X\",\"name\":\"" + std::string(name) + "\",\"cat\":\"" + track +
           "\",\"pid\":" + std::to_string(rank) + ",\"tid\":0,\"ts\":" + std::to_string(begin * 1e6) +
           ",\"dur\":" + std::to_string(seconds * 1e6) + ",\"args\":{\"step\":" + std::to_string(step) + "}}";
  };
  std::string events;
  double begin = 0;
  for (const auto& [step, seconds] : {std::pair(1, 9.0), std::pair(2, 2.0), std::pair(3, 4.0)}) {
    for (const int rank : {0, 1}) {
      const std::string stage = std::to_string(rank);
      events += slice(rank, "compute", (stage + "F0").c_str(), begin + 0.5 * rank, seconds / 4, step) + ",";
      events += slice(rank, "waiting", "wait", begin + 0.5 * rank + seconds / 4, seconds / 4, step) + ",";
      events +=
          slice(rank, "compute", (stage + "B0@1").c_str(), begin + 0.5 * rank + seconds / 2, seconds / 2, step) + ",";
    }
    begin += seconds;
  }
  events.pop_back();
  write("run/trace.json", "{\"traceEvents\":[" + events + "]}");
  std::string why;
  const auto trace = read_trace((path("run") / "trace.json").string(), why);
  ASSERT_TRUE(trace) << why;
  EXPECT_EQ(typical_step(*trace), 3);  // of 2.5 s and 4.5 s the upper
  const TimelineGroup group = measured_step(*trace, 2);
  ASSERT_EQ(group.rows.size(), 2U);
  ASSERT_EQ(group.rows[1].size(), 3U);
  EXPECT_NEAR(group.rows[1][0].begin, 0.5, 1e-9);
  EXPECT_EQ(group.rows[1][0].label, "F0");
  EXPECT_EQ(group.rows[1][1].kind, '.');
  EXPECT_EQ(group.rows[1][2].kind, 'B');
  EXPECT_EQ(group.rows[1][2].label, "B0");
  for (const RankShares& shares : shares_of(*trace)) {
    EXPECT_NEAR(shares.computing, 0.75, 1e-9);
    EXPECT_NEAR(shares.waiting, 0.25, 1e-9);
  }
  write("run/trace.json", "{}");
  EXPECT_FALSE(read_trace((path("run") / "trace.json").string(), why));
  EXPECT_THAT(why, HasSubstr("damaged"));
}

TEST(Curves, MeanHasABandAndEndsWithTheShortest) {
  const std::vector<ChartPoint> one{{1, 2, 1, 0, ""}, {2, 4, 1, 0, ""}}, other{{1, 4, 1, 0, ""}};
  const auto mean = mean_curve({one, other});
  ASSERT_EQ(mean.size(), 1U);
  EXPECT_DOUBLE_EQ(mean[0].y, 3);
  EXPECT_DOUBLE_EQ(mean[0].low, 2);
  EXPECT_DOUBLE_EQ(mean[0].high, 4);
  std::vector<ChartPoint> many;
  for (int i = 0; i < 1000; ++i) many.push_back({static_cast<double>(i), 2.0 * i, 1, 0, ""});
  const auto few = thinned(many, 10);
  ASSERT_EQ(few.size(), 10U);
  EXPECT_DOUBLE_EQ(few[0].x, 49.5);
  EXPECT_DOUBLE_EQ(few[0].y, 99);
}

}  // namespace
}  // namespace interlock
