#pragma once
// The mpirun command line of a supervised run. Internal to the supervisor.

#include <string>
#include <vector>

#include "launch/supervisor/supervisor.h"

namespace interlock {

int physical_cores();  // that this process may use

// The first executable file `name` on PATH, or "".
std::string find_program(const std::string& name);

// Error(config), with what to install, when there is no mpirun.
std::vector<std::string> mpirun_command(const SupervisorRequest& request);

}  // namespace interlock
