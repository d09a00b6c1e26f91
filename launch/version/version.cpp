#include "launch/version/version.h"

#include <torch/version.h>

#include <interlock_commit.h>
#include "parallel/transport/mpi.h"

namespace interlock {

Version version() { return {INTERLOCK_VERSION, INTERLOCK_COMMIT, TORCH_VERSION, mpi_library()}; }

std::string version_line() {
  const Version all = version();
  return all.interlock + " (commit " + all.commit + ", LibTorch " + all.libtorch + ", " + all.mpi + ")";
}

}  // namespace interlock
