# The parent of a run that nobody launched. Free of torch and MPI.
interlock_library(interlock_supervisor
  SOURCES supervisor.cpp child_tree.cpp launcher_output.cpp mpirun_banner.cpp mpirun_command.cpp
  LINK interlock_core)

# What `interlock doctor` asks the machine; the command itself, doctor.cpp, adds LibTorch.
interlock_library(interlock_checks
  SOURCES checks_machine.cpp checks_processes.cpp
  LINK interlock_supervisor interlock_transport interlock_core)
