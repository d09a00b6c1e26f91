// No output goes over what it is made of, under whatever name; what lies beside it may be replaced.
#include "launch/folders/output_apart.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "runtime/core/error.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class OutputApart : public testing::Test {
 protected:
  OutputApart() : root_(fs::temp_directory_path() / ("output_apart_test." + std::to_string(getpid()))) {
    fs::create_directories(root_ / "run/checkpoints/step-00000001");
    for (const char* name : {"table.tsv", "run/weights.safetensors", "run/config.toml", "run/predictions.tsv",
                             "run/report.html", "run/predictions.jsonl", "run/checkpoints/step-00000001/note"})
      std::ofstream(root_ / name) << name;
  }
  ~OutputApart() override { fs::remove_all(root_); }
  std::string path(const std::string& name) const { return (root_ / name).string(); }
  std::string refusal(const std::string& output) const {
    try {
      refuse_over_sources("--output", output, {path("table.tsv"), path("run"), "", path("absent")});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      return error.what();
    }
    return "";
  }

  fs::path root_;
};

TEST_F(OutputApart, ASourceIsRefusedUnderEveryName) {
  fs::create_symlink(path("table.tsv"), path("link.tsv"));
  fs::create_hard_link(path("table.tsv"), path("twin.tsv"));
  for (const char* name : {"table.tsv", "run/../table.tsv", "link.tsv", "twin.tsv"})
    EXPECT_THAT(refusal(path(name)), testing::AllOf(HasSubstr("--output"), HasSubstr("would be replaced"))) << name;
}

TEST_F(OutputApart, PartsOfARunAreRefusedAndWhatLiesBesideThemIsNot) {
  fs::create_symlink(path("run/weights.safetensors"), path("weights"));
  for (const char* name :
       {"run/weights.safetensors", "run/config.toml", "run/checkpoints/step-00000001/note", "weights"})
    EXPECT_THAT(refusal(path(name)), HasSubstr("is a part of")) << name;
  for (const char* name :
       {"run/predictions.tsv", "run/predictions.jsonl", "run/report.html", "run/new.json", "other.tsv"})
    EXPECT_EQ(refusal(path(name)), "") << name;
  EXPECT_EQ(refusal(""), "");
  EXPECT_THAT(refusal(path("run")), HasSubstr("would be replaced"));
}

// A model may be named by its weights or by a checkpoint: the run around them is its own all the same.
TEST_F(OutputApart, ARunIsKnownByItsWeightsAndByItsCheckpoint) {
  for (const char* source : {"run/weights.safetensors", "run/checkpoints/step-00000001"})
    for (const char* name : {"run/config.toml", "run/checkpoints/step-00000001/note"})
      EXPECT_THROW(refuse_over_sources("--output", path(name), {path(source)}), Error) << source << " " << name;
  refuse_over_sources("--output", path("run/config.toml"), {path("table.tsv")});  // a table beside it says nothing
}

TEST_F(OutputApart, TwoOutputsAreTwoFiles) {
  EXPECT_THROW(refuse_same_output("--svg", "absent.svg", "--text", fs::absolute("absent.svg").string()), Error);
  refuse_same_output("--svg", "/dev/null", "--text", "/dev/null");
  EXPECT_THROW(refuse_same_output("--svg", path("new"), "--text", path("run/../new")), Error);
  refuse_same_output("--svg", path("new"), "--text", path("newer"));
  refuse_same_output("--svg", "", "--text", "");
}

}  // namespace
}  // namespace interlock
