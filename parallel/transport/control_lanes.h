#pragma once
// Lanes of the messages that belong to no boundary of the pipeline and no group. One table, so that two users cannot
// take the same lane: their messages would be received in the wrong place.

#include <array>

#include "parallel/transport/message.h"

namespace interlock {

// Every rank to rank 0, after each step: losses, norms and times.
inline constexpr Lane step_report_lane{MessageKind::report, 0, 0};
// Rank 0 to every rank, ahead of each step: whether the run stops after it.
inline constexpr Lane stop_decision_lane{MessageKind::report, 1, 0};
// Every rank to rank 0: the files of a checkpoint that it has written, or why it could not.
inline constexpr Lane checkpoint_lane{MessageKind::report, 2, 0};
// Every rank to rank 0: tensors of a weights file, in the file's order.
inline constexpr Lane weights_file_lane{MessageKind::weights, 0, 0};
// The last stage to ranks that hold a copy of its readout.
inline constexpr Lane readout_copy_lane{MessageKind::weights, 0, 1};
// What two ranks need to start NCCL.
inline constexpr Lane nccl_start_lane{MessageKind::report, 3, 0};

// Two ranks whose link is measured, before any run.
inline constexpr Lane link_trial_lane{MessageKind::report, 4, 0};

inline constexpr std::array control_lanes{nccl_start_lane, step_report_lane,  stop_decision_lane, checkpoint_lane,
                                          link_trial_lane, weights_file_lane, readout_copy_lane};

// From here on boundaries of report lanes carry headers of messages that travel without: two for each boundary.
inline constexpr int first_header_lane = 1024;

}  // namespace interlock
