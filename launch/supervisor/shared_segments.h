#pragma once
// Shared memory through which Open MPI's ranks of one machine exchange messages ("vader" of version 4). Ranks and an
// mpirun that are killed together leave it behind, and it stays until the machine is started again.

#include <cstdint>
#include <string>
#include <vector>

namespace interlock {

struct SharedSegment {
  std::string path;
  int64_t bytes = 0;  // of memory that it takes
};

// Those of this user that no process has mapped and that nobody has changed for a minute. Empty where /proc cannot tell
// what this user's processes have mapped.
std::vector<SharedSegment> abandoned_segments(const std::string& folder = "/dev/shm");

// Removes them; how many are gone.
int remove_segments(const std::vector<SharedSegment>& segments);

}  // namespace interlock
