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

std::atomic<int> requested_by{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may not wait for a lock");

extern "C" void note_request(int number) {
  int none = 0;
  requested_by.compare_exchange_strong(none, number, std::memory_order_relaxed);
}

// The line of a status may stand there without an end.
extern "C" void note_ctrl_c(int number) {
  note_request(number);
  constexpr char text[] =
      "\ninterlock: stopping: a step is finished and a checkpoint written; Ctrl-C again ends it at once\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
}

extern "C" void end_now(int) {
  constexpr char text[] = "interlock: stopped on request, before anything ran\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
  _exit(static_cast<int>(ExitCode::stopped));
}

void handle(int number, void (*handler)(int), int flags = 0) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART | flags;  // reads and writes under way must not fail because of it
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
  if (launch_place().launched) return release_stop_requests();
  handle(SIGTERM, note_request);
  struct sigaction before {};
  sigaction(SIGINT, nullptr, &before);
  // Whoever started the process to ignore it (nohup, a shell's `&`) wants that.
  if (before.sa_handler != SIG_IGN) handle(SIGINT, note_ctrl_c, static_cast<int>(SA_RESETHAND));
  release_stop_requests();
}

void end_on_stop_request() {
  for (const int number : {SIGTERM, SIGUSR1}) handle(number, end_now);
  release_stop_requests();
}

void ignore_stop_requests() {
  for (const int number : {SIGTERM, SIGUSR1, SIGINT, SIGHUP}) signal(number, SIG_IGN);
}

int stop_requested_by() { return requested_by.load(std::memory_order_relaxed); }

bool stop_requested() { return stop_requested_by() != 0; }

}  // namespace interlock
