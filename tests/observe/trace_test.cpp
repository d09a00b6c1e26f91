// The Chrome trace against a JSON parser and the rules that viewers hold it to.
#include "runtime/observe/trace.h"

#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "runtime/core/error.h"
#include "tests/observe/temporary_folder.h"

namespace interlock {
namespace {

using Json = nlohmann::json;

Json written(const std::vector<RankTrace>& ranks) {
  TemporaryFolder folder;
  write_chrome_trace(folder / "trace.json", ranks);
  EXPECT_FALSE(std::filesystem::exists(folder / "trace.json.partial"));
  return Json::parse(content(folder / "trace.json"));
}

std::vector<Json> events(const Json& trace, const std::string& phase) {
  std::vector<Json> found;
  for (const auto& event : trace.at("traceEvents")) {
    if (event.at("ph") == phase) found.push_back(event);
  }
  return found;
}

// Slices of one thread either lie apart or one holds the other.
void expect_nested(const Json& trace) {
  std::map<std::pair<int, int>, std::vector<std::pair<int64_t, int64_t>>> threads;
  for (const auto& slice : events(trace, "X")) {
    const auto begin = std::llround(slice["ts"].get<double>() * 1000);
    threads[{slice["pid"], slice["tid"]}].emplace_back(begin, begin + std::llround(slice["dur"].get<double>() * 1000));
  }
  for (const auto& [thread, slices] : threads) {
    for (const auto& [begin, end] : slices) {
      for (const auto& [other_begin, other_end] : slices) {
        EXPECT_FALSE(begin < other_begin && other_begin < end && end < other_end)
            << thread.first << ' ' << thread.second;
      }
    }
  }
}

TEST(Trace, TwoRanksOneMessage) {
  RankTrace first{0, "alpha", 0, 0, {}};
  first.slices = {{TraceTrack::compute, 100.0, 100.001, "0F0", 1, 0, 0},
                  {TraceTrack::communication, 100.001, 100.0015, "0SEND_F0", 1, 7, 0}};
  RankTrace second{1, "beta", 50.0, 2e-5, {}};  // its clock is 50 s behind
  second.slices = {{TraceTrack::waiting, 50.0005, 50.002, "wait 1F0", 1, 0, 0},
                   {TraceTrack::communication, 50.001, 50.002, "1RECV_F0", 1, 0, 7}};
  const Json trace = written({first, second});
  EXPECT_EQ(trace["displayTimeUnit"], "ms");

  const auto slices = events(trace, "X");
  ASSERT_EQ(slices.size(), 4u);
  EXPECT_EQ(slices[0]["name"], "0F0");
  EXPECT_EQ(slices[0]["ts"], 0.0);  // times start at the earliest slice
  EXPECT_EQ(slices[0]["dur"], 1000.0);
  EXPECT_EQ(slices[0]["args"]["step"], 1);
  EXPECT_EQ(slices[2]["name"], "wait 1F0");
  EXPECT_EQ(slices[2]["pid"], 1);
  EXPECT_EQ(slices[2]["tid"], 1);
  EXPECT_EQ(slices[2]["ts"], 500.0);  // on rank 0's clock
  EXPECT_EQ(slices[2]["cat"], "waiting");
  expect_nested(trace);

  const auto starts = events(trace, "s"), ends = events(trace, "f");
  ASSERT_EQ(starts.size(), 1u);
  ASSERT_EQ(ends.size(), 1u);
  for (const char* key : {"id", "name", "cat"})
    EXPECT_EQ(starts[0][key], ends[0][key]) << key;  // viewers match all three
  EXPECT_EQ(starts[0]["pid"], 0);
  EXPECT_EQ(ends[0]["pid"], 1);
  EXPECT_EQ(starts[0]["tid"], 2);
  EXPECT_EQ(starts[0]["ts"], 1000.0);
  EXPECT_EQ(ends[0]["bp"], "e");
  EXPECT_EQ(ends[0]["ts"], 1999.999);  // inside the receive slice, which ends at 2000

  std::set<std::string> names, labels;
  for (const auto& event : events(trace, "M")) {
    if (event["name"] == "process_name") names.insert(event["args"]["name"]);
    if (event["name"] == "process_labels") labels.insert(event["args"]["labels"]);
  }
  EXPECT_EQ(names, (std::set<std::string>{"rank 0 (alpha)", "rank 1 (beta)"}));
  EXPECT_EQ(labels, std::set<std::string>{"clock within 20 us"});
}

TEST(Trace, ArrowsComeInPairsAndKeepAllBits) {
  const uint64_t wide = (1ull << 63) + 1, neighbour = 1ull << 63;  // one and the same as a double
  RankTrace first{0, "a", 0, 0, {}}, second{1, "b", 0, 0, {}};
  for (const uint64_t flow : {wide, neighbour, uint64_t{5}}) {  // the receive of 5 was not recorded
    first.slices.push_back({TraceTrack::communication, 1.0, 1.0, "send", 1, flow, 0});
  }
  for (const uint64_t flow : {neighbour, wide, uint64_t{6}}) {  // nor the send of 6
    second.slices.push_back({TraceTrack::communication, 2.0, 3.0, "receive", 1, 0, flow});
  }
  const Json trace = written({first, second});
  std::multiset<std::string> out, in;
  for (const auto& event : events(trace, "s")) out.insert(event["id"]);
  for (const auto& event : events(trace, "f")) in.insert(event["id"]);
  EXPECT_EQ(out, (std::multiset<std::string>{"0x8000000000000000", "0x8000000000000001"}));
  EXPECT_EQ(in, out);
  expect_nested(trace);
}

TEST(Trace, SlicesThatOverlapInPartGetLanes) {
  RankTrace rank{0, "a", 0, 0, {}};
  rank.slices = {{TraceTrack::communication, 0.0, 0.3, "outer", 1, 0, 0},
                 {TraceTrack::communication, 0.1, 0.2, "inner", 1, 0, 0},
                 {TraceTrack::communication, 0.2, 0.4, "crossing", 1, 0, 0},
                 {TraceTrack::communication, 0.3, 0.5, "after", 1, 0, 0}};
  const Json trace = written({rank});
  std::map<std::string, int> thread;
  for (const auto& slice : events(trace, "X")) thread[slice["name"]] = slice["tid"];
  EXPECT_EQ(thread, (std::map<std::string, int>{{"outer", 2}, {"inner", 2}, {"crossing", 5}, {"after", 2}}));
  std::map<int, std::string> titles;
  for (const auto& event : events(trace, "M")) {
    if (event["name"] == "thread_name") titles[event["tid"]] = event["args"]["name"];
  }
  EXPECT_EQ(titles,
            (std::map<int, std::string>{{0, "compute"}, {1, "waiting"}, {2, "communication"}, {5, "communication 2"}}));
}

TEST(Trace, RandomSlicesNest) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> when(0, 1e-3);
  RankTrace rank{0, "a", -0.3, 0, {}};
  for (int i = 0; i < 400; ++i) {
    const double begin = 1e5 + when(random);  // a steady clock after a day: doubles resolve 15 ps there
    rank.slices.push_back({static_cast<TraceTrack>(i % 3), begin, begin + when(random) * 0.1, "s", 1, 0, 0});
  }
  const Json trace = written({rank});
  EXPECT_EQ(events(trace, "X").size(), 400u);
  expect_nested(trace);
}

TEST(Trace, OddTextsStayValidJson) {
  RankTrace rank{0, "ho\"st\\\xff\n", 0, 0, {}};
  rank.slices = {{TraceTrack::compute, 0, 1, "a\"b\x01\xc3", 1, 0, 0}};
  EXPECT_EQ(events(written({rank}), "X").size(), 1u);
  EXPECT_EQ(events(written({}), "X").size(), 0u);
}

TEST(TraceRecorder, StopsAtStepAndAtLimit) {
  TraceRecorder recorder(2, 3);
  EXPECT_TRUE(recorder.wants(2));
  EXPECT_FALSE(recorder.wants(3));
  for (int64_t step : {1, 3, 2, 2, 2}) recorder.record({TraceTrack::compute, 0, 1, "x", step, 0, 0});
  EXPECT_EQ(recorder.slices().size(), 3u);
  EXPECT_FALSE(recorder.wants(1));
}

TEST(TraceRecorder, TravelsUnchanged) {
  TraceRecorder recorder;
  const double now = TraceRecorder::now();
  recorder.record({TraceTrack::waiting, now, now + 1e-9, "wait 2F3", 4, 11, ~0ull});
  recorder.record({TraceTrack::communication, -1, 2, "", 5, 0, 0});
  const std::string bytes = recorder.serialize();
  const auto back = TraceRecorder::deserialize(bytes);
  ASSERT_EQ(back.size(), 2u);
  for (size_t i = 0; i < back.size(); ++i) {
    const auto &one = back[i], &other = recorder.slices()[i];
    EXPECT_EQ(std::tie(one.track, one.begin, one.end, one.name, one.step, one.flow_out, one.flow_in),
              std::tie(other.track, other.begin, other.end, other.name, other.step, other.flow_out, other.flow_in));
  }
  EXPECT_TRUE(TraceRecorder::deserialize("").empty());
  EXPECT_THROW(TraceRecorder::deserialize(bytes.substr(0, bytes.size() - 1)), Error);
  std::string bad_track = bytes;
  bad_track[0] = 9;
  EXPECT_THROW(TraceRecorder::deserialize(bad_track), Error);
}

TEST(TraceFailure, LeavesTheOldTraceAndNoRubbish) {
  TemporaryFolder folder;
  std::ofstream(folder / "trace.json") << "old";
  std::filesystem::create_symlink("/dev/full", folder / "trace.json.partial");
  EXPECT_THROW(write_chrome_trace(folder / "trace.json", {{0, "a", 0, 0, {}}}), Error);
  EXPECT_EQ(content(folder / "trace.json"), "old");
  EXPECT_FALSE(std::filesystem::is_symlink(folder / "trace.json.partial"));
  try {
    write_chrome_trace("/dev/null/trace.json", {});
    FAIL() << "wrote below a device";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::cannot_write);
  }
}

}  // namespace
}  // namespace interlock
