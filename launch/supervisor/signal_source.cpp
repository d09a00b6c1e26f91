// A signalfd.
#include "launch/supervisor/signal_source.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/core/error.h"

namespace interlock {

SignalSource::SignalSource(std::initializer_list<int> numbers) {
  sigset_t watched;
  sigemptyset(&watched);
  for (const int number : numbers) sigaddset(&watched, number);
  sigprocmask(SIG_BLOCK, &watched, &before_);
  descriptor_ = signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
  if (descriptor_ >= 0) return;
  const int problem = errno;
  sigprocmask(SIG_SETMASK, &before_, nullptr);
  throw Error(ExitCode::gave_up, message("cannot listen for signals: ", std::strerror(problem),
                                         problem == EMFILE ? " (ulimit -n raises how many files it may open)" : ""));
}

SignalSource::~SignalSource() {
  close(descriptor_);
  sigprocmask(SIG_SETMASK, &before_, nullptr);
}

int SignalSource::next() const {
  signalfd_siginfo info{};
  return read(descriptor_, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
}

std::string signal_name(int number) {
  const char* name = sigabbrev_np(number);
  return name ? std::string("SIG") + name : "signal " + std::to_string(number);
}

}  // namespace interlock
