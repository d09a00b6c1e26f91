#pragma once
// The pictures of a comparison, each as HTML; "" where there is nothing to show.

#include <string>

#include "launch/comparison/outcome.h"

namespace interlock {

std::string learning_curves(const Outcome& outcome, int stages);   // by steps, times and operations, with bands
std::string quality_and_cost(const Outcome& outcome, int stages);  // test loss against time and memory
std::string steps_in_time(const Outcome& outcome, int stages);     // a step of every rule, and what ranks did
std::string exits_of(const Outcome& outcome, int stages);          // test loss of every head; cosines of gradients
std::string over_stages(const Outcome& outcome);                   // scaling
std::string sweeps(const Outcome& outcome, int stages);  // by microbatches of a step, and by the speed of links

}  // namespace interlock
