#pragma once
// What everything on a rank shares: how it reaches the others, who is where, and the stages it holds. Made once, when a
// run is assembled, and handed to whoever needs it.

#include <cstdint>
#include <memory>
#include <vector>

#include "parallel/engine/topology.h"
#include "parallel/stage/stage.h"
#include "parallel/transport/group.h"
#include "parallel/transport/transport.h"
#include "runtime/device/device.h"

namespace interlock {

struct RankContext {
  // `stages` are those of this rank, ascending, their tensors on `device`; `tied`: first and last stage share a tensor.
  // Every rank of the run makes its own; `run` is the same number on all of them.
  RankContext(Transport& transport, Topology topology, uint64_t run, std::vector<std::unique_ptr<Stage>> stages,
              bool tied, Device device = {});

  // An action or a message of a stage that is not here is our own mistake: refused by name.
  Stage& stage(int index);

  Transport& transport;
  const Topology topology;
  const uint64_t run;
  const Device device;
  std::vector<std::unique_ptr<Stage>> stages;
  // For texts, numbers of the host and barriers.
  Group world;
  Group pipeline;  // the ranks of this replica
  Group replicas;  // the ranks that hold the same stages, in replica order
  // Values of these ranks and their gradients, wherever they are kept.
  Collectives& replica_values() { return own_replica_values_ ? *own_replica_values_ : replicas; }
  // Values of the ranks of first and last stage, when they share a tensor and are two.
  std::unique_ptr<Collectives> end_values;

 private:
  std::unique_ptr<Collectives> own_replica_values_;  // of the transport; null: a group does it
};

}  // namespace interlock
