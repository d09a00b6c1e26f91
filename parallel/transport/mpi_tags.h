#pragma once
// MPI tags from lanes. Internal to this room.

#include "parallel/transport/message.h"
#include "runtime/core/error.h"

namespace interlock {

// 3 bits of kind, 12 of boundary, 8 of stream. Open MPI's own transports allow 31 bits, over UCX only 23.
inline constexpr int lane_boundaries = 1 << 12, lane_streams = 1 << 8;
inline constexpr int largest_lane_tag = (1 << 23) - 1;

inline int lane_tag(const Lane& lane) {
  if (lane.boundary < 0 || lane.boundary >= lane_boundaries || lane.stream < 0 || lane.stream >= lane_streams) {
    throw Error(ExitCode::config,
                message("boundary (or group) ", lane.boundary, " with gradient stream ", lane.stream,
                        " does not fit an MPI tag: at most ", lane_boundaries, " boundaries and ", lane_streams,
                        " streams each; use fewer stages or a learning rule with fewer streams"));
  }
  return (static_cast<int>(lane.kind) * lane_boundaries + lane.boundary) * lane_streams + lane.stream;
}

}  // namespace interlock
