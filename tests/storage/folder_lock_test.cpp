// One holder at a time, told by the kernel and by nothing that stands in a file.

#include "runtime/storage/folder_lock.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>
#include <vector>

#include "tests/storage/support.h"
#include "tests/support/small_disk.h"

namespace interlock {
namespace {

using testing::HasSubstr;

std::optional<Error> refused(const std::string& folder) {
  return error_of([&] { const FolderLock lock(folder, "second"); });
}

TEST(FolderLock, ASecondHolderIsToldTheFirst) {
  const TemporaryFolder folder;
  const std::string path = folder.path().string();
  {
    const FolderLock lock(path, "first");
    const auto error = refused(path);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ExitCode::cannot_write);
    char host[256] = "";
    ::gethostname(host, sizeof host - 1);
    for (const std::string& part :
         {path, std::string("run first"), message("process ", ::getpid()), std::string(host)}) {
      EXPECT_THAT(error->what(), HasSubstr(part));
    }
    EXPECT_TRUE(refused(path));  // being refused takes nothing away
  }
  EXPECT_FALSE(refused(path));
  EXPECT_EQ(folder.entries(), 0u);  // a folder that is locked and let go is as before
}

TEST(FolderLock, GoesWithItsProcess) {
  const TemporaryFolder folder;
  const std::string path = folder.path().string();
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const FolderLock lock(path, "killed");
    if (::write(pipe[1], "x", 1) != 1) ::_exit(1);
    while (true) ::pause();
  }
  char ready;
  ASSERT_EQ(::read(pipe[0], &ready, 1), 1);
  const auto error = refused(path);
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr(message("process ", child)));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(folder.entries(), 1u);  // its file is there still, and in nobody's way
  EXPECT_FALSE(refused(path));
}

TEST(FolderLock, WhatStandsInTheFileDecidesNothing) {
  const TemporaryFolder folder;
  const std::string path = folder.path().string();
  for (const std::string& content :
       {std::string(), std::string("host other, process 1, since 2999-01-01T00:00:00Z, run x\n"),
        message("host ?, process ", ::getpid(), "\n"), std::string(100'000, '\0')}) {
    put(folder.file("lock"), content);
    EXPECT_FALSE(refused(path));
    put(folder.file("lock"), content);
    const FolderLock lock(path, "mine");
    EXPECT_THAT(refused(path)->what(), HasSubstr("run mine"));
    put(folder.file("lock"), content);  // as if host name and clock had changed
    const auto error = refused(path);
    ASSERT_TRUE(error);
    EXPECT_EQ(std::string(error->what()).find('\0'), std::string::npos);
    EXPECT_LT(std::string(error->what()).size(), 1000u);
  }
}

TEST(FolderLock, NeverTwoAtOnce) {
  const TemporaryFolder folder(memory());
  std::atomic<int> holders = 0, taken = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 3000; ++j) {
        error_of([&] {
          const FolderLock lock(folder.path().string(), "t");
          EXPECT_EQ(++holders, 1);
          ++taken;
          std::this_thread::sleep_for(std::chrono::microseconds(20));  // long enough for another to come in
          --holders;
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(taken, 100);
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(FolderLock, FoldersThatCannotBeLocked) {
  const TemporaryFolder folder;
  for (const std::string& path : {folder.file("absent"), folder.file("file")}) {
    put(folder.file("file"), "x");
    const auto error = refused(path);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ExitCode::cannot_write);
    EXPECT_THAT(error->what(), HasSubstr(path));
  }
  std::filesystem::create_symlink(folder.file("file"), folder.file("lock"));
  EXPECT_TRUE(refused(folder.path().string()));  // a link is not followed to somebody else's file
  EXPECT_EQ(get(folder.file("file")), "x");
}

TEST(FolderLock, HoldsOnAFullDisk) {
  const TemporaryFolder folder;
  const SmallDisk disk(folder.file("disk"), 65536);
  if (!disk.problem().empty()) GTEST_SKIP() << "no small disk can be mounted here: " << disk.problem();
  const std::string path = folder.file("disk");
  put(path + "/big", std::string(100'000, 'x'));
  const FolderLock lock(path, "first");
  EXPECT_TRUE(refused(path));
}

}  // namespace
}  // namespace interlock
