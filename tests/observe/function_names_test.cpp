#include "runtime/observe/function_names.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "runtime/core/error.h"
#include "tests/observe/temporary_folder.h"

namespace interlock {
namespace {

[[gnu::noinline]] int numbered(const std::vector<int>& numbers) {
  asm volatile("");  // a call of its own
  return numbers.empty() ? 0 : numbers.front();
}

uint64_t offset_of(int (*function)(const std::vector<int>&)) {
  Dl_info where{};
  EXPECT_NE(dladdr(reinterpret_cast<void*>(function), &where), 0);
  return reinterpret_cast<uint64_t>(function) - reinterpret_cast<uint64_t>(where.dli_fbase);
}

std::string own_program() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

TEST(FunctionNames, AFunctionByAnyPlaceInIt) {
  EXPECT_EQ(numbered({3}), 3);
  const FunctionNames names(own_program());
  const uint64_t begin = offset_of(numbered);
  EXPECT_EQ(names.at(begin), "interlock::numbered");
  EXPECT_EQ(names.at(begin + 1), "interlock::numbered");
  EXPECT_NE(names.at(begin - 1), "interlock::numbered");
  EXPECT_EQ(names.at(0), std::nullopt);
  EXPECT_EQ(names.at(~uint64_t{0}), std::nullopt);
}

TEST(FunctionNames, LinesOfAStackNameOurFunctions) {
  const std::string program = own_program(), name = program.substr(program.rfind('/') + 1);
  const FunctionNames names(program);
  std::ostringstream returns_to;
  returns_to << std::hex << offset_of(numbered) + 1;
  const auto line = [&](const std::string& inside) { return program + "(" + inside + ")[0x55d0]"; };
  EXPECT_EQ(with_function_name(line("+0x" + returns_to.str()), program, names), name + "(interlock::numbered)[0x55d0]");
  for (const std::string& other :
       {line("+0x"), line("+0xzz"), line("main+0x12"), line("+0x1"), std::string("(+0x1234)"),
        "/lib/libc.so.6(+0x" + returns_to.str() + ")[0x7f]", program + "(+0x12"})
    EXPECT_EQ(with_function_name(other, program, names), other);
}

TEST(FunctionNames, NothingIsNamedWhereNoTableIs) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/file";
  EXPECT_EQ(FunctionNames(path).at(1), std::nullopt);
  std::ifstream whole(own_program(), std::ios::binary);
  std::string header(4096, '\0');
  whole.read(header.data(), static_cast<std::streamsize>(header.size()));
  for (const std::string& content : {std::string("no ELF"), header, header.substr(0, 20)}) {
    std::ofstream(path, std::ios::binary) << content;
    EXPECT_EQ(FunctionNames(path).at(offset_of(numbered)), std::nullopt);
  }
}

}  // namespace
}  // namespace interlock
