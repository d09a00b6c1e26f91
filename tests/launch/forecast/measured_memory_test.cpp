// Memory that is measured where a plan is made.

#include "launch/forecast/measured_memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "launch/settings/run_settings.h"
#include "tests/storage/support.h"

namespace interlock {
namespace {

constexpr double mebibyte = 1024 * 1024;

// Files are mapped when a sample of theirs is read, and their pages count from then on: a run of many steps meets all.
TEST(MeasuredData, IsWhatTheRunWillRead) {
  TemporaryFolder folder;
  constexpr int64_t files = 512, size = 32 * 1024;  // 16 MiB
  std::filesystem::create_directories(folder.file("corpus"));
  for (int64_t file = 0; file < files; ++file)
    std::ofstream(folder.file("corpus/" + std::to_string(file) + ".txt"))
        << std::to_string(file) << std::string(size, 'a');
  const auto measured = [&](int64_t steps) {
    return measure_data(read_settings(Config::from_text(
        "[model]\nname = 'roberta'\nlayers = 1\nwidth = 8\nheads = 1\nfeed_forward = 8\nmax_length = 64\n"
        "[data]\nname = 'text'\nsequence_length = 64\nheld_out = 0.1\npaths = ['" +
        folder.file("corpus") + "']\n[parallel]\nstages = 1\nmicrobatches = 4\nmicrobatch_size = 8\n[run]\nsteps = " +
        std::to_string(steps) + "\n")));
  };
  measured(1);  // what a first opening takes once
  // 32 samples of one step lie in at most 32 files: 1 MiB. 16,000 of 500 steps leave one of the 460 files of the
  // training part out with a chance of e^-35.
  const double few = measured(1), many = measured(500);
  EXPECT_LT(few, 3 * mebibyte);
  EXPECT_GT(many, 0.8 * static_cast<double>(files * size));
}

TEST(MeasuredData, IsNothingWhereThereIsNone) {
  const Config config = Config::from_text("[model]\nname = 'mlp'\n[data]\nname = 'text'\npaths = ['/nowhere']\n");
  EXPECT_EQ(measure_data(read_settings(config)), 0);
}

}  // namespace
}  // namespace interlock
