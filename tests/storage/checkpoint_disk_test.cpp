// Disks that are full, limited, or fail at any call: an error with a reason, the old checkpoints as they were, nothing
// left behind, and never a named checkpoint that is not whole.

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <map>
#include <sstream>

#include "tests/storage/checkpoint_support.h"
#include "tests/support/small_disk.h"

namespace interlock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

// A checkpoint of step 2 does not fit; the one of step 1 does not notice, and one that fits can be written after it.
void expect_does_not_fit(const std::string& run, const std::string& reason, size_t too_many) {
  const auto error = error_of([&] { make_checkpoint(run, 2, "n", too_many); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ExitCode::cannot_write);
  EXPECT_THAT(error->what(), HasSubstr(reason));
  EXPECT_THAT(error->what(), HasSubstr(staging_folder(run, 2, "n") + "/"));  // the file
  discard_staging(staging_folder(run, 2, "n"));
  EXPECT_THAT(names_in(checkpoints_folder(run)), ElementsAre("step-00000001"));
  expect_whole(checkpoints_folder(run) + "/step-00000001", 1);
  expect_whole(make_checkpoint(run, 3), 3);
}

TEST(CheckpointDisk, Full) {
  const TemporaryFolder folder;
  const SmallDisk disk(folder.file("disk"), 1'000'000);
  if (!disk.problem().empty()) GTEST_SKIP() << "no small disk can be mounted here: " << disk.problem();
  const std::string run = folder.file("disk/run");
  fs::create_directory(run);
  make_checkpoint(run, 1);
  expect_does_not_fit(run, "No space left on device", 300'000);
}

TEST(CheckpointDisk, FileSizeLimit) {
  const TemporaryFolder folder;
  const std::string run = folder.path().string();
  make_checkpoint(run, 1);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{100'000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  expect_does_not_fit(run, "File too large", 60'000);  // the second tensor of a file passes the limit
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
}

TEST(CheckpointDisk, AFileWhereTheFolderShouldBe) {
  const TemporaryFolder folder;
  put(folder.file("checkpoints"), "x");
  const auto error = error_of([&] { make_checkpoint(folder.path().string(), 1); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ExitCode::cannot_write);
  EXPECT_THAT(error->what(), HasSubstr(folder.file("checkpoints")));
}

class FailingCalls : public testing::Test {
 protected:
  // storage_writer RUN n 2 1 2 2 3 with the n-th call spoilt. Returns what it said.
  std::string write(const std::string& call, int64_t at, const std::string& how) {
    run_ = folder_.file("run");
    fs::remove_all(run_);
    fs::create_directory(run_);
    int pipe[2];
    EXPECT_EQ(::pipe(pipe), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(pipe[1], STDOUT_FILENO);
      ::close(pipe[0]);
      ::close(pipe[1]);
      ::setenv("LD_PRELOAD", INTERLOCK_FAILING_CALLS, 1);
      ::setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
      ::setenv("SPOIL_CALL", call.c_str(), 1);
      ::setenv("SPOIL_AT", std::to_string(at).c_str(), 1);
      ::setenv("SPOIL_HOW", how.c_str(), 1);
      ::execl(INTERLOCK_STORAGE_WRITER, "storage_writer", run_.c_str(), "n", "2", "1", "2", "2", "3", nullptr);
      ::_exit(127);
    }
    ::close(pipe[1]);
    std::string said;
    char buffer[4096];
    for (ssize_t got; (got = ::read(pipe[0], buffer, sizeof buffer)) > 0;)
      said.append(buffer, static_cast<size_t>(got));
    ::close(pipe[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0) << said;
    const std::string mark = "spoilt\n";
    spoilt_ = said.find(mark) != std::string::npos;
    return spoilt_ ? said.erase(said.find(mark), mark.size()) : said;
  }

  // Everything that has a name is whole; what was said to be published, and not retained away, is there.
  void expect_nothing_wrong(const std::string& said) {
    for (const std::string& folder : list_checkpoints(run_)) {
      expect_whole(folder, std::stoll(folder.substr(folder.size() - 8)));
    }
    std::istringstream lines(said);
    std::string line, last;
    while (std::getline(lines, line)) last = line;
    if (last.starts_with("published")) {
      ASSERT_FALSE(list_checkpoints(run_).empty()) << said;
      EXPECT_EQ(list_checkpoints(run_)[0], checkpoints_folder(run_) + "/step-00000003") << said;
    }
  }

  const TemporaryFolder folder_{memory()};
  std::string run_;
  bool spoilt_ = false;  // whether the last write met its n-th call
};

const std::string all_published = "published 1\npublished 2\npublished 2\npublished 3\n";

// Each call that may fail, failing at each of its places: one error of one step at most, and the others are written.
TEST_F(FailingCalls, AtEveryPlace) {
  const std::map<std::string, std::vector<int>> errors = {{"write", {ENOSPC}}, {"fsync", {EIO}},  {"close", {EIO}},
                                                          {"open", {EMFILE}},  {"rename", {EIO}}, {"mkdir", {ENOSPC}},
                                                          {"unlink", {EIO}}};
  for (const auto& [call, reasons] : errors) {
    for (const int reason : reasons) {
      int64_t failures = 0;
      for (int64_t at = 1;; ++at) {
        const std::string said = write(call, at, std::to_string(reason));
        if (!spoilt_) break;  // that was past the last one
        expect_nothing_wrong(said);
        const size_t failed = said.find("failed");
        failures += failed != std::string::npos;
        if (failed == std::string::npos) {  // in a removal, say, which the next retention does again
          EXPECT_EQ(said, all_published);
        } else {
          EXPECT_EQ(said.find("failed", failed + 1), std::string::npos) << said;  // only that one
          EXPECT_THAT(said.substr(failed), HasSubstr(run_));                      // the path
          EXPECT_THAT(said.substr(failed), HasSubstr(std::strerror(reason)));
        }
        if (HasFailure()) FAIL() << call << ' ' << at << ' ' << std::strerror(reason);
      }
      // Every call of the writer is reached: 4 steps of 4 files and a manifest, written, synced, closed and renamed.
      if (call == "unlink") continue;
      EXPECT_GE(failures, call == "mkdir" ? 4 : 20) << call;
    }
  }
}

// What is no failure: interruptions and short writes are gone over.
TEST_F(FailingCalls, InterruptionsAndShortWrites) {
  for (const auto& [call, how] : std::vector<std::pair<std::string, std::string>>{
           {"write", std::to_string(EINTR)}, {"write", "short"}, {"fsync", std::to_string(EINTR)}}) {
    for (int64_t at = 1;; ++at) {
      EXPECT_EQ(write(call, at, how), all_published) << call << ' ' << how << ' ' << at;
      if (!spoilt_) break;
      expect_nothing_wrong(all_published);
      EXPECT_THAT(names_in(checkpoints_folder(run_)), ElementsAre("step-00000002", "step-00000003"));
    }
  }
}

// A file system that cannot exchange two names (or sync a folder) still replaces a checkpoint.
TEST_F(FailingCalls, FileSystemsThatCanLess) {
  int64_t at = 1;
  while (write("rename", at, std::to_string(EINVAL)) != all_published) ++at;
  EXPECT_TRUE(spoilt_);  // of all renames only the exchange may fail
  expect_nothing_wrong(all_published);
  EXPECT_THAT(names_in(checkpoints_folder(run_)), ElementsAre("step-00000002", "step-00000003"));
  EXPECT_EQ(write("fsync", 2, std::to_string(EINVAL)),
            all_published);  // the first sync is of a file, the second of its folder
  EXPECT_THAT(write("fsync", 1, std::to_string(EINVAL)), HasSubstr("failed 1"));
}

}  // namespace
}  // namespace interlock
