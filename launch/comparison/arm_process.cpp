#include "launch/comparison/arm_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr auto between_looks = std::chrono::milliseconds(200);

[[noreturn]] void become(std::vector<char*>& arguments, int log, pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);  // `train` then ends with a checkpoint
  if (getppid() != parent) _exit(70);
  struct sigaction usual {};
  usual.sa_handler = SIG_DFL;
  for (const int number : {SIGINT, SIGTERM}) sigaction(number, &usual, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  execv(arguments[0], arguments.data());
  _exit(127);
}

std::string last_error_in(const std::string& log) {
  std::ifstream file(log, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}}, mark = "interlock: error: ";
  const size_t at = text.rfind(mark);
  if (at == std::string::npos) return "";
  return text.substr(at + mark.size(), text.find('\n', at) - at - mark.size());
}

class Child {
 public:
  Child(std::vector<std::string> words, int log) {
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ == 0) become(arguments, log, parent);
    if (pid_ < 0) throw Error(ExitCode::gave_up, message("cannot start ", words[0], ": ", std::strerror(errno)));
    setpgid(pid_, pid_);
  }
  ~Child() {
    if (ended_) return;
    kill(pid_, SIGTERM);  // asks it to stop; it ends its own processes
    wait();
  }
  Child(const Child&) = delete;
  bool has_ended() {
    int status = 0;
    if (!ended_ && waitpid(pid_, &status, WNOHANG) == pid_) note(status);
    return ended_;
  }
  int code() const { return code_; }

 private:
  void wait() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    note(status);
  }
  void note(int status) {
    ended_ = true;
    code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  pid_t pid_ = -1;
  bool ended_ = false;
  int code_ = 0;
};

}  // namespace

ProcessEnd run_arm_process(const std::vector<std::string>& arguments, const std::string& log,
                           const std::function<void()>& meanwhile) {
  std::vector<std::string> words{std::filesystem::read_symlink("/proc/self/exe").string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) throw Error(ExitCode::cannot_write, message(log, ": cannot be written: ", std::strerror(errno)));
  ProcessEnd end;
  {
    Child child(std::move(words), file);
    close(file);
    while (!child.has_ended()) {
      meanwhile();
      std::this_thread::sleep_for(between_looks);
    }
    end.code = child.code();
  }
  if (end.code != 0) end.message = last_error_in(log);
  return end;
}

}  // namespace interlock
