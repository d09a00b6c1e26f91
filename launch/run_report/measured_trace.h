#pragma once
// What a run's trace.json says of its steps: who computed what, waited and sent, when.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launch/page/timeline_picture.h"

namespace interlock {

enum class Track { compute, waiting, communication };

struct MeasuredSlice {
  Track track = Track::compute;
  double begin = 0, end = 0;  // seconds
  std::string name;           // "2F3", "1B0@1", "wait 2F3"
  int64_t step = 0;
};

struct MeasuredTrace {
  std::vector<std::vector<MeasuredSlice>> ranks;  // by begin
};

// None where the file is missing, empty or not readable as a trace: `why` says so.
std::optional<MeasuredTrace> read_trace(const std::string& path, std::string& why);

// The step whose length is the middle one of those that all ranks recorded, the first apart (it touches memory first);
// 0: there is none.
int64_t typical_step(const MeasuredTrace& trace);

// The bars of one step; time counts from its first.
TimelineGroup measured_step(const MeasuredTrace& trace, int64_t step);

// Parts of a rank's time in the recorded steps but the first, from 0 to 1.
struct RankShares {
  double computing = 0, waiting = 0, other = 0;
  double sending = 0;  // beside them: messages are on their way while a rank computes
};
std::vector<RankShares> shares_of(const MeasuredTrace& trace);

// The letter of a bar and its label: 'F' and "F3" of "2F3", or "2F3" where a rank holds several stages.
TimelineBar bar_of(const std::string& name, double begin, double end, bool with_stage);

}  // namespace interlock
