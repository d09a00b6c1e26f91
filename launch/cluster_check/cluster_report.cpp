#include "launch/cluster_check/cluster_report.h"

#include <algorithm>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "launch/plan_report/plan_report.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr size_t most_rows = 32;  // --json has all

std::string more_text(size_t count) {
  return count > most_rows ? message("  (", count - most_rows, " more: --json has all)\n") : "";
}

}  // namespace

std::string ranges_text(const std::vector<int>& numbers) {
  std::string text;
  for (size_t begin = 0; begin < numbers.size();) {
    size_t end = begin;
    while (end + 1 < numbers.size() && numbers[end + 1] == numbers[end] + 1) ++end;
    text += (text.empty() ? "" : ",") + std::to_string(numbers[begin]);
    if (end > begin) text += "-" + std::to_string(numbers[end]);
    begin = end + 1;
  }
  return text;
}

std::vector<ClusterHost> hosts_of(const ClusterFacts& facts) {
  std::vector<ClusterHost> hosts;
  for (size_t rank = 0; rank < facts.ranks.size(); ++rank) {
    const RankFacts& said = facts.ranks[rank];
    auto host = std::ranges::find(hosts, said.host, &ClusterHost::name);
    if (host == hosts.end()) {
      hosts.push_back({.name = said.host,
                       .available_memory = said.available_memory,
                       .forecast_memory = facts.forecast.empty() ? 0 : facts.forecast_of_host});
      host = hosts.end() - 1;
      if (rank < facts.clock_offsets.size()) host->clock_offset = facts.clock_offsets[rank];
    }
    host->ranks.push_back(static_cast<int>(rank));
    std::vector<int> together;
    std::ranges::set_union(host->processors, said.processors, std::back_inserter(together));
    host->processors = together;
    host->threads += said.threads;
    host->available_memory = std::min(host->available_memory, said.available_memory);
    if (rank < facts.forecast.size()) host->forecast_memory += facts.forecast[rank];
  }
  return hosts;
}

std::string cluster_text(const ClusterFacts& facts, const std::vector<Check>& checks) {
  std::ostringstream out;
  out << table_text(checks) << "\n";
  const auto hosts = hosts_of(facts);
  size_t width = 4;
  for (const ClusterHost& host : hosts) width = std::max(width, host.name.size());
  const auto name_width = static_cast<int>(width + 2);
  out << std::left << std::setw(name_width) << "host" << std::setw(16) << "ranks" << std::setw(16) << "processors"
      << std::right << std::setw(8) << "threads" << std::setw(12) << "memory" << std::setw(12) << "forecast"
      << "  clock\n";
  for (size_t row = 0; row < std::min(hosts.size(), most_rows); ++row) {
    const ClusterHost& host = hosts[row];
    out << std::left << std::setw(name_width) << host.name << std::setw(16) << ranges_text(host.ranks) << std::setw(16)
        << ranges_text(host.processors) << std::right << std::setw(8) << host.threads << std::setw(12)
        << size_text(host.available_memory) << std::setw(12)
        << (host.forecast_memory > 0 ? size_text(host.forecast_memory) : "-") << "  " << std::fixed
        << std::setprecision(4) << std::showpos << host.clock_offset << std::noshowpos << " s\n";
  }
  out << more_text(hosts.size());
  if (facts.links.empty()) return out.str();
  out << "\n  from    to   latency us        MiB/s\n";
  for (size_t row = 0; row < std::min(facts.links.size(), most_rows); ++row) {
    const Link& link = facts.links[row];
    out << std::right << std::setw(6) << link.from << std::setw(6) << link.to << std::fixed << std::setprecision(1)
        << std::setw(13) << link.latency_us << std::setw(13) << link.mib_per_second << "\n";
  }
  out << more_text(facts.links.size());
  return out.str();
}

nlohmann::json cluster_json(const ClusterFacts& facts, const std::vector<Check>& checks) {
  nlohmann::json hosts = nlohmann::json::array(), pairs = nlohmann::json::array();
  for (const ClusterHost& host : hosts_of(facts)) {
    nlohmann::json binding = nlohmann::json::array();
    for (const int rank : host.ranks)
      binding.push_back({{"rank", rank},
                         {"processors", ranges_text(facts.ranks[rank].processors)},
                         {"threads", facts.ranks[rank].threads}});
    hosts.push_back({{"name", host.name},
                     {"ranks", host.ranks},
                     {"binding", binding},
                     {"program", facts.ranks[host.ranks.front()].program},
                     {"available_memory", host.available_memory},
                     {"forecast_memory", host.forecast_memory},
                     {"clock_offset", host.clock_offset}});
  }
  for (const Link& link : facts.links)
    pairs.push_back({{"from", link.from},
                     {"to", link.to},
                     {"latency_us", link.latency_us},
                     {"mib_per_second", link.mib_per_second}});
  nlohmann::json report = checks_json(checks);
  report["hosts"] = hosts;
  report["pairs"] = pairs;
  report["message_bytes"] = facts.message_bytes;
  if (facts.slowed.slowed())
    report["slowed_links"] = {{"bandwidth", facts.slowed.bandwidth}, {"latency", facts.slowed.latency}};
  return report;
}

}  // namespace interlock
