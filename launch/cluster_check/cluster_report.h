#pragma once
// From what all ranks said to what a person should know: free of MPI, so that every judgement can be tried.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "launch/checks/checks.h"
#include "launch/cluster_check/links.h"
#include "launch/cluster_check/rank_facts.h"
#include "parallel/transport/link_speed.h"

namespace interlock {

// What was asked, by rank of the launcher.
struct ClusterFacts {
  std::vector<RankFacts> ranks;
  std::vector<double> clock_offsets;         // seconds, against rank 0
  std::vector<std::string> folder_problems;  // "" for none
  std::vector<double> forecast;              // bytes that each will hold; empty: not known, and `no_forecast` says why
  double forecast_of_host = 0;               // bytes that the ranks of a host hold once together (pages of files)
  std::string no_forecast;
  std::vector<Link> links;
  uint64_t message_bytes = 0;  // of the links' large messages
  std::string folder;          // of the run
  int processes = 0;           // that the config asks for; 0: no config
  LinkSpeed slowed;            // what the run slows its links down to; they are measured as they are
};

struct ClusterHost {
  std::string name = {};
  std::vector<int> ranks = {};
  std::vector<int> processors = {};                  // that its ranks may use, of all of them together
  int threads = 0;                                   // of its ranks together
  double available_memory = 0, forecast_memory = 0;  // bytes; 0: not known
  double clock_offset = 0;                           // seconds
};
std::vector<ClusterHost> hosts_of(const ClusterFacts& facts);  // in the order of their first ranks

std::vector<Check> judge(const ClusterFacts& facts);

// "0-3,8" of numbers in ascending order.
std::string ranges_text(const std::vector<int>& numbers);
std::string cluster_text(const ClusterFacts& facts, const std::vector<Check>& checks);
// {"hosts": [...], "pairs": [{"from", "to", "latency_us", "mib_per_second"}], "message_bytes", "checks": [...], "ok"},
// and "slowed_links": {"bandwidth", "latency"} where the run has some
nlohmann::json cluster_json(const ClusterFacts& facts, const std::vector<Check>& checks);

}  // namespace interlock
