// How MPI ranks end: each case is a real mpirun of four, which must be over within its ten seconds.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <cstdio>
#include <string>

namespace {

struct Ending {
  int code;
  std::string output;
};

Ending end_ranks(const std::string& how) {
  // 124 would be the code of `timeout`.
  const std::string line =
      "INTERLOCK_TEST_SECONDS=10 " INTERLOCK_MPIRUN " 4 " INTERLOCK_ENDING_RANKS " '" + how + "' 2>&1";
  std::FILE* pipe = popen(line.c_str(), "r");
  std::string output;
  char part[4096];
  while (const size_t read = std::fread(part, 1, sizeof part, pipe)) output.append(part, read);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output};
}

TEST(Ending, AllRanksEndWellWithAReceiveOpen) {
  const Ending ending = end_ranks("well");
  EXPECT_EQ(ending.code, 0) << ending.output;
  EXPECT_EQ(ending.output, "");
}

TEST(Ending, AbortEndsRanksThatWaitAndKeepsWhatWasPrinted) {
  const Ending ending = end_ranks("abort");
  EXPECT_EQ(ending.code, 73) << ending.output;
  EXPECT_THAT(ending.output, testing::HasSubstr("interlock: error: rank 2: disk is full\n"));
}

TEST(Ending, AnErrorThatUnwindsTheTransportEndsAllWithItsCode) {
  const Ending ending = end_ranks("throw");
  EXPECT_EQ(ending.code, 65) << ending.output;
  EXPECT_THAT(ending.output, testing::HasSubstr("interlock: error: rank 2: file is corrupt\n"));
}

TEST(Ending, AKilledRankEndsAll) { EXPECT_EQ(end_ranks("kill").code, 128 + 9); }

TEST(Ending, AKilledRankEndsACollective) { EXPECT_EQ(end_ranks("kill in a collective").code, 128 + 9); }

}  // namespace
