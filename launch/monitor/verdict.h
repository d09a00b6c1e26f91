#pragma once
// Whether a run hangs, and who is the cause: decided from what the ranks last told of themselves. Looks at no clock and
// no file.

#include <optional>
#include <string>
#include <vector>

#include "runtime/observe/pulse.h"

namespace interlock {

struct HangLimits {
  double stall_seconds = 60;        // without progress of any rank; 5 median steps when these are longer
  double startup_seconds = 600;     // the same until the first step is done
  double evaluation_seconds = 60;   // in an evaluation
  double checkpoint_seconds = 600;  // in a checkpoint, at the end, and from there until the processes are gone
};

// A rank as it looks from here. Seconds are the watcher's own: no clock of a rank is compared with another.
struct WatchedRank {
  bool seen = false;  // it has told something
  PulseRecord pulse;
  double still = 0;     // seconds since it last got on
  double quiet = 0;     // seconds since it last told anything
  std::string process;  // what is known of its process, "" if nothing: "is stopped (a signal such as SIGSTOP)"
  // Its silence tells nothing: while a rank is at work its process tells from a thread of its own, unless its file
  // cannot be written.
  bool mute = false;
};

struct Verdict {
  int64_t rank = -1;   // the one that stands still; -1: several wait for each other
  int64_t step = 0;    // the furthest that any rank had begun
  std::string reason;  // one sentence
  std::string ranks;  // a line for each rank, of many for those around it, then what the one that stands still did last
  std::string all_ranks;  // a line for each rank
  std::string messages;   // a line for each message that only one side knows of (open_messages.h)
};

// A verdict once no rank has got on for as long as the limit of the one that holds up the others. A rank that computes
// or says nothing holds up those that wait for it. Asked while the run's processes are there: ranks that have all ended
// hold up the launcher.
std::optional<Verdict> judge(const std::vector<WatchedRank>& ranks, const HangLimits& limits);

}  // namespace interlock
