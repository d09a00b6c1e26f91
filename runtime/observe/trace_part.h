#pragma once
// The trace of a run that goes on: every rank writes its part behind each step, so that a run that dies has one. A part
// is a Chrome trace of its own, an array that lacks nothing but its closing bracket, as viewers take it. A run that
// ends well has trace.json instead.

#include <array>
#include <string>
#include <vector>

#include "runtime/observe/trace.h"

namespace interlock {

class TracePart {
 public:
  // RUN/trace/rank-00003.json, on rank 0's clock; `rank`: its slices apart. Begun with the first slices.
  TracePart(const std::string& run_folder, RankTrace rank);
  // All slices recorded so far: those that are new are written. A file that cannot be written is warned of once and
  // costs nothing else.
  void add(const std::vector<TraceSlice>& slices);

 private:
  std::string events_of(const TraceSlice& slice);
  int thread_for(const TraceSlice& slice, int64_t begin, int64_t end);

  std::string path_;
  RankTrace rank_;
  size_t written_ = 0;
  bool failed_ = false;
  std::array<std::vector<int64_t>, 3> lanes_;  // by track, where the last slice of each lane ends
};

std::string trace_part_folder(const std::string& run_folder);
// Puts the parts that a run has left together as its trace.json; false: there are none. What a kill has cut off at the
// end of a part is dropped. Error(cannot_write).
bool join_trace_parts(const std::string& run_folder);

}  // namespace interlock
