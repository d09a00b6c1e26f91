// What doctor finds out, where the truth is known.
#include "launch/checks/checks.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "launch/supervisor/mpirun_command.h"
#include "launch/supervisor/short_child.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using Status = Check::Status;

// A variable of the environment as long as it lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, value.c_str(), 1);
  }
  ~Variable() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

// A program in a folder of its own.
class StandIn {
 public:
  StandIn(const std::string& name, const std::string& script) {
    char pattern[] = "/tmp/interlock-checks-XXXXXX";
    folder = mkdtemp(pattern);
    path = folder + "/" + name;
    std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  }
  ~StandIn() { std::filesystem::remove_all(folder); }
  std::string folder, path;
};

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text) {
    char name[] = "/tmp/interlock-checks-XXXXXX";
    close(mkstemp(name));
    path = name;
    std::ofstream(path) << text;
  }
  ~TemporaryFile() { std::filesystem::remove(path); }
  std::string path;
};

TEST(Checks, AChildThatHangsIsEndedWithItsOwnChildren) {
  const ChildEnd end = run_in_child(
      [] {
        [[maybe_unused]] const ssize_t written = write(STDOUT_FILENO, "begun", 5);
        fork();
        for (;;) pause();
      },
      seconds(1));
  EXPECT_FALSE(end.in_time);
  EXPECT_EQ(end.output, "begun");
  EXPECT_EQ(end.code, 128 + SIGKILL);
}

TEST(Checks, AChildsEndIsSeen) {
  const ChildEnd code = run_in_child([] { _exit(7); }, seconds(10));
  EXPECT_TRUE(code.in_time);
  EXPECT_EQ(code.code, 7);
  const ChildEnd signal = run_in_child([] { abort(); }, seconds(10));
  EXPECT_TRUE(signal.in_time);
  EXPECT_EQ(signal.code, 128 + SIGABRT);
  const ChildEnd thrown = run_in_child([] { throw Error(ExitCode::config, "why"); }, seconds(10));
  EXPECT_THAT(thrown.output, HasSubstr("failed: why"));
}

TEST(Checks, MpiAndMpirunAreFound) {
  const Check mpi = check_mpi();
  EXPECT_EQ(mpi.status, Status::ok) << mpi.found;
  EXPECT_THAT(mpi.found, HasSubstr("MPI_THREAD_"));
  const Check mpirun = check_mpirun();
  EXPECT_EQ(mpirun.status, Status::ok) << mpirun.found;
  EXPECT_THAT(mpirun.found, HasSubstr("starts processes"));
}

// A second mpirun inside of one is refused by Open MPI, which is no fault of the machine.
TEST(Checks, UnderALauncherMpirunIsNotTried) {
  const Variable rank("OMPI_COMM_WORLD_RANK", "0"), size("OMPI_COMM_WORLD_SIZE", "2");
  const StandIn mpirun("mpirun", "[ \"$1\" = --version ] || exit 1\necho 'mpirun (Open MPI) 4.1.4'");
  const Variable path("PATH", mpirun.folder + ":" + std::getenv("PATH"));
  const Check check = check_mpirun();
  EXPECT_EQ(check.status, Status::ok) << check.found << check.advice;
  EXPECT_THAT(check.found, HasSubstr("`doctor --cluster`"));
  const Variable nowhere("PATH", "/nowhere");  // as on nodes of a site that has srun alone
  EXPECT_EQ(check_mpirun().status, Status::warn);
}

TEST(Checks, WithoutMpirunTheAdviceNamesThePackage) {
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nowhere", 1);
  const Check check = check_mpirun();
  setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(check.status, Status::fail);
  EXPECT_THAT(check.advice, HasSubstr("openmpi-bin"));
}

// The first lines of MPICH 4.0.2's and Intel MPI 2021's `mpirun --version`.
TEST(Checks, AnMpirunOfAnotherMpiFailsAndIsNamed) {
  for (const auto& [says, name] : {std::pair{"HYDRA build details:", "MPICH"},
                                   {"Intel(R) MPI Library for Linux* OS, Version 2021.11", "Intel MPI"}}) {
    const StandIn mpirun("mpirun", std::string("echo '") + says + "'");
    const Variable path("PATH", mpirun.folder + ":" + std::getenv("PATH"));
    const Check check = check_mpirun();
    EXPECT_EQ(check.status, Status::fail);
    EXPECT_THAT(check.found, HasSubstr(says));
    EXPECT_THAT(check.advice, HasSubstr(std::string("the mpirun of ") + name));
    EXPECT_THAT(check.advice, HasSubstr("linked with Open MPI"));
  }
}

// Where Open MPI 4.1.4 ends with "stack smashing detected"; other versions were not tried, and are.
TEST(Checks, AHostNameThatOpenMpiCrashesOnIsToldBeforeItDoes) {
  const std::string fits(56, 'h'), too_long(57, 'h'), four = "mpirun (Open MPI) 4.1.4",
                                                      five = "mpirun (Open MPI) 5.0.3";
  EXPECT_EQ(refusal_of_host(four, fits), "");
  EXPECT_EQ(refusal_of_host(five, too_long), "");
  EXPECT_THAT(refusal_of_host(four, too_long),
              AllOf(HasSubstr(too_long), HasSubstr("57 letters"), HasSubstr("hostname NAME")));
}

