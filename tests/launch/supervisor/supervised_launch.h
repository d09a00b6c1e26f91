#pragma once
// A supervised run as a process of a test (supervised.cpp), over real mpirun, and who of it is still there.

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
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace interlock::test {

using namespace std::chrono_literals;

inline std::string run_tag() {
  static int count = 0;
  return "tag-" + std::to_string(getpid()) + "-" + std::to_string(++count);
}

inline std::vector<pid_t> processes_with(const std::string& tag) {
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

using Environment = std::map<std::string, std::string>;

// One supervised run, or a lone process of the same program when `ranks` is 0. It is ended by force after 10 seconds,
// the limit within which any failure must be over; the exit code is then -9.
class Launch {
 public:
  Launch(int ranks, std::vector<std::string> mode, const Environment& environment = {}, bool terminal = false) {
    std::vector<std::string> words{INTERLOCK_SUPERVISED_PROGRAM};
    if (ranks > 0) words.insert(words.end(), {"supervise", std::to_string(ranks)});
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
      for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
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

  // The mpirun of this run, or -1.
  pid_t mpirun() const {
    for (const pid_t one : processes_with(tag)) {
      std::string name;
      std::ifstream(std::filesystem::path("/proc") / std::to_string(one) / "comm") >> name;
      if (name.starts_with("mpirun") || name.starts_with("orterun")) return one;
    }
    return -1;
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

inline size_t occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

// mpirun may need a moment to vanish after its ranks when the supervisor itself was killed.
inline bool all_gone(const std::string& tag) {
  for (int i = 0; i < 100; ++i) {
    if (processes_with(tag).empty()) return true;
    std::this_thread::sleep_for(50ms);
  }
  return false;
}

inline bool wait_for_ranks(Launch& run, size_t ranks) {
  // The supervisor and mpirun carry the tag too.
  return run.read_until([&] { return processes_with(run.tag).size() >= ranks + 2; });
}

}  // namespace interlock::test
