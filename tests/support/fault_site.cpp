// The places at which a process fails, as INTERLOCK_FAULT="WHAT RANK STEP PLACE MARK" asks: WHAT is `kill` or `loop`,
// and the file MARK is made when it happens, which it does once.
#include "runtime/core/fault_site.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <string>

namespace interlock {
namespace {

struct Fault {
  std::string what, place, mark;
  int64_t rank = -1, step = -1;
};

Fault asked_for() {
  Fault fault;
  if (const char* text = std::getenv("INTERLOCK_FAULT"))
    std::istringstream(text) >> fault.what >> fault.rank >> fault.step >> fault.place >> fault.mark;
  return fault;
}

int64_t own_rank() {
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  return rank ? std::atoll(rank) : 0;
}

}  // namespace

void fault_site(std::string_view place, int64_t step) {
  static const Fault fault = asked_for();
  static const int64_t rank = own_rank();
  if (rank != fault.rank || step != fault.step || place != fault.place) return;
  if (::open(fault.mark.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0) return;
  if (fault.what == "kill") ::raise(SIGKILL);
  for (volatile int64_t turns = 0;;) turns = turns + 1;
}

}  // namespace interlock
