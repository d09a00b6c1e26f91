#pragma once
// What each rank tells at the end of a run, as bytes, and how its clock stands to rank 0's.

#include <string>
#include <utility>

#include "parallel/training/run_summary.h"

namespace interlock {

std::string host_name();
double peak_rss_mib();  // highest resident memory of this process so far
std::string serialize(const RankSummary& summary, const TraceRecorder& trace);
RankSummary deserialize(const std::string& bytes);

// (seconds to add to this rank's clock to get rank 0's, bound on the error of that): the best of a few round trips,
// taking the answer to lie half way. All ranks of `world` call it together.
std::pair<double, double> align_clock(Group& world);

}  // namespace interlock
