// One flag, and a handler that does nothing but set it.
#include "launch/stop_request.h"

#include <signal.h>

#include <atomic>

#include "parallel/transport/mpi.h"

namespace interlock {
namespace {

std::atomic<bool> requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may not wait for a lock");

extern "C" void note_request(int) { requested.store(true, std::memory_order_relaxed); }

void take_as_request(int number) {
  struct sigaction action {};
  action.sa_handler = note_request;
  action.sa_flags = SA_RESTART;  // reads and writes under way must not fail because of it
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, nullptr);
}

}  // namespace

void watch_for_stop_request() {
  take_as_request(SIGUSR1);
  if (!launch_place().launched) take_as_request(SIGTERM);
}

bool stop_requested() { return requested.load(std::memory_order_relaxed); }

}  // namespace interlock
