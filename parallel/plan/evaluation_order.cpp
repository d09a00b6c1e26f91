#include "parallel/plan/evaluation_order.h"

#include <deque>

namespace interlock {
namespace {

struct Underway {
  int microbatch, next_stage;
  int64_t ready;  // from this tick on
};

}  // namespace

std::vector<std::vector<Action>> evaluation_order(const PlanShape& shape) {
  std::vector<std::vector<Action>> order(shape.ranks);
  const size_t most = 2 * static_cast<size_t>(shape.ranks);
  std::deque<Underway> underway;  // oldest first
  int begun = 0;
  for (int64_t tick = 0; begun < shape.microbatches || !underway.empty(); ++tick) {
    while (begun < shape.microbatches && underway.size() < most) underway.push_back({begun++, 0, tick});
    std::vector<bool> busy(shape.ranks, false);
    for (Underway& one : underway) {
      const int rank = shape.rank_of(one.next_stage);
      if (one.ready > tick || busy[rank]) continue;
      busy[rank] = true;
      order[rank].push_back({Kind::forward, one.next_stage, one.microbatch, -1});
      if (one.next_stage + 1 == shape.stages) order[rank].push_back({Kind::loss, one.next_stage, one.microbatch, -1});
      ++one.next_stage;
      one.ready = tick + 1;
    }
    std::erase_if(underway, [&](const Underway& one) { return one.next_stage == shape.stages; });
  }
  return order;
}

}  // namespace interlock
