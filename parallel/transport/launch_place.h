#pragma once
// What a launcher said about this process in its environment, before MPI starts.

#include <string>

namespace interlock {

struct LaunchPlace {
  bool launched = false;  // under some mpirun or as a task of srun
  int rank = 0, size = 1, local_rank = 0, local_size = 1;
  bool slurm_step = false;  // a task of srun itself
  // Why MPI cannot start here (srun without PMIx, the launcher of another MPI) and what to use instead, as a sentence;
  // "" when it may. A process that needs no other does without MPI.
  std::string no_mpi = {};
};
LaunchPlace launch_place();

}  // namespace interlock
