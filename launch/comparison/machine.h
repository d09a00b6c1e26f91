#pragma once
// The machine that a comparison runs on, for its report.

#include <string>

namespace interlock {

struct Outcome;

int machine_cores();                      // that this process may use
void describe_machine(Outcome& outcome);  // host, processor, cores, load, versions

}  // namespace interlock
