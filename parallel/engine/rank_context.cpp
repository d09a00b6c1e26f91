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

}  // namespace

// Groups are numbered so that no two share a lane: the world, one per pipeline rank, one per replica, and one per
// replica for both ends.
RankContext::RankContext(Transport& transport_of_run, Topology topology_of_run, uint64_t run_number,
                         std::vector<std::unique_ptr<Stage>> stages_here, bool tied, Device device_here)
    : transport(transport_of_run),
      topology(std::move(topology_of_run)),
      run(run_number),
      device(std::move(device_here)),
      stages(std::move(stages_here)),
      world(transport, everyone(transport.size()), 0, run),
      pipeline(transport, topology.pipeline(), 1 + topology.shape.ranks + topology.replica(), run),
      replicas(transport, topology.same_stages(), 1 + topology.pipeline_rank(), run) {
  const PlanShape& shape = topology.shape;
  if (replicas.size() > 1)
    own_replica_values_ = transport.make_collectives(topology.same_stages(), 1 + topology.pipeline_rank(), run);
  const int first = topology.world_rank_of(0), last = topology.world_rank_of(shape.stages - 1);
  const int here = topology.world_rank;
  if (!tied || first == last || (here != first && here != last)) return;
  const std::vector<int> ends{first, last};
  const int number = 1 + shape.ranks + shape.replicas + topology.replica();
  end_values = transport.make_collectives(ends, number, run);
  if (!end_values) end_values = std::make_unique<Group>(transport, ends, number, run);
}

Stage& RankContext::stage(int index) {
  for (auto& one : stages)
    if (one->index() == index) return *one;
  throw Error(ExitCode::gave_up, message("rank ", topology.world_rank, " was asked for stage ", index,
                                         ", which it does not hold: a mistake of the program"));
}

}  // namespace interlock
