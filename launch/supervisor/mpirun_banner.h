#pragma once
// What Open MPI 4 prints when processes end, and what it means. Internal to the supervisor.

#include <string>
#include <string_view>

namespace interlock {

struct MpirunBanner {
  bool about_an_end = false;  // of a process; else the text is for the user as it stands
  bool by_signal = false;
  std::string reason;  // "interlock: error: rank 2 ...", or "" when the banner names no rank
};
MpirunBanner read_mpirun_banner(const std::string& text);  // without its lines of dashes

// "[host:1234] ..." lines in which mpirun and its helpers talk about themselves when a run ends badly.
bool is_mpirun_remark(std::string_view line);

}  // namespace interlock
