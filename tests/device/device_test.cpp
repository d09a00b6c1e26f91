// What a rank computes on is chosen, and what is wrong with a module is said, without any GPU.
#include "runtime/device/device.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>

#include <signal.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "runtime/core/error.h"
#include "runtime/device/cuda_driver.h"
#include "runtime/device/staging.h"
#include "runtime/device/stopwatch.h"

namespace interlock {
namespace {

using testing::HasSubstr;

std::string refused(const std::string& module) {
  setenv("INTERLOCK_CUDA_MODULE", module.c_str(), 1);
  try {
    open_cuda_module();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    unsetenv("INTERLOCK_CUDA_MODULE");
    return error.what();
  }
  unsetenv("INTERLOCK_CUDA_MODULE");
  return "opened";
}

TEST(Device, TheCpuNeedsNothing) {
  const Device device = choose_device("cpu", 3);
  EXPECT_TRUE(device.is_cpu());
  EXPECT_TRUE(device.immediate);
  EXPECT_EQ(opened_cuda_module(), nullptr);
}

TEST(Device, AModuleThatIsNotThere) {
  EXPECT_THAT(refused("/nowhere/interlock_cuda.so"),
              testing::AllOf(HasSubstr("/nowhere/interlock_cuda.so"), HasSubstr("cannot be opened")));
}

TEST(Device, AModuleThatIsNoLibrary) {
  const auto path = std::filesystem::temp_directory_path() / "interlock_no_module.so";
  std::ofstream(path) << "no library";
  EXPECT_THAT(refused(path.string()), testing::AllOf(HasSubstr(path.string()), HasSubstr("cannot be opened")));
  std::filesystem::remove(path);
}

TEST(Device, ALibraryThatIsNoModule) {
  EXPECT_THAT(refused(STAND_INS "/module_of_nobody.so"),
              testing::AllOf(HasSubstr("is no CUDA module"), HasSubstr("INTERLOCK_CUDA_MODULE")));
}

TEST(Device, AModuleOfAnotherBuildIsNamedByBothSides) {
  EXPECT_THAT(refused(STAND_INS "/module_of_another_build.so"),
              testing::AllOf(HasSubstr("another build"), HasSubstr("interlock-cuda 0, LibTorch 1.13.1"),
                             HasSubstr(cuda_interface)));
}

// The threads of this process and the signals that each blocks: the mask in hexadecimal, as the kernel writes it.
std::map<std::string, uint64_t> blocked_by_threads() {
  std::map<std::string, uint64_t> blocked;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(thread.path() / "status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("SigBlk:")) blocked[thread.path().filename()] = std::stoull(line.substr(7), nullptr, 16);
  }
  return blocked;
}

// Else it could swallow the SIGCHLD that says that a run has ended, and die of a SIGTERM that asks for a stop.
TEST(Driver, ItsThreadsTakeNoSignals) {
  const auto before = blocked_by_threads();
  setenv("FAKE_DRIVER", "1", 1);
  EXPECT_EQ(ask_cuda_driver().gpus, 1);
  const auto after = blocked_by_threads();
  ASSERT_EQ(after.size(), before.size() + 1);
  for (const auto& [thread, blocked] : after) {
    if (before.contains(thread)) {
      EXPECT_EQ(blocked, before.at(thread)) << "it has its own mask again";
      continue;
    }
    for (const int number : {SIGTERM, SIGUSR1, SIGCHLD, SIGINT}) EXPECT_TRUE(blocked >> (number - 1) & 1) << number;
  }
}

TEST(Device, VersionsAsPeopleWriteThem) {
  EXPECT_EQ(cuda_version_text(13000), "13.0");
  EXPECT_EQ(cuda_version_text(12080), "12.8");
}

TEST(Staging, CopiesNothingOnTheCpu) {
  const at::Tensor numbers = at::arange(12, at::kFloat).view({3, 4});
  EXPECT_EQ(on_host(numbers).data_ptr(), numbers.data_ptr());
  EXPECT_EQ(on_device(numbers, at::kCPU).data_ptr(), numbers.data_ptr());
  EXPECT_FALSE(on_device(at::Tensor(), at::kCPU).defined());
  const at::Tensor columns = numbers.t();
  EXPECT_TRUE(on_host(columns).is_contiguous());
  EXPECT_TRUE(at::equal(on_host(columns), columns));
  const at::Tensor memory = host_memory({5, 3}, at::kDouble, at::kCPU);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data_ptr()) % 64, 0U);
  EXPECT_EQ(memory.scalar_type(), at::kDouble);
}

TEST(Stopwatch, OfTheCpuIsTheClock) {
  Stopwatch watch(at::kCPU);
  const auto first = watch.now(), second = watch.now();
  EXPECT_LE(watch.seconds(first), watch.seconds(second));
  const double before = watch.seconds(second);
  watch.rebase(second);
  EXPECT_EQ(watch.seconds(second), before);
}

}  // namespace
}  // namespace interlock
