// Parts of a trace as a run leaves them when it is killed: against a JSON parser.
#include "runtime/observe/trace_part.h"

#include <nlohmann/json.hpp>

#include "tests/observe/temporary_folder.h"

namespace interlock {
namespace {

using Json = nlohmann::json;

class Part : public testing::Test {
 protected:
  Part() { std::filesystem::create_directory(trace_part_folder(folder.path())); }
  std::string part(int rank) const {
    return trace_part_folder(folder.path()) + "/rank-0000" + std::to_string(rank) + ".json";
  }
  std::vector<Json> slices(const Json& events) const {
    std::vector<Json> found;
    for (const auto& event : events)
      if (event["ph"] == "X") found.push_back(event);
    return found;
  }
  TemporaryFolder folder;
  std::vector<TraceSlice> first{{TraceTrack::compute, 100.0, 100.001, "0F0", 1, 0, 0},
                                {TraceTrack::communication, 100.001, 100.004, "0SEND_F0", 1, 7, 0},
                                {TraceTrack::communication, 100.002, 100.005, "0SEND_F1", 1, 8, 0}};
};

TEST_F(Part, LacksNothingButItsClosingBracketAfterEveryStep) {
  TracePart trace(folder.path(), {0, "alpha", 0, 0, {}});
  EXPECT_FALSE(std::filesystem::exists(part(0)));
  trace.add(first);
  EXPECT_EQ(slices(Json::parse(content(part(0)) + "]")).size(), 3u);
  std::vector<TraceSlice> more = first;
  more.push_back({TraceTrack::compute, 100.005, 100.006, "0F1", 2, 0, 0});
  trace.add(more);
  trace.add(more);
  const auto all = slices(Json::parse(content(part(0)) + "]"));
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[3]["name"], "0F1");
  EXPECT_EQ(all[3]["args"]["step"], 2);
  EXPECT_DOUBLE_EQ(all[3]["ts"].get<double>(), 100.005e6);
  EXPECT_DOUBLE_EQ(all[3]["dur"].get<double>(), 1000);
  EXPECT_NE(all[1]["tid"], all[2]["tid"]) << "two sends on the way at once do not nest";
  EXPECT_EQ(all[0]["tid"], all[3]["tid"]);
}

TEST_F(Part, PartsOfARunThatDiedBecomeItsTrace) {
  TracePart(folder.path(), {0, "alpha", 0, 0, {}}).add(first);
  TracePart(folder.path(), {1, "beta", 50.0, 2e-5, {}}).add({{TraceTrack::waiting, 50.0, 50.001, "wait 1F0", 1, 0, 7}});
  {
    std::ofstream cut(part(1), std::ios::app);
    cut << ",\n{\"ph\":\"X\",\"name\":\"1F";  // the kill
  }
  ASSERT_TRUE(join_trace_parts(folder.path()));
  const Json trace = Json::parse(content(folder / "trace.json"));
  const auto all = slices(trace["traceEvents"]);
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[3]["pid"], 1);
  EXPECT_DOUBLE_EQ(all[3]["ts"].get<double>(), 100e6) << "on rank 0's clock";
  std::map<std::string, int> arrows;
  for (const auto& event : trace["traceEvents"])
    if (event.contains("id") && event["id"] == "0x7") ++arrows[event["ph"]];
  EXPECT_EQ(arrows, (std::map<std::string, int>{{"f", 1}, {"s", 1}}));
}

TEST_F(Part, WhereNothingWasWrittenThereIsNone) {
  EXPECT_FALSE(join_trace_parts(folder.path()));
  EXPECT_FALSE(join_trace_parts(folder / "absent"));
  EXPECT_FALSE(std::filesystem::exists(folder / "trace.json"));
}

TEST_F(Part, AFolderThatIsNotThereIsAWarning) {
  TracePart trace(folder / "absent", {0, "alpha", 0, 0, {}});
  testing::internal::CaptureStderr();
  trace.add(first);
  trace.add(first);
  const std::string said = testing::internal::GetCapturedStderr();
  const size_t at = said.find("no trace of rank 0");
  EXPECT_NE(at, std::string::npos) << said;
  EXPECT_EQ(said.find("no trace of rank 0", at + 1), std::string::npos) << "once";
}

}  // namespace
}  // namespace interlock
