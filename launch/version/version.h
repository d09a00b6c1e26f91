#pragma once
// What this program was built from and with: `interlock --version`, and the manifest of every run.

#include <string>

namespace interlock {

struct Version {
  std::string interlock;  // as 0.1.0
  std::string commit;     // 12 digits, "-modified" behind them where files differed; "unknown" outside of a checkout
  std::string libtorch;
  std::string mpi;  // name and number of the library that is loaded
};

Version version();
// In one line, the number first: 0.1.0 (commit ..., LibTorch ..., Open MPI v...).
std::string version_line();

}  // namespace interlock
