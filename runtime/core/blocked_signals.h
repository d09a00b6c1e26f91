#pragma once
// Signals are for the program's own threads. A thread that blocks none takes any that the others block: it acts on a
// SIGTERM that the program meant to read, and swallows the SIGCHLD that somebody waits for.

#include <signal.h>

namespace interlock {

// Blocks all signals of the calling thread while it lives. Threads that are started meanwhile, by libraries too, block
// them for good.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace interlock
