// Round trips.
#include "launch/cluster_check/links.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <set>

#include "parallel/transport/control_lanes.h"
#include "parallel/transport/group.h"

namespace interlock {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int small_trips = 50, large_trips = 5, warm_up = 3, clock_trips = 20;
constexpr uint64_t small_bytes = 64;

class RoundTrips {
 public:
  RoundTrips(Transport& transport, int peer, uint64_t bytes) : transport_(transport), peer_(peer) {
    header_.lane = link_trial_lane;
    header_.bytes = bytes;
    out_ = Buffer::allocate(bytes);
    in_ = Buffer::allocate(bytes);
    std::memset(out_.data, 0, bytes);
  }
  void send() { transport_.send(peer_, header_, out_)->wait(); }
  void receive() { transport_.receive(peer_, header_, in_)->wait(); }
  // Half of the median, in seconds; 0 on the side that answers.
  double measure(bool asks, int trips) {
    std::vector<double> taken;
    for (int trip = -warm_up; trip < trips; ++trip) {
      const auto start = Clock::now();
      asks ? send() : receive();
      asks ? receive() : send();
      if (trip >= 0) taken.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    std::nth_element(taken.begin(), taken.begin() + trips / 2, taken.end());
    return taken[trips / 2] / 2;
  }
  std::byte* sent() { return out_.data; }
  std::byte* received() { return in_.data; }

 private:
  Transport& transport_;
  const int peer_;
  MessageHeader header_;
  Buffer out_, in_;
};

double wall_clock() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

std::vector<std::pair<int, int>> neighbour_pairs(const PlanShape& shape) {
  std::vector<std::pair<int, int>> pairs;
  for (int replica = 0; replica < shape.replicas; ++replica)
    for (int stage = 0; stage + 1 < shape.stages; ++stage) {
      const int first = replica * shape.ranks;
      const std::pair pair{first + shape.rank_of(stage), first + shape.rank_of(stage + 1)};
      const std::pair back{pair.second, pair.first};
      if (pair.first != pair.second && !std::ranges::count(pairs, pair) && !std::ranges::count(pairs, back))
        pairs.push_back(pair);
    }
  return pairs;
}

std::vector<std::vector<std::pair<int, int>>> in_rounds(const std::vector<std::pair<int, int>>& pairs) {
  std::vector<std::vector<std::pair<int, int>>> rounds;
  std::vector<std::set<int>> busy;
  for (const auto& [from, to] : pairs) {
    size_t round = 0;
    while (round < busy.size() && (busy[round].contains(from) || busy[round].contains(to))) ++round;
    if (round == busy.size()) {
      busy.emplace_back();
      rounds.emplace_back();
    }
    busy[round].insert({from, to});
    rounds[round].emplace_back(from, to);
  }
  return rounds;
}

std::vector<Link> measure_links(Transport& transport, Group& world, const std::vector<std::pair<int, int>>& pairs,
                                uint64_t bytes) {
  const int rank = transport.rank();
  std::vector<Link> links;
  for (const auto& round : in_rounds(pairs)) {
    Link own;
    for (const auto& [from, to] : round) {
      if (rank != from && rank != to) continue;
      const int peer = rank == from ? to : from;
      const double small = RoundTrips(transport, peer, small_bytes).measure(rank == from, small_trips);
      const double large = RoundTrips(transport, peer, bytes).measure(rank == from, large_trips);
      own = {from, to, 1e6 * small, static_cast<double>(bytes) / (1 << 20) / large};
    }
    for (const auto& [from, to] : round) {
      const std::string said =
          world.collect(rank == from ? std::string(reinterpret_cast<const char*>(&own), sizeof own) : "", from, 0);
      if (rank == 0) std::memcpy(&links.emplace_back(), said.data(), sizeof own);
    }
  }
  return links;
}

std::vector<double> clock_offsets(Transport& transport) {
  std::vector<double> offsets(1, 0.0);
  if (transport.rank() != 0) {
    RoundTrips trips(transport, 0, sizeof(double));
    for (int trip = 0; trip < clock_trips; ++trip) {
      trips.receive();
      const double now = wall_clock();
      std::memcpy(trips.sent(), &now, sizeof now);
      trips.send();
    }
    return offsets;
  }
  for (int peer = 1; peer < transport.size(); ++peer) {
    RoundTrips trips(transport, peer, sizeof(double));
    double quickest = 1e9, offset = 0;
    for (int trip = 0; trip < clock_trips; ++trip) {
      const double start = wall_clock();
      trips.send();
      trips.receive();
      const double end = wall_clock();
      double there = 0;
      std::memcpy(&there, trips.received(), sizeof there);
      if (end - start >= quickest) continue;
      quickest = end - start;
      offset = there - (start + end) / 2;
    }
    offsets.push_back(offset);
  }
  return offsets;
}

}  // namespace interlock
