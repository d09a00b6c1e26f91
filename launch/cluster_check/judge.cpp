// One function per row of the table.
#include <algorithm>
#include <cmath>
#include <iomanip>
#include <map>
#include <set>
#include <sstream>

#include "launch/cluster_check/cluster_report.h"
#include "launch/plan_report/plan_report.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using Status = Check::Status;

std::string list_text(const std::set<std::string>& names, size_t most = 6) {
  std::string text;
  size_t shown = 0;
  for (const std::string& name : names) {
    if (shown++ == most) return text + message(" and ", names.size() - most, " more");
    text += (text.empty() ? "" : ", ") + name;
  }
  return text;
}

// Some ranks with their hosts: the ranks of one host may differ too, by a config or a path of their own.
std::set<std::string> with_hosts(const ClusterFacts& facts, const std::vector<int>& ranks) {
  std::map<std::string, std::vector<int>> of_host;
  for (const int rank : ranks) of_host[facts.ranks[rank].host].push_back(rank);
  std::set<std::string> texts;
  for (const auto& [host, members] : of_host)
    texts.insert(message(host, members.size() == 1 ? " (rank " : " (ranks ", ranges_text(members), ")"));
  return texts;
}

std::string not_as_first(const ClusterFacts& facts) {
  return message("not as rank 0 on ", facts.ranks.front().host, ": ");
}

// Those that say something else than rank 0 does.
std::set<std::string> differing(const ClusterFacts& facts, std::string RankFacts::*value) {
  std::vector<int> ranks;
  for (size_t rank = 0; rank < facts.ranks.size(); ++rank)
    if (facts.ranks[rank].*value != facts.ranks.front().*value) ranks.push_back(static_cast<int>(rank));
  return with_hosts(facts, ranks);
}

Check alike(const ClusterFacts& facts, const std::string& name, std::string RankFacts::*value, Status otherwise,
            const std::string& advice) {
  const RankFacts& first = facts.ranks.front();
  const auto others = differing(facts, value);
  if (others.empty()) return {name, Status::ok, message((first.*value).substr(0, 80), ", the same everywhere"), ""};
  return {name, otherwise, not_as_first(facts) + list_text(others), advice};
}

Check ranks(const ClusterFacts& facts) {
  const size_t count = facts.ranks.size(), hosts = hosts_of(facts).size();
  Check check{"ranks", Status::ok,
              message(count, count == 1 ? " rank" : " ranks", " on ", hosts, hosts == 1 ? " host" : " hosts"), ""};
  if (facts.processes > 0 && static_cast<size_t>(facts.processes) != count) {
    check.status = Status::fail;
    check.found += message(", but the config asks for ", facts.processes);
    check.advice = message("start it with as many: mpirun -n ", facts.processes,
                           " interlock doctor --cluster CONFIG, under Slurm srun --kill-on-bad-exit=1 --mpi=pmix -n ",
                           facts.processes, " ...; the run the same way, or as interlock train alone");
  } else if (count == 1) {
    check.status = Status::warn;
    check.advice = "start it under the launcher of the run (mpirun, srun --mpi=pmix), with as many ranks";
  }
  return check;
}

Check config(const ClusterFacts& facts) {
  if (facts.ranks.front().config.empty() && differing(facts, &RankFacts::config).empty())
    return {"config", Status::ok, "none was named; with one, memory and the run's own messages are looked at too", ""};
  Check check = alike(facts, "config", &RankFacts::config, Status::fail, "give every host the same file");
  if (check.status == Status::ok)
    check.found = message("digest ", facts.ranks.front().config.substr(0, 16), ", the same everywhere");
  return check;
}

// Those that compute or carry messages decide over bits and over whether ranks understand each other.
bool decides(const std::string& library) {
  for (const char* prefix : {"libtorch", "libc10", "libmpi", "libopen-", "libmkl", "libgomp", "libcudart", "libnccl"})
    if (library.starts_with(prefix)) return true;
  return false;
}

// Open MPI opens a plugin where it has use for it: the one for shared memory not where a rank is alone on its host.
bool may_be_absent(const std::string& library) {
  return library.starts_with("mca_btl_vader") || library.starts_with("mca_btl_sm");
}

