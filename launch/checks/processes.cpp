// MPI, mpirun and host names: what may hang is asked in a child process.
#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "launch/checks/checks.h"
#include "launch/supervisor/mpirun_command.h"
#include "parallel/transport/mpi.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using std::chrono::seconds;
// MPI starts in under a second; a name server that does not answer takes 5 s per try.
constexpr seconds mpi_deadline{20}, name_deadline{12};
constexpr std::string_view answer_marker = "answer: ";

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

// The first line that says something, for a table.
std::string first_line(const std::string& output) {
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    if (line.find_first_not_of("- \t") != std::string::npos) return line;
  }
  return "no output";
}

void execute(std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  execv(arguments[0], arguments.data());
  _exit(127);
}

}  // namespace

std::string end_text(const ChildEnd& end) {
  return end.in_time ? message("ended with ", end.code, ": ", first_line(end.output)) : "did not end in time";
}

std::string ask_child(const std::function<std::string()>& question, seconds deadline) {
  const ChildEnd end = run_in_child([&] { answer(question()); }, deadline);
  const std::string answer = answer_in(end.output);
  return answer.empty() ? message("failed: it ", end_text(end)) : answer;
}

ChildEnd run_in_child(const std::function<void()>& body, seconds deadline) {
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

Check check_mpi() {
  Check check{"mpi", Check::Status::ok, "", ""};
  const ChildEnd end = run_in_child([] { answer(make_mpi()->description()); }, mpi_deadline);
  check.found = answer_in(end.output);
  if (check.found.empty() || check.found.starts_with("failed")) {
    check.status = Check::Status::fail;
    if (check.found.empty()) check.found = "starting MPI " + end_text(end);
    check.advice = "runs with more than one process will not start; set parallel.transport=\"loopback\" or mend MPI";
  }
  return check;
}

Check check_mpirun() {
  Check check{"mpirun", Check::Status::ok, find_program("mpirun"), ""};
  if (check.found.empty()) {
    check.status = Check::Status::fail;
    check.found = "not on PATH";
    check.advice = "install Open MPI (Debian: apt install openmpi-bin), or start runs with srun --mpi=pmix";
    return check;
  }
  const std::string program = check.found;
  const ChildEnd version = run_in_child([&] { execute({program, "--version"}); }, mpi_deadline);
  check.found = message(first_line(version.output), " at ", program);
  if (version.output.find("Open MPI") == std::string::npos) {
    check.status = Check::Status::warn;
    check.advice = "this program is linked with Open MPI; ranks that another mpirun starts do not find each other";
    return check;
  }
  SupervisorRequest two;
  two.executable = find_program("true");
  two.processes = 2;
  const ChildEnd trial = run_in_child([&] { execute(mpirun_command(two)); }, mpi_deadline);
  if (trial.in_time && trial.code == 0) {
    check.found += ", starts processes";
  } else {
    check.status = Check::Status::fail;
    check.found += ", but starting two processes " + end_text(trial);
    check.advice = "try `mpirun -np 2 true` by hand and read what it says";
  }
  return check;
}

std::string own_host_name() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

Check check_host(const std::string& host) {
  Check check{"host " + host, Check::Status::ok, "", ""};
  const auto resolve = [&] {
    addrinfo* addresses = nullptr;
    if (const int error = getaddrinfo(host.c_str(), nullptr, nullptr, &addresses)) {
      answer(message("failed: ", gai_strerror(error)));
      return;
    }
    char text[NI_MAXHOST] = "";
    getnameinfo(addresses->ai_addr, addresses->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
    answer(text);
  };
  const ChildEnd end = run_in_child(resolve, name_deadline);
  check.found = answer_in(end.output);
  if (check.found.empty()) check.found = end.in_time ? "failed: no answer" : "failed: no answer in time";
  if (check.found.starts_with("failed")) {
    check.status = Check::Status::fail;
    check.advice = message("put ", host, " into /etc/hosts or the name server");
  }
  return check;
}

std::vector<std::string> hosts_in(const std::string& hostfile) {
  std::ifstream file(hostfile);
  if (!file) throw Error(ExitCode::bad_input, message("cannot read the hostfile ", hostfile));
  std::vector<std::string> hosts;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    if (std::string host; words >> host) hosts.push_back(host);
  }
  if (file.bad()) throw Error(ExitCode::bad_input, message("cannot read the hostfile ", hostfile));
  return hosts;
}

std::vector<Check> check_hostfile(const std::string& file) {
  std::vector<Check> checks;
  for (const std::string& host : hosts_in(file)) checks.push_back(check_host(host));
  if (checks.empty()) {
    checks.push_back(
        {"hostfile", Check::Status::fail, file + " names no host", "write one `NAME slots=CORES` per line"});
  }
  return checks;
}

}  // namespace interlock
