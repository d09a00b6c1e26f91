// A whole run with its folder, on threads of this process.

#include "launch/run/perform.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "launch/settings/parts.h"
#include "parallel/transport/loopback.h"
#include "runtime/core/error.h"
#include "runtime/storage/safetensors.h"
#include "runtime/storage/weights.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Perform : public testing::Test {
 protected:
  Perform() : folder_((fs::temp_directory_path() / ("perform_test." + std::to_string(getpid()))).string()) {
    fs::remove_all(folder_);
  }
  ~Perform() override { fs::remove_all(folder_); }

  RunSettings settings(const std::vector<std::string>& overrides = {}) const {
    constexpr const char* base = R"(
[model]
name = "mlp"
[data]
name = "spirals"
[parallel]
stages = 2
[run]
steps = 4
evaluate_every = 2
)";
    std::vector<std::string> all = {"run.folder='" + folder_ + "'"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    const RunSettings read = read_settings(Config::from_text(base, all));
    check_settings(read);
    return read;
  }

  // The result of every rank.
  static std::vector<RunResult> perform_all(const RunSettings& settings, const PerformRequest& request,
                                            const PerformCallbacks& callbacks = {}) {
    const std::shared_ptr<Dataset> dataset = make_dataset(settings);
    dataset->open();
    std::vector<RunResult> results(static_cast<size_t>(settings.parallel.processes()));
    run_loopback(settings.parallel.processes(), [&](Transport& transport) {
      results[transport.rank()] = perform(settings, transport, dataset, request, callbacks);
    });
    return results;
  }

  std::string result_file() const {
    std::ifstream file(folder_ + "/result.json");
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  std::string folder_;
};

TEST_F(Perform, GivesBackWhatTheRunFolderKeeps) {
  std::vector<int64_t> steps;
  const auto results =
      perform_all(settings(), {}, {[&](const StepMetrics& metrics) { steps.push_back(metrics.step); }, {}});
  const RunResult& result = results.front();
  EXPECT_THAT(steps, testing::ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(result.ending, Ending::completed);
  EXPECT_EQ(results.back().ending, Ending::completed);
  EXPECT_EQ(result.steps, 4);
  EXPECT_EQ(result.performed, 4);
  EXPECT_TRUE(result.loss && result.validation_loss && result.unigram_baseline);
  EXPECT_EQ(result.digest, weights_digest(*SafetensorsFile::open(weights_file(folder_))));
  EXPECT_EQ(result_file(), to_json(result) + "\n");
}

TEST_F(Perform, StoppedOnRequestHasAResultWithoutADigest) {
  const PerformCallbacks stop_at_once{{}, [] { return true; }};
  const auto results = perform_all(settings({"run.steps=1000000", "run.evaluate_every=0"}), {}, stop_at_once);
  const RunResult& result = results.front();
  EXPECT_EQ(result.ending, Ending::stopped);
  EXPECT_EQ(results.back().ending, Ending::stopped);
  EXPECT_LT(result.steps, 1000000);
  EXPECT_FALSE(result.digest.has_value());
  EXPECT_EQ(result_file(), to_json(result) + "\n");
  EXPECT_TRUE(nlohmann::json::parse(result_file())["stopped"].get<bool>());
}

TEST_F(Perform, GoesOnToTheSameWeights) {
  const std::string digest = perform_all(settings(), {}).front().digest.value();
  perform_all(settings(), {FolderUse::overwrite, 2});
  EXPECT_EQ(nlohmann::json::parse(result_file())["steps"], 2);
  const RunResult rest = perform_all(settings(), {FolderUse::resume, {}}).front();
  EXPECT_EQ(rest.performed, 2);
  EXPECT_EQ(rest.digest, digest);
  EXPECT_EQ(result_file(), to_json(rest) + "\n");
}

TEST_F(Perform, WhatWouldLoseFilesIsRefusedBefore) {
  const auto refusal = [&](const RunSettings& run, const PerformRequest& request) -> std::string {
    try {
      check_folders(run, *make_dataset(run), request);
      check_until(run, request);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal(settings(), {}), "");
  EXPECT_THAT(refusal(settings(), {FolderUse::fresh, 5}), HasSubstr("--until 5"));
  fs::create_directories(folder_ + "/checkpoints");
  EXPECT_THAT(refusal(settings(), {}), HasSubstr("exists already"));
  EXPECT_EQ(refusal(settings(), {FolderUse::resume, {}}), "");
  EXPECT_THAT(refusal(settings({"run.weights='" + folder_ + "/checkpoints'"}), {FolderUse::overwrite, {}}),
              HasSubstr("run.weights"));
}

}  // namespace
}  // namespace interlock
