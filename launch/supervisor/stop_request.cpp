// One flag and a handler that does nothing but set it, and one that ends.
#include "launch/supervisor/stop_request.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "parallel/transport/launch_place.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

std::atomic<bool> requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may not wait for a lock");

extern "C" void note_request(int) { requested.store(true, std::memory_order_relaxed); }

extern "C" void end_now(int) {
  constexpr char text[] = "interlock: stopped on request, before anything ran\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
  _exit(static_cast<int>(ExitCode::stopped));
}

void handle(int number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;  // reads and writes under way must not fail because of it
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, nullptr);
}

// The kernel's own call, and nothing on the stack: what sanitizers put in is not ready that early.
void change_mask(int how) {
  // The kernel's set of 64 signals.
  static constexpr uint64_t request = uint64_t{1} << (SIGUSR1 - 1) | uint64_t{1} << (SIGTERM - 1);
  syscall(SYS_rt_sigprocmask, how, &request, nullptr, sizeof request);
}

}  // namespace

void hold_stop_requests() { change_mask(SIG_BLOCK); }

void release_stop_requests() { change_mask(SIG_UNBLOCK); }

void watch_for_stop_request() {
  handle(SIGUSR1, note_request);
  if (!launch_place().launched) handle(SIGTERM, note_request);
  release_stop_requests();
}

void end_on_stop_request() {
  for (const int number : {SIGTERM, SIGUSR1}) handle(number, end_now);
  release_stop_requests();
}

bool stop_requested() { return requested.load(std::memory_order_relaxed); }

}  // namespace interlock
