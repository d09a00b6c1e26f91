// A folder that appears whole or not at all, and takes nothing with it that is not its own.

#include "launch/folders/output_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "launch/folders/run_folder.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class OutputFolderTest : public testing::Test {
 protected:
  OutputFolderTest()
      : root_(fs::temp_directory_path() / ("output_folder_test." + std::to_string(getpid()))),
        path_((root_ / "out").string()) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~OutputFolderTest() override { fs::remove_all(root_); }

  static void write(const fs::path& file) { std::ofstream(file) << "content"; }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(root_))
      found.push_back(fs::relative(entry.path(), root_).string());
    std::sort(found.begin(), found.end());
    return found;
  }

  fs::path root_;
  std::string path_;
};

TEST_F(OutputFolderTest, AppearsWhenItIsCommitted) {
  OutputFolder folder(path_, false, {});
  write(folder.file("a"));
  EXPECT_FALSE(fs::exists(path_));
  folder.commit();
  EXPECT_THAT(names(), ElementsAre("out", "out/a"));
}

TEST_F(OutputFolderTest, LeavesNothingWhenItIsNot) {
  {
    OutputFolder folder(path_, false, {});
    write(folder.file("a"));
  }
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(OutputFolderTest, ThatIsThereIsReplacedOnlyWhenAsked) {
  fs::create_directories(path_);
  write(fs::path(path_) / "a");
  EXPECT_THROW(OutputFolder(path_, false, {"a"}), Error);
  {
    OutputFolder folder(path_, true, {"a"});
    write(folder.file("b"));
    folder.commit();
  }
  EXPECT_THAT(names(), ElementsAre("out", "out/b"));
}

TEST_F(OutputFolderTest, WhatItDoesNotKnowIsNotLost) {
  fs::create_directories(path_);
  write(fs::path(path_) / "mine");
  try {
    OutputFolder folder(path_, true, {"a"});
    ADD_FAILURE() << "taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::cannot_write);
    EXPECT_THAT(error.what(), HasSubstr("mine"));
  }
  EXPECT_THAT(names(), ElementsAre("out", "out/mine"));
}

TEST_F(OutputFolderTest, LeftoversOfItsWritersGoAndNoOthers) {
  fs::create_directories(root_ / (OutputFolder::temporary_name("out") + "1"));
  fs::create_directories(root_ / (OutputFolder::temporary_name("other") + "1"));
  OutputFolder::remove_leftovers(path_);
  EXPECT_THAT(names(), ElementsAre(".other.tmp.1"));
}

TEST(WeightsFile, LiesInTheRunFolder) { EXPECT_EQ(weights_file("runs/a"), "runs/a/weights.safetensors"); }

}  // namespace
}  // namespace interlock
