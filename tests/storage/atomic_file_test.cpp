// Writes that succeed whole or leave what was there: full disk, size limit, folders in the way, many at once.

#include "runtime/storage/atomic_file.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>
#include <vector>

#include "runtime/storage/json_file.h"
#include "runtime/storage/safetensors.h"
#include "tests/storage/support.h"

namespace interlock {
namespace {

void expect_cannot_write(const std::optional<Error>& error, const std::string& path, const std::string& reason) {
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ExitCode::cannot_write);
  EXPECT_NE(std::string(error->what()).find(path), std::string::npos) << error->what();
  EXPECT_NE(std::string(error->what()).find(reason), std::string::npos) << error->what();
}

void write_tensor(const std::string& path, size_t size) {
  SafetensorsWriter writer(path, {{"a", "U8", {static_cast<int64_t>(size)}}});
  writer.write("a", bytes_of(std::string(size, 'x')));
  writer.commit();
}

TEST(AtomicFile, WritesReplacesAndReads) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a");
  write_atomically(path, "one");
  EXPECT_EQ(read_whole(path), "one");
  const std::string binary("\0two\n\xff", 6);
  write_atomically(path, binary);
  EXPECT_EQ(read_whole(path), binary);
  write_atomically(path, std::string(3'000'000, 'z'));
  EXPECT_EQ(read_whole(path), std::string(3'000'000, 'z'));
  write_atomically(path, "");
  EXPECT_EQ(read_whole(path), "");
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(AtomicFile, NamesWhatCannotBeWrittenOrRead) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.file("folder"));
  expect_cannot_write(error_of([&] { write_atomically(folder.file("folder"), "x"); }), folder.file("folder"),
                      "Is a directory");
  expect_cannot_write(error_of([&] { write_tensor(folder.file("folder"), 1); }), folder.file("folder"),
                      "Is a directory");
  expect_cannot_write(error_of([&] { write_atomically(folder.file("no/a"), "x"); }), folder.file("no/a"),
                      "No such file");
  EXPECT_EQ(folder.entries(), 1u);
  for (const std::string& path : {folder.file("absent"), folder.file("folder")}) {
    const auto error = error_of([&] { read_whole(path); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ExitCode::bad_input);
    EXPECT_NE(std::string(error->what()).find(path), std::string::npos);
  }
}

TEST(AtomicFile, FollowsLinksToWhatTheyLeadTo) {
  const TemporaryFolder folder;
  write_atomically(folder.file("real"), "old");
  std::filesystem::create_directory(folder.file("sub"));
  std::filesystem::create_symlink("../real", folder.file("sub/near"));
  std::filesystem::create_symlink(folder.file("sub/near"), folder.file("far"));
  write_atomically(folder.file("far"), "new");
  EXPECT_EQ(get(folder.file("real")), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder.file("far")));
  EXPECT_TRUE(std::filesystem::is_symlink(folder.file("sub/near")));
  std::filesystem::create_symlink("made", folder.file("dangling"));
  write_atomically(folder.file("dangling"), "x");
  EXPECT_EQ(get(folder.file("made")), "x");
  EXPECT_TRUE(std::filesystem::is_symlink(folder.file("dangling")));
  std::filesystem::create_symlink("loop", folder.file("loop"));
  expect_cannot_write(error_of([&] { write_atomically(folder.file("loop"), "x"); }), folder.file("loop"), "symbolic");
  std::filesystem::create_directory_symlink("sub", folder.file("to-folder"));
  expect_cannot_write(error_of([&] { write_atomically(folder.file("to-folder"), "x"); }), folder.file("to-folder"),
                      "Is a directory");
  EXPECT_EQ(folder.entries(), 7u);
}

// As root /dev/null itself would be replaced: a device of the same numbers stands for it.
TEST(AtomicFile, DevicesAndPipesAreWrittenTo) {
  const TemporaryFolder folder;
  const std::string pipe = folder.file("pipe"), device = folder.file("null");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  std::string arrived;
  std::thread reader([&] { arrived = get(pipe); });
  write_atomically(pipe, "through");
  reader.join();
  EXPECT_EQ(arrived, "through");
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  write_tensor("/dev/null", 10);
  if (mknod(device.c_str(), S_IFCHR | 0600, makedev(1, 3)) != 0) GTEST_SKIP() << "devices are root's to make";
  write_atomically(device, "x");
  write_tensor(device, 10);
  EXPECT_TRUE(std::filesystem::is_character_file(device));
  EXPECT_EQ(folder.entries(), 2u);
}

