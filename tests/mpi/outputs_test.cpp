// What a run of four processes tells and leaves behind: the JSON of `train`, metrics, the trace.
#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::Each;
using testing::SizeIs;

constexpr int steps = 4, ranks = 4, microbatches = 4;

class Outputs : public SmallProject {
 protected:
  void SetUp() override {
    const CommandResult result = train({}, {"--json"});
    expect_done(result);
    output_ = result.output;
    summary_ = last_object(result);
  }
  std::string output_;
  json summary_;

  std::vector<json> metrics() const {
    std::vector<json> lines;
    std::istringstream file(read("run/metrics.jsonl"));
    for (std::string line; std::getline(file, line);) lines.push_back(json::parse(line));
    return lines;
  }
  void check_summary();
  void check_metrics();
  void check_trace();
  void check_compute(const json& trace);
  void check_arrows(const json& trace);
  void check_manifest();
  void check_events();
};

void Outputs::check_summary() {
  for (const char* key : {"run", "steps", "loss", "validation_loss", "tokens_per_second", "idle_share", "seconds",
                          "peak_rss_mib", "messages", "messages_per_boundary", "bytes_sent", "digest"})
    EXPECT_TRUE(summary_.contains(key)) << key;
  EXPECT_EQ(std::count(output_.begin(), output_.end(), '\n'), 1) << "logs go to stderr: " << output_;
  EXPECT_EQ(summary_["run"], "run");
  EXPECT_EQ(summary_["steps"], steps);
  EXPECT_GT(summary_["tokens_per_second"], 0);
  EXPECT_GE(summary_["idle_share"], 0);
  EXPECT_LE(summary_["idle_share"], 1);
  EXPECT_GT(summary_["loader_seconds"], 0);
  EXPECT_LT(summary_["loader_seconds"], summary_["seconds"]) << "batches are made within steps";
  EXPECT_THAT(summary_["peak_rss_mib"].get<std::vector<double>>(), testing::AllOf(SizeIs(ranks), Each(testing::Gt(1))));
  // sum(2): one stream up and one down each of three boundaries, all of them between ranks. An activation or gradient
  // is 2 sequences of 32 tokens, 16 wide, in 4 bytes.
  EXPECT_EQ(summary_["messages"], 2 * 3 * microbatches * steps);
  EXPECT_EQ(summary_["bytes_sent"], 2 * 3 * microbatches * steps * 2 * 32 * 16 * 4);
  const CommandResult inspected = interlock({"inspect", "run", "--json"});
  EXPECT_EQ(last_object(inspected)["digest"], summary_["digest"]);
}

void Outputs::check_metrics() {
  const std::vector<json> lines = metrics();
  ASSERT_EQ(lines.size(), static_cast<size_t>(steps));
  for (int step = 1; step <= steps; ++step) {
    const json& line = lines[step - 1];
    EXPECT_EQ(line["step"], step);
    for (const char* key : {"loss", "losses", "learning_rate", "gradient_norm", "tokens_per_second", "idle_share"})
      EXPECT_TRUE(line.contains(key)) << key;
    EXPECT_EQ(line["losses"].size(), 4U) << "under sum(2) every stage has a loss";
    EXPECT_EQ(line["losses"]["3"], line["loss"]);
    EXPECT_NEAR(line["loss"], std::log(261.0), 1) << "near that of equal guesses, as in any first steps";
    EXPECT_EQ(line.contains("validation_loss"), step % 2 == 0);
  }
  EXPECT_EQ(lines.back()["loss"], summary_["loss"]);
  EXPECT_EQ(lines.back()["validation_loss"], summary_["validation_loss"]);
}

// The words of a plan that the trace calls compute; the rest are messages.
bool is_compute(const std::string& action) { return action.find('_') == std::string::npos; }

void Outputs::check_compute(const json& trace) {
  const json plan = last_object(interlock({"plan", "config.toml", "--json"}));
  std::map<std::pair<int, int>, std::vector<std::pair<double, std::string>>> done;  // by rank and step
  for (const json& event : trace["traceEvents"])
    if (event["ph"] == "X" && event["cat"] == "compute")
      done[{event["pid"], event["args"]["step"]}].emplace_back(event["ts"], event["name"]);
  ASSERT_EQ(done.size(), static_cast<size_t>(ranks * steps)) << "every rank has slices of every step";
  for (auto& [place, slices] : done) {
    std::sort(slices.begin(), slices.end());
    Words names, planned;
    for (const auto& [at, name] : slices) names.push_back(name);
    for (const std::string action : plan["actions"][place.first])
      if (is_compute(action)) planned.push_back(action);
    EXPECT_EQ(names, planned) << "rank " << place.first << ", step " << place.second;
  }
}

void Outputs::check_arrows(const json& trace) {
  std::map<std::string, json> starts, ends;
  std::set<std::tuple<int, int, double>> slices;  // process, thread, begin
  for (const json& event : trace["traceEvents"]) {
    const std::string phase = event["ph"];
    if (phase == "X") slices.emplace(event["pid"], event["tid"], event["ts"]);
    if (phase != "s" && phase != "f") continue;
    EXPECT_TRUE((phase == "s" ? starts : ends).emplace(event["id"], event).second) << event;
  }
  EXPECT_EQ(starts.size(), summary_["messages"]) << "an arrow for every message";
  ASSERT_EQ(starts.size(), ends.size());
  for (const auto& [id, start] : starts) {
    ASSERT_TRUE(ends.contains(id)) << start;
    const int from = start["pid"], to = ends[id]["pid"];
    EXPECT_EQ(std::abs(from - to), 1) << "one stage per rank: messages go to a neighbour";
    EXPECT_TRUE(slices.contains({from, start["tid"], start["ts"]})) << "an arrow leaves where a slice begins";
  }
}

void Outputs::check_trace() {
  const json trace = json::parse(read("run/trace.json"));
  std::map<int, std::set<std::string>> kinds;
  for (const json& event : trace["traceEvents"]) {
    if (event["ph"] != "X") continue;
    EXPECT_GE(event["ts"], 0);
    EXPECT_GT(event["dur"], 0);
    kinds[event["pid"]].insert(event["cat"].get<std::string>());
  }
  ASSERT_EQ(kinds.size(), static_cast<size_t>(ranks));
  for (const auto& [rank, found] : kinds)
    EXPECT_EQ(found, (std::set<std::string>{"compute", "waiting", "communication"})) << rank;
  check_compute(trace);
  check_arrows(trace);
}

void Outputs::check_manifest() {
  const json manifest = json::parse(read("run/manifest.json"));
  EXPECT_EQ(manifest["steps"], steps);
  EXPECT_EQ(manifest["seed"], 1);
  ASSERT_EQ(manifest["ranks"].size(), static_cast<size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) EXPECT_EQ(manifest["ranks"][rank]["rank"], rank);
}

// Every metric that the lines have is in the TensorBoard file too: its tags stand there as plain text.
void Outputs::check_events() {
  std::string events;
  for (const auto& [name, content] : files("run"))
    if (name.find("events.out.tfevents.") != std::string::npos) events = content;
  for (const char* tag : {"loss", "loss/0", "loss/3", "learning_rate", "gradient_norm", "tokens_per_second",
                          "idle_share", "validation_loss"})
    EXPECT_THAT(events, testing::HasSubstr(tag));
}

// One run for all of it: it takes seconds.
TEST_F(Outputs, OfFourProcesses) {
  check_summary();
  check_metrics();
  check_trace();
  check_manifest();
  check_events();
}

}  // namespace
}  // namespace interlock
