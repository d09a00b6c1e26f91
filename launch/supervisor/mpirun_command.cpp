// How many cores there are, where mpirun is, and what it is told.
#include "launch/supervisor/mpirun_command.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "launch/heartbeat/invitation.h"
#include "launch/supervisor/handshake.h"
#include "launch/supervisor/short_child.h"
#include "parallel/transport/listed_hosts.h"
#include "runtime/core/error.h"
#include "runtime/observe/progress.h"

namespace interlock {
namespace {

bool is_chosen(const char* variable) {
  const char* value = std::getenv(variable);
  return value && *value;
}

void pass(std::vector<std::string>& command, const std::string& variable, const std::string& value) {
  command.insert(command.end(), {"-x", variable + "=" + value});
}

// mpirun counts slots, which in a job of Slurm are its tasks and in a hostfile what it says. On one machine ranks need
// no other permission than its processors give; on several, the batch system's count says which node takes how many,
// while a person's own list mostly counts nothing.
bool may_exceed_slots() { return is_chosen("OMPI_MCA_orte_default_hostfile") || listed_hosts() <= 1; }

void refuse(const std::string& mpirun) {
  const std::string version = run_program({mpirun, "--version"}, std::chrono::seconds(5)).output;
  if (const std::string foreign = foreign_mpi(version); !foreign.empty())
    throw Error(ExitCode::config, message("mpirun on PATH (", mpirun, ") is that of ", foreign,
                                          ", but this program is linked with Open MPI: ", open_mpi_first));
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  if (const std::string why = refusal_of_host(version, host); !why.empty()) throw Error(ExitCode::config, why);
}

// Where Open MPI lets ranks meet, in files: 8.2 MiB for four of them (4.1.4). In less they end before they can say why.
void check_room_to_meet() {
  constexpr uintmax_t least = uintmax_t{16} << 20;
  std::error_code problem;
  const std::filesystem::path folder = std::filesystem::temp_directory_path(problem);
  const auto space = std::filesystem::space(folder, problem);
  if (problem || space.available >= least) return;
  throw Error(ExitCode::cannot_write, message("the folder for temporary files, ", folder.string(), ", has ",
                                              space.available >> 10, " KiB left, and mpirun needs ", least >> 20,
                                              " MiB there: make room in it, or set TMPDIR to another folder"));
}

// What mpirun starts its daemons on other hosts with; where there is none, it refuses to start anything here too,
// unless it is told that it has none.
bool has_remote_shell() { return !find_program("ssh").empty() || !find_program("rsh").empty(); }

}  // namespace

int physical_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  std::set<std::string> different;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    std::ifstream file(message("/sys/devices/system/cpu/cpu", cpu, "/topology/thread_siblings_list"));
    std::string siblings = message("cpu ", cpu);
    std::getline(file, siblings);
    different.insert(siblings);
  }
  return static_cast<int>(different.size());
}

std::string find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "/usr/local/bin:/usr/bin:/bin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string file = (folder.empty() ? "." : folder) + "/" + name;
    struct stat status {};
    if (stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode) && access(file.c_str(), X_OK) == 0) return file;
  }
  return "";
}

std::string foreign_mpi(const std::string& version) {
  if (version.find("Open MPI") != std::string::npos) return "";
  if (version.find("Intel(R) MPI") != std::string::npos) return "Intel MPI";
  for (const char* word : {"HYDRA", "MPICH", "MVAPICH"})
    if (version.find(word) != std::string::npos) return "MPICH";
  return "";
}

std::string refusal_of_host(const std::string& version, const std::string& host) {
  // Tried with 4.1.4, whose mpirun ends with "stack smashing detected" from 57 letters on.
  constexpr size_t longest = 56;
  if (host.size() <= longest || version.find("(Open MPI) 4.") == std::string::npos) return "";
  return message("the name of this host, ", host, ", has ", host.size(),
                 " letters, and Open MPI 4 crashes where it has more than ", longest,
                 ": give the host a shorter one (hostname NAME), or set parallel.transport=\"loopback\" for ranks as "
                 "threads of one process");
}

std::vector<std::string> mpirun_command(const SupervisorRequest& request, const std::string& launch_word) {
  refuse_second_launch();
  const std::string mpirun = find_program("mpirun");
  if (mpirun.empty()) {
    throw Error(ExitCode::config,
                message("no mpirun on PATH to start ", request.processes,
                        " ranks: install Open MPI (Debian: apt install openmpi-bin), start under srun, "
                        "or set parallel.transport=\"loopback\" for ranks as threads of one process"));
  }
  refuse(mpirun);
  check_room_to_meet();
  std::vector<std::string> command{mpirun, "-np", std::to_string(request.processes), "--bind-to", "none"};
  if (geteuid() == 0) command.push_back("--allow-run-as-root");
  if (may_exceed_slots()) command.push_back("--oversubscribe");
  if (!has_remote_shell() && !is_chosen("OMPI_MCA_plm_rsh_agent"))
    command.insert(command.end(), {"--mca", "plm_rsh_agent", ""});
  const std::string threads = std::to_string(request.threads_per_rank);
  pass(command, "OMP_NUM_THREADS", threads);
  pass(command, "MKL_NUM_THREADS", threads);
  pass(command, supervised_variable, "1");
  if (!launch_word.empty()) pass(command, launch_variable, launch_word);
  if (request.monitor && request.monitor->listen) pass(command, invitation_variable, "1");
  if (watched_by_person()) {
    pass(command, "INTERLOCK_TERMINAL", "1");
    winsize size{};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
      pass(command, "COLUMNS", std::to_string(size.ws_col));
    }
  }
  command.push_back(request.executable);
  command.insert(command.end(), request.arguments.begin(), request.arguments.end());
  return command;
}

}  // namespace interlock
