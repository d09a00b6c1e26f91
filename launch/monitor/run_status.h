#pragma once
// What a run does, from its folder: one that goes on, here or on other machines, and one that has ended or died.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launch/monitor/event_log.h"
#include "runtime/observe/pulse.h"

namespace interlock {

struct RankStatus {
  PulseRecord pulse;
  double seconds_since = 0;        // it last got on
  std::optional<double> slowness;  // its computing per step beside the median over ranks, where that says something
};

struct RunStatus {
  std::string run;
  // "running"; "ended": whole; "stopped": its ranks are gone, or nobody hears of them; "restarting": they are, and a
  // supervisor has just said that it starts them again.
  std::string state;
  int64_t step = 0;              // begun by the rank that is furthest
  std::optional<int64_t> steps;  // that the config asks for
  std::string unit = "tokens";   // of speed; of images and features: "samples"
  std::optional<double> loss, validation_loss, tokens_per_second, idle_share;  // as last told; none: nothing was
  std::optional<double> seconds_left;                                          // while it runs
  std::optional<RunEvent> event;                                               // the last thing that happened to it
  std::vector<RankStatus> ranks;
  bool goes_on() const { return state == "running" || state == "restarting"; }
};

// Takes up to a second and a half for a run that seems not to move: clocks of other hosts say nothing, a second look
// does. Error(bad_input) when the folder is none of a run.
RunStatus read_status(const std::string& run_folder);

// {"run", "state", "step", "steps", "loss", ..., "event": {"time", "event", "rank", "step", "reason"} or null,
// "ranks": [{"rank", "host", "step", "action", "seconds_since", "rss_mib", ...}]}
std::string status_json(const RunStatus& status);
// Lines of at most `width` columns.
std::string status_text(const RunStatus& status, int width);

}  // namespace interlock
