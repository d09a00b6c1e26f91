#pragma once
// The hosts on which our mpirun would start ranks.

namespace interlock {

// How many different hosts the batch system or a list of hosts gives to mpirun; 1 where nothing is said: this one. What
// is read are the variables of Slurm, PBS, LSF and Grid Engine, and the list that Open MPI takes from its own.
int listed_hosts();

}  // namespace interlock
