// A run folder that an earlier program left goes on as that program went on with it.
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::vector<json> lines_of(const std::string& text) {
  std::vector<json> lines;
  std::istringstream all(text);
  for (std::string line; std::getline(all, line);) lines.push_back(json::parse(line));
  return lines;
}

class EarlierRun : public SmallProject {
 protected:
  void SetUp() override {
    for (const char* name : {"corpus", "run", "config.toml", "continued.jsonl"}) {
      fs::remove_all(path(name));
      fs::copy(fs::path(INTERLOCK_EARLIER_RUN) / name, path(name), fs::copy_options::recursive);
    }
  }
};

TEST_F(EarlierRun, GoesOnAsItDidThen) {
  expect_done(interlock({"train", "config.toml", "--resume"}));
  const std::vector<json> then = lines_of(read("continued.jsonl")), now = lines_of(read("run/metrics.jsonl"));
  ASSERT_EQ(now.size(), 4U);
  ASSERT_EQ(then.size(), 2U);
  for (size_t i = 0; i < then.size(); ++i) {
    const json &old_step = then[i], &new_step = now[i + 2];
    EXPECT_EQ(new_step["step"], old_step["step"]);
    // Gradients were added up in another order then: float32 rounding (6e-8) of losses of 5.5, over two steps.
    EXPECT_NEAR(new_step["loss"].get<double>(), old_step["loss"].get<double>(), 1e-6);
    for (const auto& [stage, loss] : old_step["losses"].items())
      EXPECT_NEAR(new_step["losses"][stage].get<double>(), loss.get<double>(), 1e-6) << "stage " << stage;
    EXPECT_NEAR(new_step["gradient_norm"].get<double>(), old_step["gradient_norm"].get<double>(), 1e-6);
    EXPECT_EQ(new_step["learning_rate"], old_step["learning_rate"]);
  }
  EXPECT_NEAR(now.back()["validation_loss"].get<double>(), then.back()["validation_loss"].get<double>(), 1e-6);
}

// The steps of a run that starts over are not those of one that goes on, or the test above shows nothing.
TEST_F(EarlierRun, StartsOverOtherwise) {
  expect_done(interlock({"train", "config.toml", "--overwrite", "--set", "run.seed=2"}));
  EXPECT_GT(std::abs(lines_of(read("run/metrics.jsonl"))[2]["loss"].get<double>() -
                     lines_of(read("continued.jsonl"))[0]["loss"].get<double>()),
            1e-3);
}

}  // namespace
}  // namespace interlock
