// Preloaded into a program, this asks it to stop while its libraries are made ready.
#include <signal.h>

[[gnu::constructor]] static void ask() { raise(SIGUSR1); }
