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
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  EXPECT_TRUE(visible_gpus(folder.file("")).empty());
  unsetenv("CUDA_VISIBLE_DEVICES");
}

TEST(ArmGpus, EveryRankHasOneAndArmsTakeTurns) {
  const Names eight{"0", "1", "2", "3", "4", "5", "6", "7"};
  EXPECT_EQ(gpus_of_arm(eight, 0, 1), "0");
  EXPECT_EQ(gpus_of_arm(eight, 7, 1), "7");
  EXPECT_EQ(gpus_of_arm(eight, 8, 1), "0");
  EXPECT_EQ(gpus_of_arm(eight, 1, 2), "2,3");
  EXPECT_EQ(gpus_of_arm(eight, 2, 3), "6,7,0");
  EXPECT_EQ(gpus_of_arm({"4", "6"}, 3, 4), "4,6");  // fewer than ranks: they share
  EXPECT_EQ(gpus_of_arm({"4"}, 3, 1), "");
  EXPECT_EQ(gpus_of_arm({}, 0, 2), "");
}

}  // namespace
}  // namespace interlock
