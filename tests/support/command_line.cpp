// Fork, pipes, and a walk over /proc.
#include "tests/support/command_line.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

namespace interlock {
namespace {

constexpr const char* tag_variable = "INTERLOCK_TEST_COMMAND";

std::string new_tag() {
  static int count = 0;
  return std::string(tag_variable) + "=" + std::to_string(getpid()) + "." + std::to_string(++count);
}

std::string read_proc(pid_t pid, const char* name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Variables stand in there one after the other, each with a zero byte at its end.
bool has_variable(const std::string& environment, const std::string& variable) {
  return ('\0' + environment).find('\0' + variable + '\0') != std::string::npos;
}

[[noreturn]] void become(std::vector<char*>& arguments, const CommandOptions& options, const std::string& tag, int out,
                         int err) {
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (!options.output_file.empty()) out = open(options.output_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  closefrom(3);
  if (options.largest_file > 0) {
    const rlimit limit{options.largest_file, options.largest_file};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  if (options.most_memory > 0) {
    const rlimit limit{options.most_memory, options.most_memory};
    setrlimit(RLIMIT_DATA, &limit);
  }
  if (chdir(options.folder.c_str()) != 0) _exit(126);
  setenv(tag_variable, tag.substr(tag.find('=') + 1).c_str(), 1);
  execvp(arguments[0], arguments.data());
  _exit(127);
}

}  // namespace

RunningCommand::RunningCommand(const Words& words, const CommandOptions& options) : tag_(new_tag()) {
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC | O_NONBLOCK) != 0 || pipe2(err, O_CLOEXEC | O_NONBLOCK) != 0)
    throw std::runtime_error("no pipe");
  for (const int end : {out[1], err[1]}) fcntl(end, F_SETFL, 0);  // the command's ends block as usual
  Words copies = words;
  std::vector<char*> arguments;
  for (std::string& word : copies) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  start_ = end_ = Clock::now();
  deadline_ = start_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.seconds));
  child_ = fork();
  if (child_ == 0) become(arguments, options, tag_, out[1], err[1]);
  close(out[1]);
  close(err[1]);
  output_ = out[0];
  errors_ = err[0];
  if (child_ < 0) throw std::runtime_error("no process");
  setpgid(child_, child_);  // here too, so that a signal that comes at once finds the group
}

RunningCommand::~RunningCommand() {
  end_by_force();
  if (!ended_) waitpid(child_, nullptr, 0);
  close(output_);
  close(errors_);
}

std::vector<pid_t> RunningCommand::processes() const {
  std::vector<pid_t> found;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", gone)) {
    const pid_t pid = static_cast<pid_t>(std::atol(entry.path().filename().c_str()));
    if (pid > 0 && pid != getpid() && has_variable(read_proc(pid, "environ"), tag_)) found.push_back(pid);
  }
  return found;
}

pid_t RunningCommand::rank(int number) const {
  const std::string variable = "OMPI_COMM_WORLD_RANK=" + std::to_string(number);
  for (const pid_t pid : processes())
    if (has_variable(read_proc(pid, "environ"), variable)) return pid;
  return -1;
}

void RunningCommand::signal(int number) const {
  if (!ended_) kill(-child_, number);
}

// Once more until nobody is left: a process may start another while its siblings are being killed.
void RunningCommand::end_by_force() {
  if (!ended_) kill(-child_, SIGKILL);
  for (int round = 0; round < 100; ++round) {
    const auto left = processes();
    if (left.empty()) return;
    for (const pid_t pid : left) kill(pid, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

bool RunningCommand::has_ended() {
  if (ended_ || waitpid(child_, &status_, WNOHANG) != child_) return ended_;
  end_ = Clock::now();
  for (const pid_t pid : processes()) {
    std::string line = read_proc(pid, "cmdline");
    std::replace(line.begin(), line.end(), '\0', ' ');
    if (!line.empty()) result_.left_running.push_back(line);
  }
  return ended_ = true;
}

void RunningCommand::read_some(int milliseconds) {
  pollfd watched[] = {{output_, POLLIN, 0}, {errors_, POLLIN, 0}};
  if (poll(watched, 2, milliseconds) <= 0) return;
  bool any = false;
  for (int i = 0; i < 2; ++i) {
    char part[1 << 16];
    const ssize_t count = read(watched[i].fd, part, sizeof part);
    if (count <= 0) continue;
    any = true;
    (i == 0 ? result_.output : result_.errors).append(part, static_cast<size_t>(count));
    result_.all.append(part, static_cast<size_t>(count));
  }
  // Both pipes closed while the process is still there: poll would return at once, again and again.
  if (!any) std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

bool RunningCommand::wait_until(const std::function<bool()>& ready) {
  while (!ready()) {
    if (has_ended() || Clock::now() > deadline_) return false;
    read_some(5);
  }
  return true;
}

CommandResult RunningCommand::wait(double seconds) {
  seconds = std::min(seconds, 1e6);
  deadline_ = std::min(
      deadline_, Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds)));
  // It may end between the two questions that wait_until asks.
  if (!wait_until([this] { return has_ended(); }) && !ended_) {
    result_.timed_out = true;
    end_by_force();
    waitpid(child_, &status_, 0);
    ended_ = true;
    end_ = Clock::now();
  }
  for (size_t before = result_.all.size() + 1; before != result_.all.size();) {
    before = result_.all.size();
    read_some(0);
  }
  result_.seconds = std::chrono::duration<double>(end_ - start_).count();
  result_.code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  return result_;
}

CommandResult run_command(const Words& words, const CommandOptions& options) {
  return RunningCommand(words, options).wait();
}

}  // namespace interlock