TEST(Checks, InASlurmStepWithoutPmixMpiFailsWithTheSentenceOfTheProgram) {
  const Variable step("SLURM_STEP_ID", "0"), task("SLURM_PROCID", "0"), tasks("SLURM_STEP_NUM_TASKS", "1");
  const Check check = check_mpi();
  EXPECT_EQ(check.status, Status::fail);
  EXPECT_THAT(check.found, HasSubstr("srun --mpi=pmix"));
  EXPECT_EQ(check.found.find('\n'), std::string::npos);
}

TEST(Checks, AFolderThatCannotBeWrittenFails) {
  EXPECT_EQ(check_disk("disk", "/no/such/folder").status, Status::fail);
  EXPECT_EQ(check_disk("disk", "/proc").status, Status::fail);
  EXPECT_NE(check_disk("disk", "/tmp").found.find("free in /tmp"), std::string::npos);
}

TEST(Checks, HostNamesAreResolved) {
  const Check here = check_host("127.0.0.1");
  EXPECT_EQ(here.status, Status::ok);
  EXPECT_EQ(here.found, "127.0.0.1");
  const Check nowhere = check_host("no host has blanks");  // refused without asking a name server
  EXPECT_EQ(nowhere.status, Status::fail);
  EXPECT_THAT(nowhere.found, HasSubstr("failed"));
}

TEST(Checks, AHostfileGivesItsNames) {
  const TemporaryFile file("# two nodes\nnode1 slots=4\n\n  127.0.0.1   # here\n");
  EXPECT_THAT(hosts_in(file.path), ElementsAre("node1", "127.0.0.1"));
  const TemporaryFile one("127.0.0.1 slots=2\n");
  const auto checks = check_hostfile(one.path);
  ASSERT_EQ(checks.size(), 1u);
  EXPECT_EQ(checks[0].status, Status::ok);
  const TemporaryFile wrong("127.0.0.1 slots=2 user=root\n");  // which this mpirun does not know
  EXPECT_EQ(check_hostfile(wrong.path).back().status, Status::fail);
  EXPECT_THAT(check_hostfile(wrong.path).back().found, HasSubstr("line number 1 on token 3"));
  const TemporaryFile empty("# nothing\n");
  EXPECT_EQ(check_hostfile(empty.path).at(0).status, Status::fail);
  try {
    hosts_in("/no/such/file");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
  }
}

// 127.0.0.2 is no name of this host, so it counts as another.
TEST(Checks, HostsThatTheRemoteShellDoesNotGetIntoFail) {
  const TemporaryFile file("127.0.0.2 slots=2\n");
  const StandIn refused("agent", "echo 'Permission denied (publickey).' >&2; exit 255");
  {
    const Variable agent("OMPI_MCA_plm_rsh_agent", refused.path);
    const Check check = check_hostfile(file.path).at(0);
    EXPECT_EQ(check.status, Status::fail);
    EXPECT_THAT(check.found, HasSubstr("ended with 255: Permission denied"));
    EXPECT_THAT(check.advice, HasSubstr("ssh -o BatchMode=yes 127.0.0.2 true"));
  }
  const StandIn works("agent", "[ \"$1\" = 127.0.0.2 ] && [ \"$2\" = true ]");
  const Variable agent("OMPI_MCA_plm_rsh_agent", works.path);
  const Check check = check_hostfile(file.path).at(0);
  EXPECT_EQ(check.status, Status::ok) << check.found;
  EXPECT_THAT(check.found, HasSubstr("gets in"));
  // A user stands before the host for the shell, and not for the name server.
  const StandIn as_user("agent", "[ \"$1\" = me@127.0.0.2 ] && [ \"$2\" = true ]");
  const Variable of_user("OMPI_MCA_plm_rsh_agent", as_user.path);
  const TemporaryFile with_user("me@127.0.0.2 slots=2\n");
  EXPECT_EQ(check_hostfile(with_user.path).at(0).status, Status::ok) << check_hostfile(with_user.path).at(0).found;
}

TEST(Checks, SshIsAskedWithoutQuestions) {
  const StandIn ssh("ssh", "echo \"$@\"; exit 255");
  const Variable path("PATH", ssh.folder + ":" + std::getenv("PATH"));
  unsetenv("OMPI_MCA_plm_rsh_agent");
  const TemporaryFile file("127.0.0.2 slots=2\n");
  const Check check = check_hostfile(file.path).at(0);
  EXPECT_EQ(check.status, Status::fail);
  EXPECT_THAT(check.found, HasSubstr("-o BatchMode=yes -o ConnectTimeout=8 127.0.0.2 true"));
}

TEST(Checks, TheExampleHostfileOfTheTemplatesIsRead) {
  EXPECT_THAT(hosts_in(INTERLOCK_SOURCE "/launch/cluster/hostfile.example"), ElementsAre("node1", "node2"));
}

}  // namespace
}  // namespace interlock
