// Ranks that fail at a named place of a step (runtime/core/fault_site.h): killed in a forward pass, a backward pass, a
// send, an update, the run starts again and ends as one that nothing happened to; one that computes for ever is named.
#include <gmock/gmock.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int ranks = 4;

class FaultSites : public SmallProject {
 protected:
  CommandResult train_with_faults(const std::string& fault, const Words& overrides, const Words& options = {}) const {
    Words words{"env", "INTERLOCK_FAULT=" + fault + " " + path("happened").string(), INTERLOCK_PROGRAM_WITH_FAULTS};
    const Words train = train_words(overrides, options);
    words.insert(words.end(), train.begin(), train.end());
    CommandOptions process;
    process.folder = path().string();
    return run_command(words, process);
  }
  std::vector<nlohmann::json> events() const {
    std::vector<nlohmann::json> found;
    std::ifstream file(path("run/events.jsonl"));
    for (std::string line; std::getline(file, line);) found.push_back(nlohmann::json::parse(line));
    return found;
  }
  std::string digest_of_undisturbed() const {
    static std::string digest;
    if (!digest.empty()) return digest;
    const CommandResult result = train(base, {"--json", "--set", "run.folder='undisturbed'"});
    expect_done(result);
    return digest = last_object(result)["digest"];
  }
  const Words base = {"run.steps=12", "checkpoint.every=3", "run.evaluate_every=6"};
};

// The first and the last rank, and one between, do not do all: the last sends nothing forward, the first nothing back.
TEST_F(FaultSites, ARankThatIsKilledAtAnyPlaceOfAStepCostsNothing) {
  for (int rank = 0; rank < ranks; ++rank) {
    for (const std::string place : {"F", "W", rank + 1 < ranks ? "SEND_F" : "L", "U"}) {
      SCOPED_TRACE("rank " + std::to_string(rank) + " at " + place);
      std::filesystem::remove_all(path("run"));
      std::filesystem::remove(path("happened"));
      const CommandResult result =
          train_with_faults("kill " + std::to_string(rank) + " 7 " + place, base, {"--json", "--restarts", "1"});
      ASSERT_EQ(result.code, 0) << result.all;
      EXPECT_THAT(result.left_running, IsEmpty());
      EXPECT_TRUE(std::filesystem::exists(path("happened")));
      EXPECT_EQ(last_object(result)["digest"], digest_of_undisturbed());
      ASSERT_GE(events().size(), 1u);
      EXPECT_EQ(events()[0]["event"], "lost");
      EXPECT_EQ(events()[0]["rank"], rank);
    }
  }
}

TEST_F(FaultSites, ARankThatComputesForEverIsNamedWithItsAction) {
  Words overrides = base;
  overrides.insert(overrides.end(), {"monitor.stall_seconds=5", "monitor.startup_seconds=30"});
  const auto begin = std::chrono::steady_clock::now();
  const CommandResult result = train_with_faults("loop 1 7 F", overrides);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5 + 10 + 20)) << "20 s to come to step 7";
  EXPECT_EQ(result.code, 71) << result.all;
  EXPECT_THAT(result.left_running, IsEmpty());
  EXPECT_THAT(result.all, AllOf(HasSubstr("rank 1 on "), HasSubstr("stands still in step 7, training, 1F"),
                                HasSubstr("waits for rank 1"), HasSubstr("rank 1 stands in:"),
                                HasSubstr("interlock_with_faults(")));
  ASSERT_EQ(events().size(), 1u);
  EXPECT_EQ(events()[0]["rank"], 1);
  EXPECT_EQ(events()[0]["step"], 7);
}

}  // namespace
}  // namespace interlock
