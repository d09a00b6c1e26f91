#include "launch/supervisor/handshake.h"

#include <unistd.h>

#include <cstdlib>
#include <iomanip>
#include <random>
#include <sstream>

#include "runtime/core/error.h"

namespace interlock {

bool is_supervised() { return std::getenv(supervised_variable) != nullptr; }

void refuse_second_launch() {
  if (!is_supervised()) return;
  throw Error(ExitCode::config,
              message("started by the mpirun of another `interlock train` (", supervised_variable,
                      " is set), which has told it no rank: that mpirun is none of Open MPI; put Open "
                      "MPI's first on PATH"));
}

std::string new_launch_word() {
  std::random_device random;
  std::ostringstream text;
  text << std::hex << std::setfill('0') << std::setw(8) << random() << std::setw(8) << random();
  return text.str();
}

void say_that_ranks_are_up() {
  const char* word = std::getenv(launch_variable);
  if (!word || !*word) return;
  const std::string line = message(ranks_are_up_marker, word, "\n");
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace interlock
