// Feeds every file of a corpus to a fuzz target, without libFuzzer: `replay FOLDER`. The file at which it ends is the
// last one named.
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

#include "tests/fuzz/target.h"

namespace {

// No input of a corpus is larger than some kilobytes: a parser that wants more than this believes a number in a file.
// Neither are a few kilobytes a reason for as many calls inside each other.
void limit_memory() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // these reserve terabytes
  constexpr rlim_t most = rlim_t{512} << 20;
  const rlimit limit{most, most};
  interlock::fuzz::require(setrlimit(RLIMIT_DATA, &limit) == 0, "memory can be limited");
  constexpr rlim_t most_stack = rlim_t{160} << 10;
  const rlimit stack{most_stack, RLIM_INFINITY};
  interlock::fuzz::require(setrlimit(RLIMIT_STACK, &stack) == 0, "the stack can be limited");
#endif
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  limit_memory();
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const auto& path : files) {
    std::cout << path.filename().string() << std::endl;
    std::ifstream file(path, std::ios::binary);
    const std::string read{std::istreambuf_iterator<char>(file), {}};
    const std::vector<uint8_t> bytes(read.begin(), read.end());  // of the exact size: a read beyond it is seen
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::cout << files.size() << " inputs" << std::endl;
  return files.empty() ? 1 : 0;
}
