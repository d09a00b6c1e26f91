// What killed runs leave in /dev/shm, in a folder of the test.
#include "launch/supervisor/shared_segments.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "tests/observe/temporary_folder.h"

namespace interlock::test {
namespace {

namespace fs = std::filesystem;

std::string segment(const TemporaryFolder& folder, const std::string& name, std::chrono::seconds age) {
  const std::string path = folder / name;
  std::ofstream(path) << std::string(8192, 'x');
  fs::last_write_time(path, fs::file_time_type::clock::now() - age);
  return path;
}

std::string of_host(const std::string& number) {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  return std::string("vader_segment.") + host + ".0.15c40001." + number;
}

TEST(SharedSegments, OnlyThoseThatNobodyHasAreAbandoned) {
  const TemporaryFolder folder;
  const std::chrono::seconds old{120};
  const std::string left = segment(folder, of_host("0"), old), mapped = segment(folder, of_host("1"), old),
                    young = segment(folder, of_host("2"), std::chrono::seconds(5)),
                    foreign = segment(folder, "another.segment", old),
                    elsewhere = segment(folder, "vader_segment.a-host-elsewhere.0.15c40001.0", old);
  fs::create_symlink(foreign, folder / of_host("link"));
  const int file = ::open(mapped.c_str(), O_RDWR | O_CLOEXEC);
  void* memory = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0);
  ASSERT_NE(memory, MAP_FAILED);
  ::close(file);
  const auto found = abandoned_segments(folder.path());
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].path, left);
  EXPECT_GE(found[0].bytes, 8192);
  EXPECT_EQ(remove_segments(found), 1);
  EXPECT_FALSE(fs::exists(left));
  for (const std::string& stays : {mapped, young, foreign, elsewhere}) EXPECT_TRUE(fs::exists(stays)) << stays;
  ::munmap(memory, 4096);
  EXPECT_EQ(abandoned_segments(folder.path()).size(), 1u) << "its process has let go of it";
}

TEST(SharedSegments, NoFolderHasNone) { EXPECT_TRUE(abandoned_segments("/nowhere/at/all").empty()); }

}  // namespace
}  // namespace interlock::test
