#pragma once
// Host memory over MPI. A thread of its own is the only one that calls MPI: it initialises it (asking for, and
// checking, MPI_THREAD_FUNNELED, which is enough as that thread is MPI's main thread), moves data while the rank
// computes, sleeps between polls so that ranks may share cores, and finalises it. Tags come from lanes. Large payloads
// travel in pieces.

#include <memory>
#include <string>

#include "parallel/transport/launch_place.h"
#include "parallel/transport/transport.h"

namespace interlock {

struct MpiOptions {
  uint64_t piece_bytes = uint64_t{1} << 30;  // MPI counts are int: larger payloads are cut
};

// One per process and life of the process: MPI cannot start twice. Error(config) when MPI gives less than it must, and
// before it starts where launch_place() says that it cannot.
std::unique_ptr<Transport> make_mpi(const MpiOptions& options = {});

// Name and number of the library, as "Open MPI v4.1.4": by any thread, before and after MPI's life.
std::string mpi_library();

}  // namespace interlock
