#include "launch/monitor/verdict_file.h"

#include <filesystem>

#include "runtime/core/calendar.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/observe/stack_dump.h"
#include "runtime/storage/atomic_file.h"

namespace interlock {
namespace {

constexpr int whole_stack = 200;  // lines

std::string actions_of(const PulseRecord& pulse) {
  std::string text;
  int64_t step = -1;
  for (const PulseRecord::Action& action : pulse.last_actions(PulseRecord::remembered)) {
    if (action.step != step) text += message(text.empty() ? "" : "\n", "  step ", step = action.step, ":");
    text += message(" ", action.text);
  }
  return text + "\n";
}

}  // namespace

std::string write_verdict(const std::string& run_folder, const Verdict& verdict,
                          const std::vector<WatchedRank>& ranks) {
  std::string text = message(now_utc(), "  ", verdict.reason, "\n\n", verdict.all_ranks, "\n", verdict.messages);
  for (size_t i = 0; i < ranks.size(); ++i) {
    const WatchedRank& rank = ranks[i];
    if (!rank.seen) continue;
    text += message("\nrank ", i, " on ", rank.pulse.host, ", process ",
                    rank.process.empty() ? std::to_string(rank.pulse.pid) : rank.process, "\n", actions_of(rank.pulse));
    const std::string stack = read_stack(run_folder, static_cast<int64_t>(i), whole_stack);
    if (!stack.empty()) text += "  stands in:\n" + stack;
  }
  const std::string path = (std::filesystem::path(run_folder) / verdict_file_name).string();
  try {
    write_atomically(path, text);
    return path;
  } catch (const Error& error) {
    log_warning(error.what());
    return "";
  }
}

}  // namespace interlock
