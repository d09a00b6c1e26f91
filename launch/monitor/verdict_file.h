#pragma once
// `verdict.txt` of a run folder: all that is known of the ranks of a run that hangs, for whoever looks for the reason
// later.

#include <string>
#include <vector>

#include "launch/monitor/verdict.h"

namespace interlock {

inline constexpr const char* verdict_file_name = "verdict.txt";

// Verdict, a row for each rank, open messages, of each rank the actions that it remembers and its stack where it told
// it. A folder that cannot be written costs a warning. The path, or "".
std::string write_verdict(const std::string& run_folder, const Verdict& verdict, const std::vector<WatchedRank>& ranks);

}  // namespace interlock
