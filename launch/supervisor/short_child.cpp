// Fork, a pipe, and a deadline.
#include "launch/supervisor/short_child.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string_view>

#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr std::string_view answer_marker = "answer: ";

void execute(std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  execv(arguments[0], arguments.data());
  _exit(127);
}

}  // namespace

void answer(const std::string& text) {
  const std::string line = message("\n", answer_marker, text, "\n");
  [[maybe_unused]] const ssize_t written = write(STDOUT_FILENO, line.data(), line.size());
}

std::string answer_in(const std::string& output) {
  const size_t begin = output.rfind(message("\n", answer_marker));
  if (begin == std::string::npos) return "";
  const size_t text = begin + 1 + answer_marker.size();
  return output.substr(text, output.find('\n', text) - text);
}

ChildEnd run_in_child(const std::function<void()>& body, std::chrono::seconds deadline) {
  int ends[2];
  if (pipe(ends) != 0) throw Error(ExitCode::gave_up, "no pipe for a child process");
  const pid_t child = fork();
  if (child < 0) throw Error(ExitCode::gave_up, "cannot start a child process");
  if (child == 0) {
    setpgid(0, 0);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    try {
      body();
    } catch (const std::exception& problem) {
      answer(message("failed: ", problem.what()));
    }
    _exit(0);
  }
  setpgid(child, child);
  close(ends[1]);
  ChildEnd end;
  const auto limit = std::chrono::steady_clock::now() + deadline;
  int status = 0;
  for (bool open = true, ended = false; open || !ended;) {
    if (std::chrono::steady_clock::now() > limit) break;
    pollfd watched{open ? ends[0] : -1, POLLIN, 0};
    if (poll(&watched, 1, 20) > 0) {
      char part[4096];
      const ssize_t count = read(ends[0], part, sizeof part);
      if (count > 0) end.output.append(part, static_cast<size_t>(count));
      open = count > 0;
    } else if (ended) {
      break;  // a grandchild may hold the pipe open
    }
    if (!ended && waitpid(child, &status, WNOHANG) == child) end.in_time = ended = true;
  }
  kill(-child, SIGKILL);
  if (!end.in_time) waitpid(child, &status, 0);
  close(ends[0]);
  end.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return end;
}

ChildEnd run_program(const std::vector<std::string>& words, std::chrono::seconds deadline) {
  return run_in_child([&] { execute(words); }, deadline);
}

}  // namespace interlock
