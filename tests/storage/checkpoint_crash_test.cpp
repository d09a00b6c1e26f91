// A writer that is killed at any of its calls, and a power cut at any of them: what has the name of a checkpoint is
// whole, and the newest is the last that was published or the one that was being published.

#include <gmock/gmock.h>

#include <set>
#include <sstream>

#include "tests/storage/checkpoint_support.h"
#include "tests/storage/crash_model.h"
#include "tests/storage/traced_process.h"

namespace interlock {
namespace {

using testing::AnyOf;
using testing::IsEmpty;
namespace fs = std::filesystem;

// Step 2 is published twice: the second time it takes the place of the first.
const std::vector<int64_t> steps = {1, 2, 2, 3};
constexpr int64_t keep = 2;

class CrashTest : public testing::Test {
 protected:
  std::vector<std::string> words() const {
    std::vector<std::string> all = {INTERLOCK_STORAGE_WRITER, run_, "n", std::to_string(keep)};
    for (const int64_t step : steps) all.push_back(std::to_string(step));
    return all;
  }
  void fresh_run() {
    run_ = top_.file("run");
    fs::remove_all(run_);
    fs::create_directory(run_);
  }

  TemporaryFolder top_{memory()};
  std::string run_;
};

// How many of `steps` are said to be published; a failure is none of these tests' business.
size_t published(const std::string& output) {
  size_t count = 0;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_EQ(line, message("published ", steps.at(count)));
  }
  return count;
}

// The newest of the named steps (0: none) after `count` of the steps were said to be published.
void expect_newest(int64_t newest, size_t count, const std::string& when) {
  const int64_t last = count == 0 ? 0 : steps[count - 1], next = count < steps.size() ? steps[count] : last;
  EXPECT_THAT(newest, AnyOf(last, next)) << when;
}

TEST_F(CrashTest, KilledAtEveryCall) {
  fresh_run();
  if (const TracedProcess probe(words()); !probe.problem().empty()) {
    GTEST_SKIP() << "no process can be traced here: " << probe.problem();
  }
  int64_t calls = 0;
  for (bool killed = true; killed && !HasFailure();) {
    fresh_run();
    TracedProcess writer(words());
    killed = writer.kill_at(++calls);
    const std::string when = message("killed at call ", calls);
    const size_t count = published(writer.output());
    const auto named = list_checkpoints(run_);
    for (const std::string& folder : named) expect_whole(folder, std::stoll(folder.substr(folder.size() - 8)));
    EXPECT_LE(named.size(), static_cast<size_t>(keep) + 1) << when;
    expect_newest(named.empty() ? 0 : std::stoll(named[0].substr(named[0].size() - 8)), count, when);
    // The next run finds the same, cleans up after this one, and can publish.
    remove_leftovers(run_);
    EXPECT_EQ(list_checkpoints(run_), named) << when;
    EXPECT_EQ(names_in(checkpoints_folder(run_)).size(), named.size()) << when;
    make_checkpoint(run_, 9, "next");
  }
  // Four files, each made, written, synced and renamed, and a manifest, for each step.
  EXPECT_GT(calls, 100);
  RecordProperty("calls", std::to_string(calls));
}

TEST_F(CrashTest, PowerCutAfterEveryCall) {
  fresh_run();
  TracedProcess writer(words());
  if (!writer.problem().empty()) GTEST_SKIP() << "no process can be traced here: " << writer.problem();
  CrashModel disk(run_);
  std::string output;
  std::map<std::string, int64_t> judged;  // what a folder holds -> the step it is whole for, or -1
  size_t states = 0;
  const std::string scratch = top_.file("scratch");

  const auto judge = [&](const std::string& name, const CrashModel::Files& files) {
    std::string key = name;
    for (const auto& [file, content] : files) key += message('\n', file, ' ', content.size(), ' ', content);
    const auto [place, fresh] = judged.emplace(key, -1);
    if (fresh) {
      const std::string folder = scratch + "/" + name;
      fs::remove_all(scratch);
      fs::create_directories(folder);
      for (const auto& [file, content] : files) put(folder + "/" + file, content);
      if (!error_of([&] { verify_checkpoint(folder); })) place->second = std::stoll(name.substr(name.size() - 8));
    }
    return place->second;
  };

  size_t calls = 0;
  writer.record([&](const FileCall& call) {
    disk.apply(call);
    output += writer.output();
    const size_t count = published(output);
    const std::string when = message("after call ", ++calls);
    std::set<int64_t> newest_of_states;
    disk.each_state(checkpoints_folder(run_), [&](const CrashModel::State& state) {
      ++states;
      int64_t newest = 0;
      for (const auto& [name, files] : state) {
        if (!name.starts_with("step-")) continue;
        const int64_t step = judge(name, files);
        EXPECT_GT(step, 0) << when << ": " << name << " has its name and is not whole";
        newest = std::max(newest, step);
      }
      newest_of_states.insert(newest);
    });
    for (const int64_t newest : newest_of_states) expect_newest(newest, count, when);
  });
  EXPECT_EQ(published(output), steps.size());
  EXPECT_GT(calls, 100u);
  EXPECT_GT(states, 1000u);
  RecordProperty("states", std::to_string(states));
  // The model is no fancy: it ends with what is really there.
  CrashModel::State last;
  disk.each_state(checkpoints_folder(run_), [&](const CrashModel::State& state) { last = state; });
  for (const auto& [name, files] : last) {
    for (const auto& [file, content] : files) {
      EXPECT_EQ(get(checkpoints_folder(run_) + "/" + name + "/" + file), content) << name << ' ' << file;
    }
  }
  EXPECT_EQ(last.size(), list_checkpoints(run_).size());
}

}  // namespace
}  // namespace interlock
