#include "launch/monitor/event_log.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/observe/temporary_folder.h"

namespace interlock {
namespace {

std::vector<nlohmann::json> lines_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(EventLog, KeepsEventsUntilThereIsAFolder) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  EventLog log(run);
  EXPECT_TRUE(log.empty());
  log.add({"lost", 2, 14, "rank 2 was killed\nby \xff"});
  EXPECT_FALSE(std::filesystem::exists(run)) << "it makes no folder: the run would be refused for it";
  std::filesystem::create_directory(run);
  log.add({"restart", std::nullopt, 10, "start 1 of 5"});
  const auto lines = lines_of(run + "/events.jsonl");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["event"], "lost");
  EXPECT_EQ(lines[0]["rank"], 2);
  EXPECT_EQ(lines[0]["step"], 14);
  EXPECT_TRUE(lines[1]["rank"].is_null());
  EXPECT_THAT(lines[1]["time"].get<std::string>(), testing::MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z"));
  EXPECT_THAT(log.table(), testing::HasSubstr("lost     2     14       rank 2 was killed\n"));

  EventLog next(run);  // of the next process
  next.add({"ended", std::nullopt, 20, ""});
  EXPECT_EQ(lines_of(run + "/events.jsonl").size(), 3u);
}

TEST(EventLog, AFileThatCannotBeWrittenIsAWarning) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "events.jsonl");
  testing::internal::CaptureStderr();
  EventLog log(folder.path());
  log.add({"lost", 2, 14, "rank 2 was killed"});
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("events.jsonl cannot be written"));
  EXPECT_THAT(log.table(), testing::HasSubstr("rank 2 was killed"));
}

}  // namespace
}  // namespace interlock
