#include "parallel/training/summary.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>

namespace interlock {

using nlohmann::json;

std::string host_name() {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  return host;
}

// "VmHWM:   91296 kB" of /proc/self/status. getrusage's ru_maxrss goes on over an exec: of a process that a larger one
// has started it tells the larger one's.
double peak_rss_mib() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + std::strlen("VmHWM:"), nullptr) / 1024.0;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

std::string serialize(const RankSummary& summary, const TraceRecorder& trace) {
  json costs = json::object();
  for (const auto& [stage, kinds] : summary.costs) {
    json row = json::array();
    for (const MeasuredCost& cost : kinds) row.push_back({cost.seconds, cost.times});
    costs[std::to_string(stage)] = row;
  }
  const json head = {{"rank", summary.rank},
                     {"host", summary.host},
                     {"seconds", summary.seconds},
                     {"waited", summary.waited},
                     {"peak_rss_mib", summary.peak_rss_mib},
                     {"loader_seconds", summary.loader_seconds},
                     {"checkpoint_seconds", summary.checkpoint_seconds},
                     {"forward", summary.counters.forward},
                     {"backward", summary.counters.backward},
                     {"messages", summary.counters.messages},
                     {"bytes", summary.counters.bytes},
                     {"clock_offset", summary.trace.clock_offset},
                     {"clock_error", summary.trace.clock_error},
                     {"costs", costs}};
  return head.dump() + "\n" + trace.serialize();
}

RankSummary deserialize(const std::string& bytes) {
  const size_t line = bytes.find('\n');
  const json head = json::parse(bytes.substr(0, line));
  RankSummary summary;
  summary.rank = head["rank"];
  summary.host = head["host"];
  summary.seconds = head["seconds"];
  summary.waited = head["waited"];
  summary.peak_rss_mib = head["peak_rss_mib"];
  summary.loader_seconds = head["loader_seconds"];
  summary.checkpoint_seconds = head["checkpoint_seconds"];
  summary.counters = {head["forward"], head["backward"], head["messages"], head["bytes"]};
  for (const auto& [stage, row] : head["costs"].items()) {
    auto& kinds = summary.costs[std::stoi(stage)];
    for (size_t kind = 0; kind < kinds.size(); ++kind) kinds[kind] = {row[kind][0], row[kind][1]};
  }
  summary.trace = {summary.rank, summary.host, head["clock_offset"], head["clock_error"],
                   TraceRecorder::deserialize(bytes.substr(line + 1))};
  return summary;
}

std::pair<double, double> align_clock(Group& world) {
  constexpr int rounds = 5;  // the shortest of five is close to the true round trip on an idle network
  double best = std::numeric_limits<double>::infinity(), offset = 0;
  for (int round = 0; round < rounds; ++round) {
    const double entered = TraceRecorder::now();
    world.barrier();
    // Rank 0 reads its clock after this rank entered the barrier and before this rank has the reading.
    double clock = TraceRecorder::now();
    world.broadcast(std::as_writable_bytes(std::span(&clock, 1)), 0);
    const double half = (TraceRecorder::now() - entered) / 2;
    if (half < best) {
      best = half;
      offset = clock - (entered + half);
    }
  }
  // Ranks of one host read the same clock (CLOCK_MONOTONIC).
  return world.broadcast(host_name(), 0) == host_name() ? std::pair(0.0, 0.0) : std::pair(offset, best);
}

}  // namespace interlock
