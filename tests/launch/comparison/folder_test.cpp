// What a folder is taken for.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "launch/comparison/folder.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class Folder : public testing::Test {
 protected:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "interlock-comparison-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() override { fs::remove_all(path_); }
  std::string path(const std::string& name) const { return path_ / name; }
  using Values = std::map<std::string, std::string>;
  static std::string refused(const std::string& path, const Values& base, ExitCode code, const Values& data = {}) {
    try {
      ComparisonFolder folder(path, base, data);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      return error.what();
    }
    return "";
  }
  fs::path path_;
};

TEST_F(Folder, GoesOnWithWhatItWasBegunWithOnly) {
  { const ComparisonFolder first(path("new"), {{"run.steps", "4"}, {"model.width", "16"}}, {}); }
  { const ComparisonFolder again(path("new"), {{"run.steps", "4"}, {"model.width", "16"}}, {}); }
  const std::string said = refused(path("new"), {{"run.steps", "5"}, {"data.held_out", "0.1"}}, ExitCode::config);
  for (const char* part :
       {"run.steps was 4, now 5", "model.width was 16, now not set", "data.held_out was not set, now 0.1"})
    EXPECT_THAT(said, HasSubstr(part));
}

// Arms that were trained before would be held against others' data.
TEST_F(Folder, OtherDataIsRefused) {
  const Values base{{"run.steps", "4"}};
  { const ComparisonFolder first(path("new"), base, {{"samples", "10 to train on"}, {"data.digest", "a"}}); }
  { const ComparisonFolder again(path("new"), base, {{"samples", "10 to train on"}, {"data.digest", "a"}}); }
  EXPECT_THAT(refused(path("new"), base, ExitCode::config, {{"samples", "11 to train on"}, {"data.digest", "a"}}),
              AllOf(HasSubstr("other data"), HasSubstr("samples was 10 to train on, now 11")));
}

TEST_F(Folder, IsNotTakenFromOthers) {
  fs::create_directories(path("other"));
  std::ofstream(path("other/thesis.txt")) << "words";
  EXPECT_THAT(refused(path("other"), {}, ExitCode::cannot_write), HasSubstr("something else than a comparison"));
  EXPECT_EQ(std::distance(fs::directory_iterator(path("other")), fs::directory_iterator()), 1);
  EXPECT_THAT(refused(path("other/thesis.txt"), {}, ExitCode::cannot_write), HasSubstr("is not a folder"));
  const ComparisonFolder mine(path("busy"), {}, {});
  EXPECT_THAT(refused(path("busy"), {}, ExitCode::cannot_write), HasSubstr("in use by another"));
}

TEST_F(Folder, DamageIsSaid) {
  { const ComparisonFolder first(path("new"), {}, {}); }
  std::ofstream(path("new/comparison.json")) << "{";
  EXPECT_THAT(refused(path("new"), {}, ExitCode::bad_input), HasSubstr("is damaged"));
}

}  // namespace
}  // namespace interlock