Check libraries(const ClusterFacts& facts) {
  const auto& first = facts.ranks.front().libraries;
  std::set<std::string> names;
  std::vector<int> ranks;
  bool grave = false;
  for (size_t number = 0; number < facts.ranks.size(); ++number) {
    const RankFacts& rank = facts.ranks[number];
    std::set<std::string> other;
    for (const auto& [name, identity] : first) {
      const auto found = rank.libraries.find(name);
      const bool absent = found == rank.libraries.end();
      if (absent ? !may_be_absent(name) : found->second != identity) other.insert(name);
    }
    for (const auto& [name, identity] : rank.libraries)
      if (!first.contains(name) && !may_be_absent(name)) other.insert(name);
    if (other.empty()) continue;
    ranks.push_back(static_cast<int>(number));
    names.insert(other.begin(), other.end());
    grave |= std::ranges::any_of(other, decides);
  }
  if (ranks.empty()) return {"libraries", Status::ok, message(first.size(), " loaded, the same everywhere"), ""};
  return {"libraries", grave ? Status::fail : Status::warn,
          message(not_as_first(facts), list_text(names), " on ", list_text(with_hosts(facts, ranks))),
          grave ? "install the same LibTorch and Open MPI on every host" : "the hosts' systems differ in versions"};
}

struct Crowd {
  std::string text;
  bool bound = false;  // the host has more processors than these ranks may use
};

// Ranks of a host that may run on the same processors and no others need a processor for each of their threads there,
// whatever is free beside it. Of the sets that are too small those that hold no smaller one of them.
std::vector<Crowd> crowds_of(const ClusterFacts& facts, const ClusterHost& host) {
  std::set<std::vector<int>> sets{host.processors};
  for (const int rank : host.ranks) sets.insert(facts.ranks[rank].processors);
  std::vector<std::vector<int>> smallest_first(sets.begin(), sets.end()), told;
  std::ranges::stable_sort(smallest_first, {}, &std::vector<int>::size);
  std::vector<Crowd> crowds;
  for (const std::vector<int>& set : smallest_first) {
    std::vector<int> members;
    int threads = 0;
    for (const int rank : host.ranks) {
      if (!std::ranges::includes(set, facts.ranks[rank].processors)) continue;
      members.push_back(rank);
      threads += facts.ranks[rank].threads;
    }
    const bool known = std::ranges::any_of(told, [&](const auto& one) { return std::ranges::includes(set, one); });
    if (threads <= static_cast<int>(set.size()) || known) continue;
    told.push_back(set);
    const std::string who = members.size() == host.ranks.size() && members.size() > 1
                                ? "all ranks"
                                : message(members.size() == 1 ? "rank " : "ranks ", ranges_text(members));
    crowds.push_back({message(who, " on ", host.name, " (", threads, " threads on ", ranges_text(set), ")"),
                      static_cast<int>(set.size()) < facts.ranks[members.front()].processors_of_host});
  }
  return crowds;
}

Check threads(const ClusterFacts& facts) {
  Check check{"threads", Status::ok, message(facts.ranks.front().threads, " per rank, a processor for each"), ""};
  std::set<std::string> crowded, bound;
  for (const ClusterHost& host : hosts_of(facts))
    for (const Crowd& crowd : crowds_of(facts, host)) (crowd.bound ? bound : crowded).insert(crowd.text);
  if (!bound.empty()) {
    check.status = Status::warn;
    check.found = "bound to fewer processors than threads: " + list_text(bound);
    check.advice = "mpirun --bind-to none, or srun --cpus-per-task=THREADS --cpu-bind=cores";
  } else if (!crowded.empty()) {
    check.status = Status::warn;
    check.found = "more threads than processors: " + list_text(crowded);
    check.advice = "fewer ranks on the host, or a smaller parallel.threads";
  }
  return check;
}

Check clock(const ClusterFacts& facts) {
  double worst = 0;
  std::set<std::string> off;
  for (size_t rank = 0; rank < facts.clock_offsets.size(); ++rank) {
    worst = std::max(worst, std::abs(facts.clock_offsets[rank]));
    if (std::abs(facts.clock_offsets[rank]) > 0.5) off.insert(facts.ranks[rank].host);
  }
  std::ostringstream found;
  found << std::fixed << std::setprecision(worst < 1 ? 4 : 1) << "at most " << worst << " s apart";
  if (off.empty()) return {"clock", Status::ok, found.str(), ""};
  return {"clock", Status::warn, found.str() + ": " + list_text(off),
          "logs, file times and credentials of Slurm's munge go by it; start chrony or ntpd there"};
}

Check folder(const ClusterFacts& facts) {
  std::set<std::string> said;
  for (size_t rank = 0; rank < facts.folder_problems.size(); ++rank)
    if (!facts.folder_problems[rank].empty()) said.insert(facts.ranks[rank].host + " " + facts.folder_problems[rank]);
  if (said.empty()) return {"run folder", Status::ok, facts.folder + " is seen, written and locked everywhere", ""};
  return {"run folder", Status::fail, list_text(said, 3),
          "put run.folder on a file system that all hosts share, with locks (Lustre: mount with flock)"};
}

