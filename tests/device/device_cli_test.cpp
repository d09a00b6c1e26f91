// run.device on the command line, on machines that are made up: with no driver, with one that shows no GPU, and with
// GPUs but no module. Each has its own sentence and exit code 64; `auto` trains on the CPU and says why.
#include <gmock/gmock.h>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using testing::HasSubstr;

class DeviceChoice : public SmallProject {
 protected:
  // With the made-up driver, which says what `driver` tells it, and the module at `module`.
  CommandResult train_there(const std::string& device, const std::string& driver, const std::string& module,
                            Words more = {}) {
    Words words = {"env", "FAKE_DRIVER=" + driver, "LD_LIBRARY_PATH=" STAND_INS "/driver",
                   "INTERLOCK_CUDA_MODULE=" + module};
    words.insert(words.end(), more.begin(), more.end());
    words.emplace_back(program());
    const Words rest =
        train_words({"run.device=" + device, "parallel.transport=loopback", "run.steps=1", "run.folder=run-" + device});
    words.insert(words.end(), rest.begin(), rest.end());
    CommandOptions options;
    options.folder = path().string();
    return run_command(words, options);
  }
};

TEST_F(DeviceChoice, UnknownNames) { expect_failure(train({"run.device=gpu"}), 64, {"run.device", "gpu", "cuda"}); }

TEST_F(DeviceChoice, ADriverThatFindsNoGpu) {
  const CommandResult result = train_there("cuda", "none", "/nowhere.so", {"CUDA_VISIBLE_DEVICES="});
  expect_failure(result, 64, {"run.device", "finds no GPU", "no CUDA-capable device", "CUDA_VISIBLE_DEVICES is \"\""});
  EXPECT_LT(result.seconds, 10);
}

TEST_F(DeviceChoice, ADriverThatShowsNone) {
  expect_failure(train_there("cuda", "0", "/nowhere.so"), 64, {"shows no GPU to this process"});
}

TEST_F(DeviceChoice, NoModule) {
  expect_failure(train_there("cuda", "2", "/nowhere.so"), 64, {"there is no CUDA module at /nowhere.so"});
}

TEST_F(DeviceChoice, AutoTakesTheCpuAndSaysWhy) {
  const CommandResult result = train_there("auto", "1", "/nowhere.so");
  expect_done(result);
  EXPECT_THAT(result.all, HasSubstr("computes on the CPU: there is no CUDA module at /nowhere.so"));
}

// One that is there and does not fit is a mistake that nobody wants to train past.
TEST_F(DeviceChoice, AModuleOfAnotherBuild) {
  for (const char* device : {"auto", "cuda"})
    expect_failure(train_there(device, "1", STAND_INS "/module_of_another_build.so"), 64,
                   {"another build", "LibTorch 1.13.1"});
}

}  // namespace
}  // namespace interlock
