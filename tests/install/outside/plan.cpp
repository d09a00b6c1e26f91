// Prints the backward messages over each boundary of a rule's plan.

#include "parallel/plan/plan.h"

#include <iostream>

int main() {
  using namespace interlock;
  PlanRequest request;
  request.shape = {.stages = 4, .ranks = 4, .microbatches = 3};
  request.rule = make_rule({.rule = "sum", .horizon = 2}, 4);
  for (const int64_t messages : make_plan(request).backward_messages()) std::cout << messages << "\n";
}
