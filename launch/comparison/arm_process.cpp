#include "launch/comparison/arm_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include "runtime/core/error.h"

namespace interlock {
namespace {

// This process's own, with another value of CUDA_VISIBLE_DEVICES unless that is "".
std::vector<std::string> environment_with(const std::string& gpus) {
  const std::string key = "CUDA_VISIBLE_DEVICES=";
  std::vector<std::string> all;
  for (char** one = environ; *one != nullptr; ++one)
    if (gpus.empty() || !std::string_view(*one).starts_with(key)) all.emplace_back(*one);
  if (!gpus.empty()) all.push_back(key + gpus);
  return all;
}

// With the zero that exec ends at.
std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void become(const std::vector<char*>& arguments, const std::vector<char*>& environment, int log,
                         pid_t parent) {
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
  execve(arguments[0], arguments.data(), environment.data());
  _exit(127);
}

std::string last_error_in(const std::string& log) {
  std::ifstream file(log, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}}, mark = "interlock: error: ";
  const size_t at = text.rfind(mark);
  if (at == std::string::npos) return "";
  return text.substr(at + mark.size(), text.find('\n', at) - at - mark.size());
}

}  // namespace

ArmProcess::ArmProcess(const std::vector<std::string>& arguments, const std::string& gpus, std::string log)
    : log_(std::move(log)) {
  std::vector<std::string> words{std::filesystem::read_symlink("/proc/self/exe").string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<std::string> variables = environment_with(gpus);
  const std::vector<char*> pointers = pointers_to(words), environment = pointers_to(variables);
  const int file = open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) throw Error(ExitCode::cannot_write, message(log_, ": cannot be written: ", std::strerror(errno)));
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) become(pointers, environment, file, parent);
  const int problem = errno;
  close(file);
  if (pid_ < 0) throw Error(ExitCode::gave_up, message("cannot start ", words[0], ": ", std::strerror(problem)));
  setpgid(pid_, pid_);
}

ArmProcess::~ArmProcess() {
  if (ended_) return;
  ask_to_stop();
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
}

void ArmProcess::ask_to_stop() {
  if (!ended_ && !std::exchange(asked_, true)) kill(pid_, SIGTERM);
}

bool ArmProcess::has_ended() {
  int status = 0;
  rusage used{};
  if (!ended_ && wait4(pid_, &status, WNOHANG, &used) == pid_) note(status, used);
  return ended_;
}

void ArmProcess::note(int status, const rusage& used) {
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  cpu_seconds_ = seconds(used.ru_utime) + seconds(used.ru_stime);
  ended_ = true;
  code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

ProcessEnd ArmProcess::end() const { return {code_, code_ == 0 ? "" : last_error_in(log_)}; }

}  // namespace interlock
