// Signals as an exception at a place that can take one.

#include "launch/terminal/interruption.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace interlock {
namespace {

volatile sig_atomic_t received = 0;
constexpr std::array<int, 2> taken = {SIGINT, SIGTERM};
std::array<struct sigaction, taken.size()> before;

void note(int signal) { received = signal; }

}  // namespace

Interruption::Interruption() {
  received = 0;
  for (size_t at = 0; at < taken.size(); ++at) {
    sigaction(taken[at], nullptr, &before[at]);
    if (before[at].sa_handler == SIG_IGN) continue;
    struct sigaction action = {};
    action.sa_handler = note;
    // The second one ends the process at once, whatever it is doing.
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(taken[at], &action, nullptr);
  }
}

Interruption::~Interruption() {
  for (size_t at = 0; at < taken.size(); ++at) sigaction(taken[at], &before[at], nullptr);
}

void Interruption::check() const {
  if (received != 0) throw Interrupted{received};
}

void end_by(const Interrupted& interrupted) {
  signal(interrupted.signal, SIG_DFL);
  raise(interrupted.signal);
  std::abort();  // a signal that was just given its default action and is not blocked does not return
}

}  // namespace interlock
