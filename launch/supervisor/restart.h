#pragma once
// A supervised run that is started again when a rank was lost or hung.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "launch/supervisor/supervisor.h"

namespace interlock {

struct RestartPolicy {
  int64_t restarts = 0;  // at most
  // The arguments of the ranks once the run folder is this run's own: they go on from the newest whole checkpoint.
  std::vector<std::string> arguments_again;
  std::function<int64_t()> newest_checkpoint;  // its step; 0: none
};

// As supervise_once, again and again after an end with 71, with pauses of 1, 2, 4 .. 60 s between (1 s again after
// progress: a newer checkpoint, or a later step). It gives up with 70 when it would be the second time in a row at the
// same step, with no newer checkpoint. Nothing else is started again: a divergence, a bad config or a full disk would
// come back. What happened is written to events.jsonl of the run folder (request.monitor), and told at the end as a
// table when the run was started more than once.
int supervise_with_restarts(SupervisorRequest request, const RestartPolicy& policy);

}  // namespace interlock
