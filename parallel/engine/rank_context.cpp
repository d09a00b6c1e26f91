#include "parallel/engine/rank_context.h"

#include <numeric>
#include <utility>

#include "runtime/core/error.h"

namespace interlock {
namespace {

std::vector<int> everyone(int size) {
  std::vector<int> members(size);
  std::iota(members.begin(), members.end(), 0);
  return members;
}

// Of two groups that share two ranks each has a number of its own, so that no two share a lane. Pipelines of replicas
// share no rank, and neither do the ranks that hold the same stages and those that hold others: however many there are,
// four numbers do, and tags have room for them.
enum GroupNumber { of_world, of_replicas, of_pipeline, of_ends };

}  // namespace

RankContext::RankContext(Transport& transport_of_run, Topology topology_of_run, uint64_t run_number,
                         std::vector<std::unique_ptr<Stage>> stages_here, bool tied, Device device_here)
    : transport(transport_of_run),
      topology(std::move(topology_of_run)),
      run(run_number),
      device(std::move(device_here)),
      stages(std::move(stages_here)),
      world(transport, everyone(transport.size()), of_world, run),
      pipeline(transport, topology.pipeline(), of_pipeline, run),
      replicas(transport, topology.same_stages(), of_replicas, run) {
  const PlanShape& shape = topology.shape;
  if (replicas.size() > 1) own_replica_values_ = transport.make_collectives(topology.same_stages(), of_replicas, run);
  const int first = topology.world_rank_of(0), last = topology.world_rank_of(shape.stages - 1);
  const int here = topology.world_rank;
  if (!tied || first == last || (here != first && here != last)) return;
  const std::vector<int> ends{first, last};
  end_values = transport.make_collectives(ends, of_ends, run);
  if (!end_values) end_values = std::make_unique<Group>(transport, ends, of_ends, run);
}

Stage& RankContext::stage(int index) {
  for (auto& one : stages)
    if (one->index() == index) return *one;
  throw Error(ExitCode::gave_up, message("rank ", topology.world_rank, " was asked for stage ", index,
                                         ", which it does not hold: a mistake of the program"));
}

}  // namespace interlock
