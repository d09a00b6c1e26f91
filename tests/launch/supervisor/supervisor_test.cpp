// The supervisor as a process, over real mpirun: exit codes, the reason printed once and last, and nothing left
// running.
#include "launch/supervisor/supervisor.h"

#include <gmock/gmock.h>

#include "tests/launch/supervisor/supervised_launch.h"

namespace interlock::test {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

// The first Ctrl-C, and the answer to it.
void ask_by_ctrl_c(Launch& run) {
  kill(run.pid, SIGINT);
  ASSERT_TRUE(run.read_until([&] { return run.errors.find("Ctrl-C again ends them at once\n") != std::string::npos; }))
      << run.errors;
}

TEST(Supervisor, ARunThatEndsWellPassesThroughUntouched) {
  Launch run(2, {"environment"});
  EXPECT_EQ(run.end(), 0) << run.errors;
  EXPECT_EQ(run.output, "INTERLOCK_SUPERVISED=1\nINTERLOCK_TERMINAL=\nOMP_NUM_THREADS=3\nMKL_NUM_THREADS=3\n");
  EXPECT_EQ(run.errors, "a line on stderr\nand half a line");
}

// One that cannot redraw a line is as good as a file.
TEST(Supervisor, RanksLearnOfATerminal) {
  Launch dumb(1, {"environment"}, {{"TERM", "dumb"}}, true);
  EXPECT_EQ(dumb.end(), 0) << dumb.errors;
  EXPECT_THAT(dumb.output, HasSubstr("INTERLOCK_TERMINAL=\n"));
  Launch run(1, {"environment"}, {{"TERM", "xterm"}}, true);
  EXPECT_EQ(run.end(), 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("INTERLOCK_TERMINAL=1\n"));
}

TEST(Supervisor, TheCodeOfTheFailingRankComesBack) {
  for (const int code : {2, 65, 73}) {
    Launch run(4, {"exit", "2", std::to_string(code)});
    EXPECT_EQ(run.end(), code) << run.errors;
    EXPECT_THAT(run.errors, EndsWith("interlock: error: rank 2 ended with exit code " + std::to_string(code) +
                                     " and no word why\n"));
    EXPECT_EQ(occurrences(run.errors, "rank 2"), 1u) << run.errors;
    EXPECT_TRUE(all_gone(run.tag));
  }
}

TEST(Supervisor, AnyOtherCodeIsGaveUp) {
  Launch run(2, {"exit", "1", "1"});
  EXPECT_EQ(run.end(), 70) << run.errors;
  EXPECT_THAT(run.errors, EndsWith("rank 1 ended with exit code 1 and no word why\n"));
}

TEST(Supervisor, AKilledRankIsNamedWithItsSignal) {
  for (const auto& [number, name] : {std::pair{SIGKILL, "SIGKILL"}, {SIGSEGV, "SIGSEGV"}, {SIGABRT, "SIGABRT"}}) {
    Launch run(4, {"signal", "2", std::to_string(number)});
    EXPECT_EQ(run.end(), 71) << run.errors;
    const size_t last_line = run.errors.rfind('\n', run.errors.size() - 2);
    const std::string reason = run.errors.substr(last_line == std::string::npos ? 0 : last_line + 1);
    EXPECT_THAT(reason, HasSubstr("interlock: error: rank 2"));
    EXPECT_THAT(reason, HasSubstr("signal " + std::to_string(number) + " (" + name + ")"));
    EXPECT_THAT(run.errors, Not(HasSubstr("-----"))) << "mpirun's banners are kept back";
    EXPECT_TRUE(all_gone(run.tag));
  }
}

TEST(Supervisor, ARanksReasonIsPrintedOnceAndLast) {
  Launch run(4, {"error", "2", "73"});
  EXPECT_EQ(run.end(), 73) << run.errors;
  EXPECT_THAT(run.errors, EndsWith("interlock: error: rank 2: the disk is full\n  31 bytes were written\n"));
  EXPECT_THAT(run.errors, testing::StartsWith("ordinary line\n"));
  EXPECT_EQ(occurrences(run.errors, "the disk is full"), 1u) << run.errors;
  EXPECT_TRUE(all_gone(run.tag));
}

TEST(Supervisor, OfManyReasonsOneIsPrinted) {
  Launch run(4, {"all fail"});
  EXPECT_EQ(run.end(), 64) << run.errors;
  EXPECT_EQ(occurrences(run.errors, "unknown key"), 1u) << run.errors;
  EXPECT_THAT(run.errors, EndsWith(": unknown key\n  did you mean x?\n"));
}

TEST(Supervisor, AStatusLineIsForwardedBeforeItEndsAndAnErrorBehindItIsFound) {
  Launch run(2, {"status"});
  EXPECT_TRUE(run.read_until([&] { return run.errors == "\rstep 7 of 9"; })) << run.errors;
  EXPECT_EQ(run.end(), 65) << run.errors;
  EXPECT_EQ(run.errors, "\rstep 7 of 9\ninterlock: error: rank 1: no more data\n");
}

TEST(Supervisor, ARankThatSaysWhyButDoesNotEndIsEnded) {
  Launch run(3, {"stuck", "1"});
  EXPECT_EQ(run.end(), 70) << run.errors;
  EXPECT_THAT(run.errors, EndsWith("interlock: error: rank 1: the disk is full\n  31 bytes were written\n"));
  EXPECT_TRUE(all_gone(run.tag));
}

// Ctrl-C only when it is pressed twice: the first asks for a checkpoint (stop_request_test).
TEST(Supervisor, SignalsEndEverythingAtOnce) {
  for (const auto& [number, name] : {std::pair{SIGINT, "SIGINT"}, {SIGHUP, "SIGHUP"}}) {
    Launch run(4, {"hang", "9"});
    ASSERT_TRUE(wait_for_ranks(run, 4));
    if (number == SIGINT) ask_by_ctrl_c(run);
    kill(run.pid, number);
    EXPECT_EQ(run.end(), 128 + number) << run.errors;
    EXPECT_THAT(run.errors, EndsWith(std::string("interlock: stopped by ") + name + "; no rank is left running\n"));
    EXPECT_TRUE(processes_with(run.tag).empty()) << "left behind by " << name;
  }
}

TEST(Supervisor, StubbornRanksEndToo) {
  Launch run(4, {"stubborn", "9"});
  ASSERT_TRUE(wait_for_ranks(run, 4));
  ask_by_ctrl_c(run);
  kill(run.pid, SIGINT);
  EXPECT_EQ(run.end(), 130) << run.errors;
  EXPECT_TRUE(processes_with(run.tag).empty());
}

TEST(Supervisor, AStoppedMpirunDoesNotKeepUsFromEnding) {
  Launch run(2, {"hang", "9"});
  ASSERT_TRUE(wait_for_ranks(run, 2));
  kill(run.mpirun(), SIGSTOP);
  ask_by_ctrl_c(run);
  kill(run.pid, SIGINT);
  EXPECT_EQ(run.end(), 130) << run.errors;
  EXPECT_TRUE(processes_with(run.tag).empty());
}

TEST(Supervisor, NoRankOutlivesASupervisorThatIsKilled) {
  Launch run(4, {"hang", "9"});
  ASSERT_TRUE(wait_for_ranks(run, 4));
  kill(run.pid, SIGKILL);
  run.end();
  EXPECT_TRUE(all_gone(run.tag));
}

TEST(Supervisor, NoRankOutlivesAnMpirunThatIsKilled) {
  Launch run(4, {"stubborn", "9"});
  ASSERT_TRUE(wait_for_ranks(run, 4));
  kill(run.mpirun(), SIGKILL);
  EXPECT_EQ(run.end(), 71) << run.errors;
  EXPECT_THAT(run.errors, HasSubstr("mpirun ended with signal 9 and no rank said why"));
  EXPECT_TRUE(processes_with(run.tag).empty());
}

TEST(Supervisor, WithoutMpirunTheAdviceIsToInstallIt) {
  Launch run(2, {"environment"}, {{"PATH", "/nowhere"}});
  EXPECT_EQ(run.end(), 64);
  EXPECT_THAT(run.errors, HasSubstr("no mpirun on PATH"));
  EXPECT_THAT(run.errors, HasSubstr("apt install openmpi-bin"));
}

// A job of one task, as salloc --ntasks=1 --cpus-per-task=2 makes it: mpirun counts its tasks as slots.
TEST(Supervisor, RanksOfOneMachineNeedNoSlots) {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  Launch run(2, {"environment"},
             {{"SLURM_JOBID", "1"},
              {"SLURM_JOB_ID", "1"},
              {"SLURM_NODELIST", host},
              {"SLURM_JOB_NUM_NODES", "1"},
              {"SLURM_TASKS_PER_NODE", "1"}});
  EXPECT_EQ(run.end(), 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("INTERLOCK_SUPERVISED=1\n"));
}

// Programs of a PATH of their own.
class StandIns {
 public:
  StandIns() : folder(std::filesystem::path(testing::TempDir()) / run_tag()) {
    std::filesystem::create_directories(folder);
  }
  ~StandIns() { std::filesystem::remove_all(folder); }
  void add(const std::string& name, const std::string& script) const {
    std::ofstream(folder / name) << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(folder / name, std::filesystem::perms::owner_all);
  }
  void link(const std::string& name) const {
    for (const char* from : {"/usr/bin/", "/bin/"})
      if (std::filesystem::exists(from + name)) return std::filesystem::create_symlink(from + name, folder / name);
  }
  Environment first() const { return {{"PATH", folder.string() + ":" + std::getenv("PATH")}}; }
  const std::filesystem::path folder;
};
const std::string is_open_mpi = "if [ \"$1\" = --version ]; then echo 'mpirun (Open MPI) 4.1.4'; exit; fi\n";

// As a rank leaves it that is killed while mpirun starts it: it can be started again.
TEST(Supervisor, ASignalsCodeWithoutABannerIsALostRank) {
  const StandIns programs;
  programs.add("mpirun", is_open_mpi + "exit 137");
  Launch run(2, {"environment"}, programs.first());
  EXPECT_EQ(run.end(), 71) << run.errors;
  EXPECT_THAT(run.errors, EndsWith("interlock: error: a rank was ended by SIGKILL before it could say anything\n"));
}

// mpirun's own code, as of a host whose name nobody knows: no rank was lost, and another start would end alike.
TEST(Supervisor, AnMpirunThatCouldNotStartIsNoLostRank) {
  const StandIns programs;
  programs.add("mpirun", is_open_mpi + "echo 'ssh: Could not resolve hostname nowhere' >&2; exit 255");
  Launch run(2, {"environment"}, programs.first());
  EXPECT_EQ(run.end(), 70) << run.errors;
  EXPECT_THAT(run.errors, testing::AllOf(HasSubstr("Could not resolve hostname nowhere"), HasSubstr("exit code 255"),
                                         HasSubstr("no rank said why")));
}

// The ranks show that they are there, so an mpirun that starts none is no run that went well.
TEST(Supervisor, AnMpirunThatStartsNothingIsAFailure) {
  const StandIns programs;
  programs.add("mpirun", is_open_mpi + "exit 0");
  Launch run(2, {"environment"}, programs.first());
  EXPECT_EQ(run.end(), 64) << run.errors;
  EXPECT_THAT(run.errors, HasSubstr("none of the 2 ranks came up"));
  EXPECT_THAT(run.errors, HasSubstr((programs.folder / "mpirun").string()));
  EXPECT_EQ(occurrences(run.errors, "\n"), 1u) << run.errors;
}

// It starts its copies without a word about their ranks: each would start an mpirun again. A file counts the launches.
TEST(Supervisor, ACopyThatALauncherHasStartedNeverLaunches) {
  const StandIns programs;
  const std::string count = (programs.folder / "launches").string();
  programs.add("mpirun", is_open_mpi + "echo >>" + count + "\n[ $(wc -l <" + count + ") -lt 9 ] || exit 1\n" +
                             "while [ \"${1%/launch_supervised}\" = \"$1\" ]; do shift; done\n" +
                             "program=$1; shift; \"$program\" supervise 2 \"$@\" & \"$program\" supervise 2 \"$@\"; "
                             "code=$?; wait; exit $code");
  Launch run(2, {"environment"}, programs.first());
  EXPECT_EQ(run.end(), 64) << run.errors;
  EXPECT_THAT(run.errors, HasSubstr("started by the mpirun of another `interlock train`"));
  std::ifstream file(count);
  EXPECT_EQ(std::count(std::istreambuf_iterator<char>(file), {}, '\n'), 1);
}

// mpirun wants a way to other hosts even where it needs none.
TEST(Supervisor, RanksOfOneMachineNeedNoSsh) {
  const StandIns programs;
  for (const char* name : {"mpirun", "orted"}) programs.link(name);
  if (!std::filesystem::exists(programs.folder / "mpirun")) GTEST_SKIP() << "mpirun is neither in /usr/bin nor in /bin";
  Launch run(2, {"environment"}, {{"PATH", programs.folder.string()}});
  EXPECT_EQ(run.end(), 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("INTERLOCK_SUPERVISED=1\n"));
}

// As the file of a cluster has it whose nodes give one slot each: on this machine its processors count.
TEST(Supervisor, RanksOfOneMachineNeedNoSlotsOfAHostfile) {
  const StandIns programs;
  std::ofstream(programs.folder / "hostfile") << "localhost slots=1\n";
  Launch run(2, {"environment"}, {{"OMPI_MCA_orte_default_hostfile", (programs.folder / "hostfile").string()}});
  EXPECT_EQ(run.end(), 0) << run.errors;
}

TEST(Supervisor, AnMpirunOfAnotherMpiIsNamedAndStartsNothing) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / run_tag();
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "mpirun") << "#!/bin/sh\n[ \"$1\" = --version ] || touch " << (folder / "started").string()
                                   << "\necho 'HYDRA build details:'\n";
  std::filesystem::permissions(folder / "mpirun", std::filesystem::perms::owner_all);
  Launch run(2, {"environment"}, {{"PATH", folder.string() + ":" + std::getenv("PATH")}});
  EXPECT_EQ(run.end(), 64);
  EXPECT_THAT(run.errors, HasSubstr("is that of MPICH, but this program is linked with Open MPI"));
  EXPECT_EQ(occurrences(run.errors, "\n"), 1u) << run.errors;
  EXPECT_FALSE(std::filesystem::exists(folder / "started"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace interlock::test
