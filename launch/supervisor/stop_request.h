#pragma once
// A request from outside to end a run between steps, with a checkpoint: a flag that a signal sets and the ranks read.

namespace interlock {

// Keeps SIGTERM and SIGUSR1 waiting until one of the functions below says what they mean, and so does whoever starts a
// program with the signals blocked (`env --block-signal=USR1`). Calls nothing but the kernel: it may run before any
// library is ready.
void hold_stop_requests();

// SIGTERM and SIGUSR1 have their usual effect: they end the process.
void release_stop_requests();

// Call before MPI starts. SIGUSR1 is then a request, not an end. A process that nobody launched takes SIGTERM as one
// too; under mpirun or srun that would be in vain, as they follow SIGTERM by SIGKILL after a second or so. SIGINT
// (Ctrl-C) is one to it as well, and says so; the second ends the process at once.
void watch_for_stop_request();

// For a launcher that has started nothing yet: SIGTERM and SIGUSR1 end it at once with the exit code of a stop, as
// nothing is lost. What is called later (the above, or supervise()) takes over.
void end_on_stop_request();

// For a launcher whose ranks have all ended: what asks for a stop by now comes too late, and the run's own exit code
// stays.
void ignore_stop_requests();

// Whether one has come, to this process. Ranks may see it at different times and must agree on what to do.
bool stop_requested();
// The signal that asked first; 0: none has.
int stop_requested_by();

}  // namespace interlock
