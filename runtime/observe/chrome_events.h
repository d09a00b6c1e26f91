#pragma once
// Single events of a Chrome trace, as JSON objects on one line. Times are nanoseconds, so that rounding cannot unnest.
// A thread of a trace is a track plus trace_tracks times a lane: slices that do not nest lie on further lanes. Private
// to this room.

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/observe/trace.h"

namespace interlock {

inline constexpr int trace_tracks = 3;

std::vector<std::string> process_names(int rank, const std::string& host, double clock_error);
std::vector<std::string> thread_names(int rank, int thread);
std::string slice_event(int rank, int thread, const TraceSlice& slice, int64_t begin, int64_t end);
// phase 's': a message leaves; 'f': it is received. A viewer ties it to the slice that is open at that moment: an arrow
// leaves where a send begins and enters within the last nanosecond of a receive.
std::string arrow_event(char phase, uint64_t flow, int rank, int thread, int64_t at);

}  // namespace interlock
