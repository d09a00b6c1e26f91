#pragma once
// `interlock doctor --cluster`: what a run needs from all of its hosts together, asked under the launcher that will
// start it.

#include <functional>
#include <string>
#include <vector>

#include "launch/cluster_check/cluster_report.h"

namespace interlock {

struct ClusterCheckRequest {
  std::string config;  // of the run; "": none, and neighbours are the ranks next to each other
  std::vector<std::string> overrides;
};

// Every process that the launcher started calls it, and a lone one asks itself. `tell` is called on rank 0 and returns
// the exit code. Error as for `train`, when the config or MPI is refused.
int check_cluster(const ClusterCheckRequest& request, const std::function<int(const ClusterFacts&)>& tell);

}  // namespace interlock
