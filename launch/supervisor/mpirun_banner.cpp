// The texts are those of orte/tools/orterun and ompi/runtime help files of Open MPI 4.1.
#include "launch/supervisor/mpirun_banner.h"

#include <cstring>
#include <regex>

#include "runtime/core/error.h"

namespace interlock {
namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::string signal_text(int number) {
  const char* name = sigabbrev_np(number);
  std::string text = message("was killed by signal ", number, name ? message(" (SIG", name, ")") : "");
  if (number == 9)
    text += "; SIGKILL comes from a person, a batch system, or the kernel when memory runs out (see dmesg)";
  return text;
}

}  // namespace

MpirunBanner read_mpirun_banner(const std::string& text) {
  static const std::regex signal("process rank (\\d+) with PID \\d+ on node (\\S+) exited on\\s+signal (\\d+)");
  static const std::regex code("Process name: \\[\\[\\d+,\\d+\\],(\\d+)\\]\\s+Exit code:\\s+(\\d+)");
  static const std::regex abort("MPI_ABORT was invoked on rank (\\d+)[^]*errorcode (-?\\d+)");
  static const std::regex left("process rank (\\d+) with PID \\d+ on\\s+node (\\S+) exiting improperly");
  static const std::regex node("lost communication with a remote daemon[^]*Remote daemon:[^\\n]* on node (\\S+)");
  static const std::regex slots("not enough slots available in the system to satisfy the (\\d+)");
  MpirunBanner banner;
  std::smatch found;
  const auto say = [&](const auto&... parts) {
    banner.reason = message("interlock: error: rank ", found[1], parts...);
  };
  if (std::regex_search(text, found, node)) {
    banner.by_signal = true;  // of its ranks nobody can say more
    banner.reason = message("interlock: error: mpirun has lost the host ", found[1],
                            " and the ranks on it: it is down, or the network between is");
  } else if (std::regex_search(text, found, slots)) {
    banner.reason =
        message("interlock: error: mpirun finds fewer places in this job than ", found[1],
                " ranks: a batch system counts tasks, not processors; ask for a task for each rank (Slurm: ",
                "--ntasks=", found[1], ")");
  } else if (std::regex_search(text, found, signal)) {
    banner.by_signal = true;
    say(" on ", found[2], " ", signal_text(std::stoi(found[3])));
  } else if (std::regex_search(text, found, code)) {
    say(" ended with exit code ", found[2], " and no word why");
  } else if (std::regex_search(text, found, abort)) {
    say(" called MPI_Abort with code ", found[2]);
  } else if (std::regex_search(text, found, left)) {
    say(" on ", found[2], " ended without MPI_Finalize");
  }
  banner.about_an_end = !banner.reason.empty() || contains(text, "Primary job  terminated normally") ||
                        contains(text, "mpirun has exited due to process rank");
  return banner;
}

bool is_mpirun_remark(std::string_view line) {
  if (line.starts_with("mpirun: ")) return true;  // "killing job...", "abort is already in progress..."
  if (!line.starts_with("[") || !contains(line, "] ")) return false;
  // "Read -1, expected 4208": a rank reads the memory of one that has just died, as the messages of one machine do.
  for (const char* part : {"Read -1, expected ", "ORTE_ERROR_LOG", "PMIX ERROR", " sent help message ",
                           "Set MCA parameter \"orte_base_help"}) {
    if (contains(line, part)) return true;
  }
  return false;
}

}  // namespace interlock
