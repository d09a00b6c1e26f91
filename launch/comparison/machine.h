#pragma once
// The machine that a comparison runs on, and the time, for its report.

#include <string>

namespace interlock {

struct Outcome;

int machine_cores();  // that this process may use
std::string now_utc();
void describe_machine(Outcome& outcome);  // host, processor, cores, load, versions

}  // namespace interlock
