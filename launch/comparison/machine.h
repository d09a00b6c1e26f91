#pragma once
// The machine that a comparison runs on, for its report.

#include <string>

namespace interlock {

struct Outcome;

int machine_cores();           // that this process may use
double machine_cpu_seconds();  // that all programs have taken since the machine started; 0: not told
double others_cpu_share(double cpu_seconds, double own_cpu_seconds, double seconds);
void describe_machine(Outcome& outcome);  // host, processor, cores, load, versions

}  // namespace interlock
