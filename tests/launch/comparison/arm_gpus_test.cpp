#include "launch/comparison/arm_gpus.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "runtime/storage/scratch_folder.h"

namespace interlock {
namespace {

using Names = std::vector<std::string>;

TEST(ArmGpus, AreTheDeviceFilesUnlessTheEnvironmentNamesThem) {
  const ScratchFolder folder("gpus");
  for (const char* name : {"nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm", "null"}) std::ofstream(folder.file(name));
  unsetenv("CUDA_VISIBLE_DEVICES");
  EXPECT_EQ(visible_gpus(folder.file("")), (Names{"0", "1"}));  // as CUDA numbers what it finds
  EXPECT_TRUE(visible_gpus(folder.file("absent")).empty());
  setenv("CUDA_VISIBLE_DEVICES", "5,GPU-8932f937", 1);
  EXPECT_EQ(visible_gpus(folder.file("")), (Names{"5", "GPU-8932f937"}));
  setenv("CUDA_VISIBLE_DEVICES", "0,-1,1", 1);
  EXPECT_EQ(visible_gpus(folder.file("")), (Names{"0"}));
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  EXPECT_TRUE(visible_gpus(folder.file("")).empty());
  unsetenv("CUDA_VISIBLE_DEVICES");
}

using Gpus = std::vector<size_t>;

TEST(ArmGpus, EveryRankHasOneOfThoseThatFewestArmsUse) {
  EXPECT_EQ(gpus_for({0, 0, 0, 0}, 1), (Gpus{0}));
  EXPECT_EQ(gpus_for({1, 0, 0, 0}, 2), (Gpus{1, 2}));
  EXPECT_EQ(gpus_for({1, 1, 1, 1, 0, 0, 0, 0}, 2), (Gpus{4, 5})) << "beside an arm of four ranks";
  EXPECT_EQ(gpus_for({1, 0, 2, 1}, 3), (Gpus{0, 1, 3}));
  EXPECT_EQ(gpus_for({3, 1}, 4), (Gpus{0, 1})) << "fewer than ranks: they share";
  EXPECT_EQ(gpus_for({}, 2), (Gpus{}));
}

}  // namespace
}  // namespace interlock
