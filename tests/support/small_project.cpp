// The corpus is made of words, so that it is the same on every machine.
#include "tests/support/small_project.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>

namespace interlock {
namespace {

namespace fs = std::filesystem;

// sum(2) has every kind of message and pass; dropout shows draws that depend on the placement. Three of the six files
// are trained on and two held out, or nearly so: which, their hashes decide.
constexpr const char* config = R"([model]
layers = 4
width = 16
heads = 2
feed_forward = 32
max_length = 32
dropout = 0.1

[data]
paths = ["corpus"]
sequence_length = 32
held_out = 0.3

[learning]
rule = "sum"
horizon = 2

[parallel]
stages = 4
ranks = 4
microbatches = 4
microbatch_size = 2

[optimizer]
warmup_steps = 0

[run]
device = "cpu"
steps = 4
folder = "run"
evaluate_every = 2
evaluate_sequences = 8
)";

std::string some_text(uint32_t seed) {
  static const Words words = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"};
  std::minstd_rand draw(seed);  // the standard fixes its numbers
  std::string text;
  while (text.size() < 2000) {
    text += words[draw() % words.size()];
    text += draw() % 8 == 0 ? '\n' : ' ';
  }
  return text;
}

size_t occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

}  // namespace

SmallProject::SmallProject() {
  std::string pattern = (fs::temp_directory_path() / "interlock-project-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make " + pattern);
  folder_ = pattern;
  write("config.toml", config);
  for (uint32_t number = 1; number <= 6; ++number)
    write("corpus/" + std::to_string(number) + ".txt", some_text(number));
}

SmallProject::~SmallProject() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

const char* SmallProject::program() { return INTERLOCK_PROGRAM; }

void SmallProject::write(const std::string& name, const std::string& content) const {
  fs::create_directories(path(name).parent_path());
  std::ofstream(path(name), std::ios::binary) << content;
}

std::string SmallProject::read(const std::string& name) const {
  std::ifstream in(path(name), std::ios::binary);
  EXPECT_TRUE(in.good()) << path(name);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::map<std::string, std::string> SmallProject::files(const std::string& name) const {
  std::map<std::string, std::string> all;
  for (const auto& entry : fs::recursive_directory_iterator(path(name))) {
    const std::string file = fs::relative(entry.path(), folder_).string();
    if (entry.is_regular_file()) all[file] = read(file);
  }
  return all;
}

void SmallProject::once(const std::string& what, const std::function<void()>& make) const {
  static std::map<std::string, std::map<std::string, std::string>> made;
  if (!made.contains(what)) {
    const auto before = files();
    make();
    for (auto& [name, content] : files())
      if (!before.contains(name)) made[what][name] = content;
  } else {
    for (const auto& [name, content] : made[what]) write(name, content);
  }
}

CommandResult SmallProject::interlock(const Words& arguments, CommandOptions options) const {
  options.folder = folder_.string();
  Words words{program()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return run_command(words, options);
}

Words SmallProject::train_words(const Words& overrides, const Words& options) const {
  Words words{"train", "config.toml"};
  for (const std::string& one : overrides) words.insert(words.end(), {"--set", one});
  words.insert(words.end(), options.begin(), options.end());
  return words;
}

CommandResult SmallProject::train(const Words& overrides, const Words& options, CommandOptions process) const {
  return interlock(train_words(overrides, options), process);
}

CommandResult SmallProject::train_threads(Words overrides, const Words& options, CommandOptions process) const {
  overrides.insert(overrides.begin(), "parallel.transport=loopback");
  return train(overrides, options, process);
}

nlohmann::json SmallProject::last_object(const CommandResult& result) {
  std::string text = result.output;
  if (text.ends_with('\n')) text.pop_back();
  const std::string line = text.substr(text.rfind('\n') + 1);  // the whole text when it is one line
  nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
  EXPECT_TRUE(object.is_object()) << "the last line of stdout is no JSON object: " << line;
  return object.is_object() ? object : nlohmann::json::object();
}

void expect_done(const CommandResult& result) {
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.code, 0) << result.all;
  EXPECT_THAT(result.left_running, testing::IsEmpty());
}

void expect_failure(const CommandResult& result, int code, const Words& words) {
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.code, code) << result.all;
  EXPECT_EQ(occurrences(result.all, "interlock: error: "), 1U) << result.all;
  for (const std::string& word : words) EXPECT_THAT(result.tail(), testing::HasSubstr(word));
  for (const char* crash : {"terminate called", "what():", "frame #", "Backtrace", "Assertion", "core dumped"})
    EXPECT_THAT(result.all, testing::Not(testing::HasSubstr(crash)));
  EXPECT_THAT(result.left_running, testing::IsEmpty());
}

void expect_no_half_files(const fs::path& folder) {
  if (!fs::exists(folder)) return;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    EXPECT_FALSE(name.ends_with(".tmp") || name.ends_with(".partial")) << entry.path();
    EXPECT_FALSE(name.starts_with(".staging-") || name.starts_with(".trash-")) << entry.path();
  }
}

}  // namespace interlock
