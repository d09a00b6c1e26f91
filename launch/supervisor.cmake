# The parent of a run that nobody launched. Free of torch and MPI.
interlock_library(interlock_supervisor
  SOURCES supervisor.cpp signal_source.cpp child_tree.cpp launcher_output.cpp mpirun_banner.cpp mpirun_command.cpp
  LINK interlock_core)

# The ranks' side of a stop on request.
interlock_library(interlock_stop_request SOURCES stop_request.cpp LINK interlock_transport)

# What `interlock doctor` asks the machine; the command itself, doctor.cpp, adds LibTorch.
interlock_library(interlock_checks
  SOURCES checks_machine.cpp checks_processes.cpp
  LINK interlock_supervisor interlock_transport interlock_core)