// What /dev/stdout leads to is open already: its name is not replaced under whoever else writes there.
TEST(AtomicFile, OpenDescriptorsAreWrittenTo) {
  const TemporaryFolder folder;
  write_atomically(folder.file("out"), "before ");
  const int file = open(folder.file("out").c_str(), O_WRONLY | O_APPEND);
  ASSERT_GE(file, 0);
  write_atomically(message("/proc/self/fd/", file), "x ");
  std::filesystem::create_symlink(message("/proc/self/fd/", file), folder.file("stdout"));
  write_atomically(folder.file("stdout"), "y");
  close(file);
  EXPECT_EQ(get(folder.file("out")), "before x y");
}

TEST(AtomicFile, ReadsRegularFilesOfABoundedSize) {
  const TemporaryFolder folder;
  const auto refused = [](const std::string& path, const std::string& why) {
    const auto error = error_of([&] { read_whole(path); });
    ASSERT_TRUE(error) << path;
    EXPECT_EQ(error->code(), ExitCode::bad_input);
    EXPECT_NE(std::string(error->what()).find(why), std::string::npos) << error->what();
  };
  ASSERT_EQ(mkfifo(folder.file("pipe").c_str(), 0600), 0);
  refused(folder.file("pipe"), "not a regular file");
  refused("/dev/zero", "not a regular file");
  put(folder.file("sparse"), "");
  std::filesystem::resize_file(folder.file("sparse"), uint64_t{20} << 30);
  refused(folder.file("sparse"), "20480 MiB");
  put(folder.file("few"), "12345");
  EXPECT_EQ(read_whole(folder.file("few"), 5), "12345");
  EXPECT_TRUE(error_of([&] { read_whole(folder.file("few"), 4); }));
  std::filesystem::create_symlink("few", folder.file("link"));
  EXPECT_EQ(read_whole(folder.file("link")), "12345");
  EXPECT_FALSE(read_whole("/proc/self/stat").empty()) << "it tells no size";
}

TEST(AtomicFile, JsonHasADepth) {
  const TemporaryFolder folder;
  put(folder.file("deep"), std::string(10'000'000, '['));
  const auto error = error_of([&] { read_json(folder.file("deep")); });
  ASSERT_TRUE(error);
  EXPECT_NE(std::string(error->what()).find("nested"), std::string::npos) << error->what();
  put(folder.file("text"), "{\"" + std::string(1000, '[') + "\\\"[\": [1]}");
  EXPECT_TRUE(read_json(folder.file("text")).is_object());
  put(folder.file("none"), "nothing");
  EXPECT_TRUE(read_json(folder.file("none")).is_discarded());
}

TEST(AtomicFile, AbandonedWriterLeavesTheOldFile) {
  const TemporaryFolder folder;
  const std::string path = folder.file("w.safetensors");
  write_atomically(path, "old");
  {
    SafetensorsWriter writer(path, {{"a", "U8", {4}}});
    writer.write("a", bytes_of("1234"));
  }
  EXPECT_EQ(get(path), "old");
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(AtomicFile, WritersAtOnceLeaveOneWholeFile) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a");
  std::vector<std::thread> writers;
  for (char c = 'a'; c < 'e'; ++c) {
    writers.emplace_back([&path, c] {
      for (int i = 0; i < 20; ++i) write_atomically(path, std::string(100'000, c));
    });
  }
  for (int i = 0; i < 50; ++i) {
    if (!std::filesystem::exists(path)) continue;
    const std::string content = read_whole(path);
    EXPECT_EQ(content, std::string(100'000, content.empty() ? '?' : content[0]));
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(AtomicFile, FullDisk) {
  const TemporaryFolder folder;
  const std::string disk = folder.file("disk");
  std::filesystem::create_directory(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "a small disk needs root to mount a tmpfs: " << std::strerror(errno);
  }
  const struct Mount {  // taken away however the test ends, or the folder could not be removed
    std::string disk;
    ~Mount() { umount2(disk.c_str(), MNT_DETACH); }
  } mounted{disk};
  const std::string path = disk + "/w.safetensors", small = disk + "/small";
  write_tensor(path, 1000);
  const std::string before = get(path);
  expect_cannot_write(error_of([&] { write_tensor(path, 4'000'000); }), path, "No space left on device");
  expect_cannot_write(error_of([&] { write_atomically(small, std::string(4'000'000, 'x')); }), small, "No space left");
  EXPECT_EQ(get(path), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(disk), {}), 1);  // the temporaries are gone
  write_atomically(small, "fits again");
  EXPECT_EQ(read_whole(small), "fits again");
}

TEST(AtomicFile, FileSizeLimit) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a");
  write_atomically(path, "old");
  rlimit old_limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{100'000, old_limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  // The first 100,000 bytes fit: a short write, then the error.
  const auto error = error_of([&] { write_atomically(path, std::string(150'000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_handler);
  expect_cannot_write(error, path, "File too large");
  EXPECT_EQ(get(path), "old");
  EXPECT_EQ(folder.entries(), 1u);
}

}  // namespace
}  // namespace interlock
