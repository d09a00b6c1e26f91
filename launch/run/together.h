#pragma once
// Ranks that a launcher started begin together and end together: what one host alone lacks is said once, by rank 0, and
// the launcher answers with the code of the rank that failed.

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "parallel/transport/common_error.h"
#include "parallel/transport/launch_place.h"

namespace interlock {

class Transport;

// Every rank calls it. Runs `prepare`, which may fail on some of them, and waits for the others. The failure of the
// lowest rank comes back on all: with the rank and its host, unless all say the same.
std::optional<Error> meet(Transport& transport, const std::function<void()>& prepare);

// As meet(); what would come back is thrown. CommonError.
void begin_together(Transport& transport, const std::function<void()>& prepare);

// Every rank calls it with the values of its config. On all the same failure comes back where one of them has another
// than rank 0: each would train as its own file says, and nobody would know what came out. What may differ between
// hosts (run.device, parallel.threads, [monitor]) is passed over.
using ConfigValues = std::map<std::string, std::string>;  // by key
std::optional<Error> compare_configs(Transport& transport, const ConfigValues& own);

// The life of a process that a launcher started as one of several: MPI first, so that whoever fails is heard; then
// `prepare` on every rank, as in meet(), and what it returns compared; then `work`, which returns the exit code that
// all ranks agree on. An exception in `work` ends all ranks at once, with its code; a CommonError in order. Returns the
// exit code of rank 0. A run that ends with another code than 0 lets its other ranks go first, with 0, and they do not
// return: `srun --kill-on-bad-exit` ends whoever is left when the first one fails, and answers with that. Error(config)
// on rank 0 where MPI cannot start (LaunchPlace::no_mpi).
int run_together(const LaunchPlace& place, const std::function<ConfigValues(Transport&)>& prepare,
                 const std::function<int(Transport&)>& work);

}  // namespace interlock
