#pragma once
// How fast messages are between ranks, and whether their hosts agree on the time. Torch-free.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "parallel/plan/plan.h"

namespace interlock {

class Group;
class Transport;

// The ranks of a run whose stages exchange messages, each pair once, the lower stage's rank first: of every replica.
std::vector<std::pair<int, int>> neighbour_pairs(const PlanShape& shape);
// In rounds: no rank is in two pairs of a round.
std::vector<std::vector<std::pair<int, int>>> in_rounds(const std::vector<std::pair<int, int>>& pairs);

struct Link {
  int from = 0, to = 0;
  double latency_us = 0;      // of a small message, one way: half of the median round trip
  double mib_per_second = 0;  // of messages of the size asked for, one way
};
// All ranks call it, with the same pairs and size; the links are whole on rank 0. As many pairs at a time as have no
// rank in common, which is what a run does too. `bytes` of a large message.
std::vector<Link> measure_links(Transport& transport, Group& world, const std::vector<std::pair<int, int>>& pairs,
                                uint64_t bytes);

// By rank, on rank 0: how far the clock of its host is ahead of that of rank 0's, in seconds, as the quickest of some
// round trips tells. All ranks call it.
std::vector<double> clock_offsets(Transport& transport);

}  // namespace interlock
