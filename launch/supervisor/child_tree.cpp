// Plain fork and exec, and a walk over /proc.
#include "launch/supervisor/child_tree.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string_view>
#include <thread>

#include "runtime/core/error.h"

namespace interlock {
namespace {

[[noreturn]] void become(std::vector<char*>& arguments, std::vector<char*>& environment, int input, int errors,
                         pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(70);  // it died before the line above
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(input, STDIN_FILENO);
  dup2(errors, STDERR_FILENO);
  execve(arguments[0], arguments.data(), environment.data());
  const char* text = std::strerror(errno);
  for (const char* part :
       {"interlock: error: cannot start ", static_cast<const char*>(arguments[0]), ": ", text, "\n"}) {
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, part, std::strlen(part));
  }
  _exit(70);
}

// Ours, with `variable` ("NAME=VALUE") in place of what it says of NAME.
std::vector<char*> environment_with(std::string& variable) {
  const std::string_view name(variable.data(), std::min(variable.find('=') + 1, variable.size()));
  std::vector<char*> all;
  for (char** one = environ; one && *one; ++one)
    if (name.empty() || !std::string_view(*one).starts_with(name)) all.push_back(*one);
  if (!variable.empty()) all.push_back(variable.data());
  all.push_back(nullptr);
  return all;
}

// "pid (name) state parent ...": the name may hold spaces and parentheses, so its end is the last one.
pid_t parent_of(const std::filesystem::path& process) {
  std::ifstream file(process / "stat");
  std::string line;
  std::getline(file, line);
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos || name_end + 4 >= line.size()) return -1;
  return line[name_end + 2] == 'Z' ? -1 : static_cast<pid_t>(std::atol(line.c_str() + name_end + 4));
}

std::filesystem::path folder_of(pid_t pid) { return std::filesystem::path("/proc") / std::to_string(pid); }

bool has_handler(pid_t pid, int number) {
  std::ifstream file(folder_of(pid) / "status");
  const std::string field = "SigCgt:";
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(field)) return std::strtoull(line.c_str() + field.size(), nullptr, 16) >> (number - 1) & 1;
  }
  return false;
}

bool runs(pid_t pid, const std::string& program) {
  std::error_code gone;
  const std::string file = std::filesystem::read_symlink(folder_of(pid) / "exe", gone).string();
  return file == program || file == program + " (deleted)";  // one that was built anew since
}

std::vector<pid_t> descendants_of(pid_t root) {
  std::multimap<pid_t, pid_t> children;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", gone)) {
    const pid_t pid = static_cast<pid_t>(std::atol(entry.path().filename().c_str()));
    if (pid > 0) children.emplace(parent_of(entry.path()), pid);
  }
  std::vector<pid_t> found{root};
  for (size_t i = 0; i < found.size(); ++i) {
    const auto [begin, end] = children.equal_range(found[i]);
    for (auto child = begin; child != end; ++child) found.push_back(child->second);
  }
  found.erase(found.begin());
  return found;
}

// What is written fits into a pipe, so that nobody waits for a reader.
int readable(const std::string& input) {
  if (input.empty()) return open("/dev/null", O_RDONLY | O_CLOEXEC);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  const bool whole = write(ends[1], input.data(), input.size()) == static_cast<ssize_t>(input.size());
  close(ends[1]);
  if (whole) return ends[0];
  close(ends[0]);
  return -1;
}

}  // namespace

ChildTree::ChildTree(const std::vector<std::string>& command, const std::string& input, const std::string& variable) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw Error(ExitCode::gave_up, message("no pipe: ", std::strerror(errno)));
  prctl(PR_GET_CHILD_SUBREAPER, &was_subreaper_);
  prctl(PR_SET_CHILD_SUBREAPER, 1L);
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::string added = variable;
  std::vector<char*> environment = environment_with(added);
  const pid_t parent = getpid();
  const int given = readable(input);
  child_ = given < 0 ? -1 : fork();
  if (child_ == 0) become(arguments, environment, given, ends[1], parent);
  close(ends[1]);
  if (given >= 0) close(given);
  error_output_ = ends[0];
  fcntl(error_output_, F_SETFL, O_NONBLOCK);
  if (child_ < 0) {
    close(error_output_);
    throw Error(ExitCode::gave_up, message("cannot start ", command[0], ": ", std::strerror(errno)));
  }
  setpgid(child_, child_);  // here too, so that a signal that comes at once finds the group
}

ChildTree::~ChildTree() {
  // A process may fork while its siblings are being killed, so once more until nobody is left.
  for (int round = 0; round < 100; ++round) {
    kill_all();
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    if (descendants_of(getpid()).empty()) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  while (waitpid(-1, nullptr, WNOHANG) > 0) {
  }
  close(error_output_);
  prctl(PR_SET_CHILD_SUBREAPER, static_cast<long>(was_subreaper_));
}

void ChildTree::signal(int number) const {
  if (!ended_) kill(-child_, number);
}

void ChildTree::kill_all() {
  signal(SIGKILL);
  for (const pid_t pid : descendants_of(getpid())) kill(pid, SIGKILL);
}

void ChildTree::kill_running(const std::string& program) const {
  for (const pid_t pid : descendants_of(getpid()))
    if (runs(pid, program)) kill(pid, SIGKILL);
}

ChildTree::Running ChildTree::running(const std::string& program, int number) const {
  Running found;
  for (const pid_t pid : descendants_of(getpid())) {
    if (!runs(pid, program)) continue;
    ++found.processes;
    found.watching += has_handler(pid, number);
  }
  return found;
}

bool ChildTree::has_ended() {
  int status = 0;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid != child_) continue;
    ended_ = true;
    status_ = status;
  }
  return ended_;
}

}  // namespace interlock
