// The supervisor as a process, over real mpirun: exit codes, the reason printed once and last, and nothing left
// running.
#include "launch/supervisor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <thread>

namespace {

using namespace std::chrono_literals;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

std::string run_tag() {
  static int count = 0;
  return "tag-" + std::to_string(getpid()) + "-" + std::to_string(++count);
}

std::vector<pid_t> processes_with(const std::string& tag) {
  std::vector<pid_t> found;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", gone)) {
    std::ifstream file(entry.path() / "cmdline");
    std::string line;
    std::getline(file, line, '\n');
    const pid_t pid = static_cast<pid_t>(std::atol(entry.path().filename().c_str()));
    if (pid > 0 && line.find(tag) != std::string::npos) found.push_back(pid);
  }
  return found;
}

// One supervised run. It is ended by force after 10 seconds, the limit within which any failure must be over; the exit
// code is then -9.
class Launch {
 public:
  Launch(int ranks, std::vector<std::string> mode, const std::string& path = "", bool terminal = false) {
    std::vector<std::string> words{INTERLOCK_SUPERVISED_PROGRAM, "supervise", std::to_string(ranks)};
    words.insert(words.end(), mode.begin(), mode.end());
    words.push_back(tag);
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    int out[2], err[2];
    EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
    winsize size{24, 77, 0, 0};
    EXPECT_EQ(terminal ? openpty(&err[0], &err[1], nullptr, nullptr, &size) : pipe2(err, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
      dup2(out[1], STDOUT_FILENO);
      dup2(err[1], STDERR_FILENO);
      if (!path.empty()) setenv("PATH", path.c_str(), 1);
      for (int other = 3; other < 64; ++other) close(other);
      execv(arguments[0], arguments.data());
      _exit(99);
    }
    close(out[1]);
    close(err[1]);
    out_ = out[0];
    err_ = err[0];
  }
  ~Launch() {
    for (const pid_t left : processes_with(tag)) kill(left, SIGKILL);
    close(out_);
    close(err_);
  }
  Launch(const Launch&) = delete;

  // Reads until `ready` says so.
  bool read_until(const std::function<bool()>& ready) {
    const auto limit = std::chrono::steady_clock::now() + 10s;
    while (!ready()) {
      if (std::chrono::steady_clock::now() > limit) return false;
      read_some();
    }
    return true;
  }

  int end() {
    int status = 0;
    const bool in_time = read_until([&] { return waitpid(pid, &status, WNOHANG) == pid; });
    if (!in_time) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
    }
    while (read_some()) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  const std::string tag = run_tag();
  std::string output, errors;
  pid_t pid = -1;

 private:
  bool read_some() {
    pollfd watched[] = {{out_, POLLIN, 0}, {err_, POLLIN, 0}};
    bool any = false;
    if (poll(watched, 2, 20) <= 0) return false;
    for (int i = 0; i < 2; ++i) {
      if (!(watched[i].revents & POLLIN)) continue;
      char part[4096];
      const ssize_t count = read(watched[i].fd, part, sizeof part);
      if (count > 0) (i == 0 ? output : errors).append(part, static_cast<size_t>(count));
      any |= count > 0;
    }
    return any;
  }

  int out_ = -1, err_ = -1;
};

size_t occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

// mpirun may need a moment to vanish after its ranks when the supervisor itself was killed.
bool all_gone(const std::string& tag) {
  for (int i = 0; i < 100; ++i) {
    if (processes_with(tag).empty()) return true;
    std::this_thread::sleep_for(50ms);
  }
  return false;
}

bool wait_for_ranks(Launch& run, size_t ranks) {
  // The supervisor and mpirun carry the tag too.
  return run.read_until([&] { return processes_with(run.tag).size() >= ranks + 2; });
}

TEST(Supervisor, ARunThatEndsWellPassesThroughUntouched) {
  Launch run(2, {"environment"});
  EXPECT_EQ(run.end(), 0) << run.errors;
  EXPECT_EQ(run.output, "INTERLOCK_SUPERVISED=1\nINTERLOCK_TERMINAL=\nOMP_NUM_THREADS=3\nMKL_NUM_THREADS=3\n");
  EXPECT_EQ(run.errors, "a line on stderr\nand half a line");
}

TEST(Supervisor, RanksLearnOfATerminal) {
  Launch run(1, {"environment"}, "", true);
  EXPECT_EQ(run.end(), 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("INTERLOCK_TERMINAL=1\n"));
}

TEST(Supervisor, TheCodeOfTheFailingRankComesBack) {
  for (const int code : {2, 65, 75}) {
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
    EXPECT_EQ(run.end(), 70) << run.errors;
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

TEST(Supervisor, SignalsEndEverything) {
  for (const auto& [number, name] : {std::pair{SIGINT, "SIGINT"}, {SIGTERM, "SIGTERM"}, {SIGHUP, "SIGHUP"}}) {
    Launch run(4, {"hang", "9"});
    ASSERT_TRUE(wait_for_ranks(run, 4));
    kill(run.pid, number);
    EXPECT_EQ(run.end(), 128 + number) << run.errors;
    EXPECT_THAT(run.errors, EndsWith(std::string("interlock: stopped by ") + name + "; no rank is left running\n"));
    EXPECT_TRUE(processes_with(run.tag).empty()) << "left behind by " << name;
  }
}

TEST(Supervisor, StubbornRanksEndToo) {
  Launch run(4, {"stubborn", "9"});
  ASSERT_TRUE(wait_for_ranks(run, 4));
  kill(run.pid, SIGINT);
  EXPECT_EQ(run.end(), 130) << run.errors;
  EXPECT_TRUE(processes_with(run.tag).empty());
}

TEST(Supervisor, AStoppedMpirunDoesNotKeepUsFromEnding) {
  Launch run(2, {"hang", "9"});
  ASSERT_TRUE(wait_for_ranks(run, 2));
  for (const pid_t pid : processes_with(run.tag)) {
    std::string name;
    std::ifstream(std::filesystem::path("/proc") / std::to_string(pid) / "comm") >> name;
    if (name.starts_with("mpirun") || name.starts_with("orterun")) kill(pid, SIGSTOP);
  }
  kill(run.pid, SIGTERM);
  EXPECT_EQ(run.end(), 143) << run.errors;
  EXPECT_TRUE(processes_with(run.tag).empty());
}

TEST(Supervisor, NoRankOutlivesASupervisorThatIsKilled) {
  Launch run(4, {"hang", "9"});
  ASSERT_TRUE(wait_for_ranks(run, 4));
  kill(run.pid, SIGKILL);
  run.end();
  EXPECT_TRUE(all_gone(run.tag));
}

TEST(Supervisor, WithoutMpirunTheAdviceIsToInstallIt) {
  Launch run(2, {"environment"}, "/nowhere");
  EXPECT_EQ(run.end(), 64);
  EXPECT_THAT(run.errors, HasSubstr("no mpirun on PATH"));
  EXPECT_THAT(run.errors, HasSubstr("apt install openmpi-bin"));
}

}  // namespace
