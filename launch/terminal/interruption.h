#pragma once
// Ctrl-C and kill for work that leaves temporary files: the work is asked now and then, unwinds, and then the process
// ends by the signal as it would have at once.

namespace interlock {

class Interruption {
 public:
  Interruption();   // takes SIGINT and SIGTERM, unless the process was started to ignore them
  ~Interruption();  // gives them back
  Interruption(const Interruption&) = delete;

  void check() const;  // throws Interrupted after a signal
};

struct Interrupted {
  int signal;
};

// Ends the process by a signal whose work has been unwound.
[[noreturn]] void end_by(const Interrupted& interrupted);

}  // namespace interlock
