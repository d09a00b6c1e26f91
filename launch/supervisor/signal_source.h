#pragma once
// Signals as something to read instead of something that interrupts. Internal to the supervisor.

#include <signal.h>

#include <initializer_list>
#include <string>

namespace interlock {

// Keeps the given signals from their usual effect on this thread, and delivers them, while it lives. Error(gave_up)
// where no file can be opened for it: signals that nobody hears would not end a run.
class SignalSource {
 public:
  explicit SignalSource(std::initializer_list<int> numbers);
  ~SignalSource();
  SignalSource(const SignalSource&) = delete;
  int descriptor() const { return descriptor_; }  // readable when there is one
  int next() const;                               // the next one that came, or 0

 private:
  sigset_t before_{};
  int descriptor_ = -1;
};

std::string signal_name(int number);  // "SIGTERM"

}  // namespace interlock
