// Preloaded into a program, this asks it to stop while its libraries are made ready: by SIGUSR1, or the signal of this
// number.
#include <signal.h>
#include <stdlib.h>

[[gnu::constructor]] static void ask() {
  const char* number = getenv("INTERLOCK_EARLY_SIGNAL");
  raise(number ? atoi(number) : SIGUSR1);
}
