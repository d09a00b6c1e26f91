#pragma once
// The mpirun command line of a supervised run. Internal to the supervisor.

#include <string>
#include <vector>

#include "launch/supervisor/supervisor.h"

namespace interlock {

int physical_cores();  // that this process may use

// The first executable file `name` on PATH, or "".
std::string find_program(const std::string& name);

// Whose mpirun prints this on `--version`: "MPICH", "Intel MPI", or "" for Open MPI and for what is not known.
std::string foreign_mpi(const std::string& version);
// What to do about one of those.
inline constexpr const char* open_mpi_first =
    "put Open MPI's mpirun first on PATH (a module of the site; Debian: update-alternatives --config mpirun), or start "
    "the ranks with mpirun.openmpi or srun --mpi=pmix";

// What keeps Open MPI's mpirun (of this `--version`) from starting on a host of this name, as a sentence; "" for
// nothing.
std::string refusal_of_host(const std::string& version, const std::string& host);

// `launch_word`: what the ranks show (handshake.h); "" for nothing. Error(config), with what to install, when there is
// no mpirun or another MPI's, on a host that it cannot start on, and in a process that another launcher of ours has
// started. Error(cannot_write) where the folder for temporary files is full.
std::vector<std::string> mpirun_command(const SupervisorRequest& request, const std::string& launch_word = "");

}  // namespace interlock
