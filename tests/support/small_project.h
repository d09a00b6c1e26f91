#pragma once
// What a person has before the first run: a folder with a config and a corpus. Everything is small enough for a run of
// a fraction of a second, and `interlock` is the built program.

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tests/support/command_line.h"

namespace interlock {

class SmallProject : public testing::Test {
 protected:
  SmallProject();
  ~SmallProject() override;

  std::filesystem::path path(const std::string& name = "") const { return folder_ / name; }
  void write(const std::string& name, const std::string& content) const;  // makes its folder too
  std::string read(const std::string& name) const;
  // Every file below `name` with its content.
  std::map<std::string, std::string> files(const std::string& name = "") const;

  // Does `make` for the first test of the program; the others get copies of the files that it left.
  void once(const std::string& what, const std::function<void()>& make) const;

  // `interlock ARGUMENTS` in the folder.
  CommandResult interlock(const Words& arguments, CommandOptions options = {}) const;
  // `interlock train config.toml --set OVERRIDE ... OPTIONS`: the run folder is `run` unless overridden.
  CommandResult train(const Words& overrides = {}, const Words& options = {}, CommandOptions process = {}) const;
  Words train_words(const Words& overrides, const Words& options = {}) const;
  // The same as threads of one process, which starts in a tenth of the time.
  CommandResult train_threads(Words overrides = {}, const Words& options = {}, CommandOptions process = {}) const;
  // The last line of stdout, which --json promises to be one object.
  static nlohmann::json last_object(const CommandResult& result);
  static const char* program();

 private:
  std::filesystem::path folder_;
};

// The command ended well and left nothing running.
void expect_done(const CommandResult& result);
// It ended with `code`; its one error, in the last 1000 characters, has all of `words`; nothing looks like a crash, and
// nothing is left running.
void expect_failure(const CommandResult& result, int code, const Words& words);
// `folder` holds no file that a killed or failed writer left half way.
void expect_no_half_files(const std::filesystem::path& folder);

}  // namespace interlock