Check memory(const ClusterFacts& facts) {
  if (facts.forecast.empty()) return {"memory", Status::ok, facts.no_forecast, ""};
  Check check{"memory", Status::ok, "", ""};
  std::set<std::string> short_of, close;
  double fullest = 0;
  for (const ClusterHost& host : hosts_of(facts)) {
    const double share = host.forecast_memory / std::max(1.0, host.available_memory);
    fullest = std::max(fullest, share);
    const std::string text =
        message(host.name, " (", size_text(host.forecast_memory), " of ", size_text(host.available_memory), ")");
    if (share > 1) short_of.insert(text);
    if (share > 0.9) close.insert(text);
  }
  check.found = message("the plan needs at most ", std::lround(100 * fullest), " % of what a host has free");
  if (close.empty()) return check;
  check.status = short_of.empty() ? Status::warn : Status::fail;
  check.found += ": " + list_text(short_of.empty() ? close : short_of);
  check.advice = "fewer ranks on the host, more ranks in all, or what `interlock plan` says about the parts";
  return check;
}

// Memory that ranks share is many times as fast as a network: each kind of pair is held against its own.
std::vector<Link> links_of(const ClusterFacts& facts, bool within_host) {
  std::vector<Link> found;
  for (const Link& link : facts.links)
    if ((facts.ranks[link.from].host == facts.ranks[link.to].host) == within_host) found.push_back(link);
  return found;
}

double median_of(const std::vector<Link>& links, double Link::*value) {
  std::vector<double> values;
  for (const Link& link : links) values.push_back(link.*value);
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

// A pair that is far behind the others has something between it that the others have not.
Check links(const ClusterFacts& facts) {
  if (facts.links.empty()) return {"links", Status::ok, "no pair of ranks exchanges messages", ""};
  std::vector<double> latencies, speeds;
  for (const Link& link : facts.links) {
    latencies.push_back(link.latency_us);
    speeds.push_back(link.mib_per_second);
  }
  std::ranges::sort(latencies);
  std::ranges::sort(speeds);
  std::ostringstream found;
  found << std::fixed << std::setprecision(0) << latencies.front() << " to " << latencies.back() << " us, "
        << speeds.front() << " to " << speeds.back() << " MiB/s for messages of "
        << size_text(static_cast<double>(facts.message_bytes));
  std::set<std::string> slow;
  bool between_hosts = false;
  for (const bool within_host : {true, false}) {
    const std::vector<Link> alike = links_of(facts, within_host);
    if (alike.empty()) continue;
    const double middle_latency = median_of(alike, &Link::latency_us),
                 middle_speed = median_of(alike, &Link::mib_per_second);
    // By any standard: a network of a cluster has a tenth of the one and ten times the other.
    const bool all = middle_latency > 500 || (middle_speed < 100 && facts.message_bytes >= (1 << 16));
    for (const Link& link : alike)
      if (all || link.mib_per_second < middle_speed / 3 ||
          (link.latency_us > 3 * middle_latency && link.latency_us > 200)) {
        between_hosts |= !within_host;
        slow.insert(
            message(link.from, "-", link.to, " (", facts.ranks[link.from].host, ", ", facts.ranks[link.to].host, ")"));
      }
  }
  if (facts.slowed.slowed() && slow.empty())
    return {"links", Status::warn, found.str() + "; the run will have them " + slowed_text(facts.slowed),
            "parallel.link_bandwidth and parallel.link_latency are for tests: 0 leaves links as they are"};
  if (slow.empty()) return {"links", Status::ok, found.str(), ""};
  return {"links", Status::warn, found.str() + "; slow: " + list_text(slow),
          between_hosts
              ? "name the fast network: --mca btl_tcp_if_include IFACE (under srun OMPI_MCA_btl_tcp_if_include=IFACE)"
              : "ranks of one host share its memory: look for other programs on it and for ranks that share a core "
                "(threads), and measure again"};
}

}  // namespace

std::vector<Check> judge(const ClusterFacts& facts) {
  return {ranks(facts),
          alike(facts, "program", &RankFacts::program, Status::fail, "give every host the same program"),
          config(facts),
          alike(facts, "mpi", &RankFacts::mpi, Status::fail, "start with the same Open MPI on every host"),
          libraries(facts),
          alike(facts, "processor", &RankFacts::processor, Status::warn,
                "other instructions give other bits; ATEN_CPU_CAPABILITY=avx2 for all makes them equal"),
          threads(facts),
          memory(facts),
          clock(facts),
          folder(facts),
          links(facts)};
}

}  // namespace interlock
