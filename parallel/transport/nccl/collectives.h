#pragma once
// Collectives over NCCL. Internal to this room.

#include <cstdint>
#include <memory>
#include <vector>

#include "parallel/transport/collectives.h"
#include "parallel/transport/nccl/watch.h"
#include "parallel/transport/transport.h"

namespace interlock {

// Thread blocks of one of its calls; one is at work at a time.
inline constexpr int collective_blocks = 32;

// All members call it, in the same order of groups; the id travels over `transport`'s host side. Sums are added in
// NCCL's own order: equal on all members, but not the bits of a Group's.
std::unique_ptr<Collectives> make_nccl_collectives(Transport& transport, NcclWatch& watch,
                                                   const std::vector<int>& members, int number, uint64_t run);

}  // namespace interlock
