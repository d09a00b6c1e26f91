// `report`: the page of real runs, of unfinished ones, and what it refuses.
#include <gmock/gmock.h>

#include "tests/support/html.h"
#include "tests/support/small_project.h"

namespace interlock {
namespace {

using testing::HasSubstr;
using testing::Not;

using ReportCommand = SmallProject;

TEST_F(ReportCommand, OneRun) {
  expect_done(train());
  const CommandResult done = interlock({"report", "run"});
  expect_done(done);
  EXPECT_THAT(done.output, HasSubstr("run/report.html"));
  const std::string page = read("run/report.html");
  expect_whole_page(page);
  for (const char* part : {"sum(2) on 4 stages and 4 ranks reached a held-out loss of", "Held-out loss by steps",
                           "Training loss of every head", "measured, step", "simulated from the costs that the run",
                           "what ranks did, by time", "Memory by rank", "All keys of run"})
    EXPECT_THAT(page, HasSubstr(part));
  EXPECT_THAT(page, Not(HasSubstr("no simulated step")));
  // --overwrite takes the page of the earlier run along.
  expect_done(train({"run.steps=2"}, {"--overwrite"}));
  EXPECT_FALSE(std::filesystem::exists(path("run/report.html")));
}

TEST_F(ReportCommand, SeveralRuns) {
  expect_done(train_threads({"run.folder=a/run"}));
  expect_done(train_threads({"run.folder=b/run", "learning.rule=global"}));
  expect_done(interlock({"report", "a/run", "b/run", "--output", "both.html"}));
  const std::string page = read("both.html");
  expect_whole_page(page);
  for (const char* part : {"2 runs", "a/run", "b/run", "<th scope=\"row\">learning.rule</th>"})
    EXPECT_THAT(page, HasSubstr(part));
  EXPECT_THAT(page, Not(HasSubstr("<th scope=\"row\">run.folder</th>")));
}

TEST_F(ReportCommand, ARunThatHasNotEnded) {
  expect_done(train_threads());
  for (const char* name : {"result.json", "trace.json", "costs.json"}) std::filesystem::remove(path("run") / name);
  expect_done(interlock({"report", "run"}));
  const std::string page = read("run/report.html");
  expect_whole_page(page);
  EXPECT_THAT(page, HasSubstr("the run has not ended, or was killed"));
  EXPECT_THAT(page, HasSubstr("no measured step; there is no trace.json"));
  EXPECT_THAT(page, HasSubstr("no simulated step"));
}

TEST_F(ReportCommand, Refuses) {
  expect_failure(interlock({"report", "nowhere"}), 65, {"nowhere", "no such run folder"});
  expect_failure(interlock({"report", "corpus"}), 65, {"corpus", "no config.toml"});
  expect_done(train_threads());
  CommandOptions full;
  full.largest_file = 1000;
  expect_failure(interlock({"report", "run"}, full), 73, {"report.html"});
  EXPECT_FALSE(std::filesystem::exists(path("run/report.html")));
  expect_no_half_files(path("run"));
}

}  // namespace
}  // namespace interlock
