// MPI, mpirun and host names: what may hang is asked in a child process.
#include <arpa/inet.h>
#include <netdb.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "launch/checks/checks.h"
#include "launch/supervisor/mpirun_command.h"
#include "launch/supervisor/short_child.h"
#include "parallel/transport/mpi.h"
#include "runtime/core/error.h"
#include "runtime/core/readable_file.h"

namespace interlock {
namespace {

using std::chrono::seconds;
// MPI starts in under a second; a name server that does not answer takes 5 s per try.
constexpr seconds mpi_deadline{20}, name_deadline{12};

// The first line that says something, for a table.
std::string first_line(const std::string& output) {
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    if (line.find_first_not_of("- \t\r") != std::string::npos)
      return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;  // ssh ends lines as a terminal does
  }
  return "no output";
}

std::string end_text(const ChildEnd& end) {
  return end.in_time ? message("ended with ", end.code, ": ", first_line(end.output)) : "did not end in time";
}

}  // namespace

std::string ask_child(const std::function<std::string()>& question, seconds deadline) {
  const ChildEnd end = run_in_child([&] { answer(question()); }, deadline);
  const std::string answer = answer_in(end.output);
  return answer.empty() ? message("failed: it ", end_text(end)) : answer;
}

Check check_mpi() {
  Check check{"mpi", Check::Status::ok, "", ""};
  if (const LaunchPlace place = launch_place(); !place.no_mpi.empty()) {
    check.status = Check::Status::fail;
    check.found = place.no_mpi;
    check.advice = "a run of one process needs no MPI, one of several does not start";
    return check;
  }
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
  // Under a launcher no other one is needed; and what a trial inside of one says is about that and not about the
  // machine.
  const bool launched = launch_place().launched;
  const Check::Status wrong = launched ? Check::Status::warn : Check::Status::fail;
  if (check.found.empty()) {
    check.status = wrong;
    check.found = "not on PATH";
    check.advice = "install Open MPI (Debian: apt install openmpi-bin), or start runs with srun --mpi=pmix";
    return check;
  }
  const std::string program = check.found;
  const ChildEnd version = run_program({program, "--version"}, mpi_deadline);
  check.found = message(first_line(version.output), " at ", program);
  if (version.output.find("Open MPI") == std::string::npos) {
    check.status = wrong;
    const std::string foreign = foreign_mpi(version.output);
    check.advice =
        message(foreign.empty() ? "" : message("that is the mpirun of ", foreign, "; "),
                "this program is linked with Open MPI, and ranks that another mpirun starts do not find each "
                "other: ",
                open_mpi_first);
    return check;
  }
  if (launched) {
    check.found += "; not tried under a launcher, whose ranks `doctor --cluster` looks at";
    return check;
  }
  if (const std::string why = refusal_of_host(version.output, own_host_name()); !why.empty()) {
    check.status = Check::Status::fail;
    check.advice = why;
    return check;
  }
  SupervisorRequest two;
  two.executable = find_program("true");
  two.processes = 2;
  const ChildEnd trial = run_program(mpirun_command(two), mpi_deadline);
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
  std::string problem;
  const auto content = read_regular_file(hostfile, most_config_bytes, problem);
  if (!content) throw Error(ExitCode::bad_input, message("cannot read the hostfile ", hostfile, ": ", problem));
  std::istringstream file(*content);
  std::vector<std::string> hosts;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    if (std::string host; words >> host) hosts.push_back(host);
  }
  return hosts;
}

namespace {

bool is_this_host(const std::string& host) {
  const std::string own = own_host_name();
  return host == "localhost" || host == "127.0.0.1" || host == own || host == own.substr(0, own.find('.'));
}

// mpirun asks this to start its daemon on another host: Open MPI's default, or what its user put in its place.
std::vector<std::string> remote_shell() {
  const char* chosen = std::getenv("OMPI_MCA_plm_rsh_agent");
  std::istringstream words(chosen && *chosen ? chosen : "ssh");
  std::vector<std::string> shell;
  for (std::string word; words >> word && word != ":";) shell.push_back(word);
  if (shell.empty()) return {};
  const bool ssh = shell.front() == "ssh" || shell.front().ends_with("/ssh");
  if (shell.front().find('/') == std::string::npos) shell.front() = find_program(shell.front());
  // No question of a password or an unknown host, which nobody would answer.
  if (ssh) shell.insert(shell.end(), {"-o", "BatchMode=yes", "-o", "ConnectTimeout=8"});
  return shell;
}

// What mpirun has against the lines of a hostfile, in its words; "" for nothing. It reads the file and starts nothing,
// here or elsewhere.
std::string what_mpirun_says_of(const std::string& hostfile) {
  const std::string mpirun = find_program("mpirun");
  if (mpirun.empty()) return "";
  SupervisorRequest one;
  one.executable = find_program("true");
  one.processes = 1;
  std::string output;
  try {
    std::vector<std::string> words = mpirun_command(one);
    words.insert(words.begin() + 1, {"--hostfile", hostfile, "--do-not-launch"});
    output = run_program(words, mpi_deadline).output;
  } catch (const Error&) {
    return "";  // an mpirun that cannot be used has a row of its own
  }
  // Between the lines that frame its first word; what it shows of a file that it takes names no hostfile.
  constexpr const char* frame = "-----\n";
  const size_t begin = output.find(frame), end = output.find("\n-----", begin);
  if (begin == std::string::npos || output.substr(begin, end - begin).find("hostfile") == std::string::npos) return "";
  std::istringstream said(output.substr(begin + std::strlen(frame), end - begin - std::strlen(frame)));
  std::string sentence;
  for (std::string word; said >> word;) sentence += (sentence.empty() ? "" : " ") + word;
  return sentence;
}

// That mpirun can start something there, asked in the way in which it does.
void try_remote_shell(const std::string& host, Check& check) {
  std::vector<std::string> words = remote_shell();
  if (words.empty() || words.front().empty()) {
    check.status = Check::Status::fail;
    check.advice = "no ssh on PATH, with which mpirun starts ranks on other hosts (Debian: apt install openssh-client)";
    return;
  }
  const std::string name = words.front();
  words.insert(words.end(), {host, "true"});
  const ChildEnd end = run_program(words, name_deadline);
  if (end.in_time && end.code == 0) {
    check.found += ", " + name + " gets in";
    return;
  }
  check.status = Check::Status::fail;
  check.found += message(", but ", name, " ", end_text(end));
  check.advice = message("mpirun starts its ranks there so: `ssh -o BatchMode=yes ", host,
                         " true` must work without a password and from a known host (ssh-copy-id ", host, ")");
}

}  // namespace

std::vector<Check> check_hostfile(const std::string& file) {
  std::vector<Check> checks;
  for (const std::string& entry : hosts_in(file)) {
    const std::string host = entry.substr(entry.find('@') + 1);  // "user@host"
    checks.push_back(check_host(host));
    if (checks.back().status != Check::Status::fail && !is_this_host(host)) try_remote_shell(entry, checks.back());
  }
  if (const std::string problem = what_mpirun_says_of(file); !problem.empty())
    checks.push_back({"hostfile", Check::Status::fail, problem, "write lines as `NAME slots=CORES`"});
  if (checks.empty()) {
    checks.push_back(
        {"hostfile", Check::Status::fail, file + " names no host", "write one `NAME slots=CORES` per line"});
  }
  return checks;
}

}  // namespace interlock
