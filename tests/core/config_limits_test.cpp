// What a config may not be: a device, a file of any size, nested without end, with names that split messages.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "runtime/core/config.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using testing::HasSubstr;

class ConfigLimits : public testing::Test {
 protected:
  ConfigLimits() {
    std::string pattern = (std::filesystem::temp_directory_path() / "interlock_config_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~ConfigLimits() override { std::filesystem::remove_all(folder_); }

  void load(const std::string& text, const std::vector<std::string>& overrides = {}) {
    std::ofstream(path(), std::ios::binary) << text;
    Config::from_file(path(), overrides);
  }
  std::string path() const { return folder_ + "/run.toml"; }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

// A device or a pipe has no end, and a sparse file may claim any size: each is refused before anything is read.
TEST_F(ConfigLimits, OnlyRegularFilesOfABoundedSizeAreRead) {
  EXPECT_THAT(refusal([] { Config::from_file("/dev/zero"); }), HasSubstr("not a regular file"));
  const std::string pipe = folder() + "/pipe", sparse = folder() + "/sparse";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(refusal([&] { Config::from_file(pipe); }), HasSubstr("not a regular file"));
  std::ofstream(sparse) << "";
  std::filesystem::resize_file(sparse, uint64_t{20} << 30);
  EXPECT_THAT(refusal([&] { Config::from_file(sparse); }), HasSubstr("20480 MiB"));
}

std::string dotted(int levels) {
  std::string key = "a";
  for (int level = 1; level < levels; ++level) key += ".a";
  return key;
}

// toml++ limits brackets only; what dots make deep is destroyed by as many calls inside each other.
TEST_F(ConfigLimits, DepthHasOneLimitForDotsAndBrackets) {
  const auto refused = [&](const std::string& text, int line) {
    EXPECT_THAT(refusal([&] { load(text); }), HasSubstr(message(path(), ":", line, ": keys and brackets are nested")));
  };
  refused(dotted(1'000'000) + " = 1\n", 1);
  refused("# a\n\n[" + dotted(1'000'000) + "]\nx = 1\n", 3);
  refused("[[" + dotted(300) + "]]\nx = 1\n", 1);
  refused("[" + dotted(200) + "]\n" + dotted(100) + " = 1\n", 2);
  refused("x = {" + dotted(200) + " = {" + dotted(200) + " = 1}}\n", 1);
  std::string quoted = "\"a\"";
  for (int level = 1; level < 300; ++level) quoted += " . 'a'";
  refused(quoted + " = 1\n", 1);
  refused("s = \"\"\"x\"\"\"\"\"\n" + dotted(300) + " = 1\n", 2);  // two quotes in front of the closing three
  EXPECT_THAT(refusal([&] { load("", {dotted(100'000) + "=1"}); }), HasSubstr("a key of 100000 parts"));
  EXPECT_THAT(refusal([&] { load("", {"a.x={" + dotted(300) + " = 1}"}); }), HasSubstr("--set a.x:1: keys"));
}

TEST_F(ConfigLimits, DotsThatAreNoDepthAreLegal) {
  std::string numbers = "x = [";
  for (int i = 0; i < 1000; ++i) numbers += "0.5, ";
  const std::string dots(1000, '.');
  load(numbers + "]\n");
  load("x = \"" + dots + "\"\ny = '" + dots + "'\nz = \"\"\"\n" + dots + "\n\"\"\"\n# " + dots + "\n");
  load("x = \"\\\"" + dots + "\"\n");
  load(dotted(200) + " = 1\n");
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "[[a.b.c]]\nd.e = 1.5\n";
  load(many);
}

TEST_F(ConfigLimits, IsNoLargerThanAFileMayBe) {
  const std::string large(size_t{17} << 20, '#');
  EXPECT_THAT(refusal([&] { Config::from_text(large, {}, "interlock.config"); }),
              testing::AllOf(HasSubstr("interlock.config: has 17825792 bytes"), HasSubstr("at most")));
}

// Which would split a message or turn it round; what tables call their columns and classes is theirs.
TEST_F(ConfigLimits, NamesHoldNoControlCharacters) {
  const Config config =
      Config::from_text("[a]\nfolder = \"x\\ny\"\npaths = [\"b\", \"\\u202e\"]\nlabels = [\"good\\tone\"]\n");
  const Section a = config.section("a");
  EXPECT_THAT(refusal([&] { a.text("folder", ""); }), HasSubstr("\"x\\ny\" holds a control character"));
  EXPECT_THAT(refusal([&] { a.texts("paths", {}); }), HasSubstr("\"\\u202e\" holds a control character"));
  EXPECT_EQ(a.texts("labels", {}), std::vector<std::string>{"good\tone"});
}

}  // namespace
}  // namespace interlock
