#pragma once
// The memory that no formula gives: what libraries, threads and data take. Measured where the plan is asked for.

#include "launch/settings/run_settings.h"

namespace interlock {

// What opening the data, and reading the samples that the run will read, adds to this process's memory, in bytes; takes
// half a second at most beyond the opening. 0 when the data is not here.
double measure_data(const RunSettings& settings);

// A rank that holds nothing: this program, started, with its transport, its libraries' own memory and the code that
// such a model runs in such a precision.
struct EmptyRank {
  double bytes = 0;     // of memory at its peak; 0: not measured
  double of_files = 0;  // of these, pages of files (the libraries), which the ranks of a machine have once together
};

// Measured in a process of its own (`interlock doctor --rank-memory MODEL PRECISION PRODUCTS`).
EmptyRank measure_empty_rank(const RunSettings& settings);

}  // namespace interlock
