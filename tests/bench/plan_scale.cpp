// How large plans may grow: 256 stages x 2048 microbatches of four rules, on 256 ranks and on 16 (several stages each),
// are lowered, checked and simulated on one core. Prints per case the actions, the seconds of each part (make_plan
// includes a check; the check alone is timed once more) and the peak memory so far; ends with code 1 when a case breaks
// the bound.

#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "parallel/plan/plan_check.h"
#include "parallel/plan/simulate.h"

namespace {

using namespace interlock;

constexpr double most_seconds = 10;
constexpr double most_mib = 2048;

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

bool measure(const RuleRequest& asked, const PlanShape& shape, const std::string& schedule) {
  PlanRequest request;
  request.shape = shape;
  request.rule = make_rule(asked, shape.stages);
  request.schedule = schedule;
  request.norm_over_model = couples_all_stages(request.rule);
  Plan plan;
  Simulation simulation;
  const double make = seconds_of([&] { plan = make_plan(request); });
  const double check = seconds_of([&] { plan_check(plan); });
  const double run = seconds_of([&] { simulation = simulate(plan, SimulationCosts::unit(shape.stages)); });
  size_t actions = 0;
  for (const auto& rank : plan.ranks) actions += rank.size();
  std::printf("%-12s %5d %-10s %10zu %10.2f %10.2f %10.2f %10.0f %14.0f %8.3f\n", request.rule.name.c_str(),
              shape.ranks, schedule.c_str(), actions, make, check, run, peak_mib(), simulation.step,
              simulation.idle_share);
  return make + run < most_seconds && peak_mib() < most_mib;
}

}  // namespace

int main(int argc, char** argv) {
  const int stages = argc > 1 ? std::atoi(argv[1]) : 256;
  const int microbatches = argc > 2 ? std::atoi(argv[2]) : 2048;
  const std::vector<RuleRequest> rules = {
      {.rule = "local"}, {.rule = "global"}, {.rule = "furthest", .horizon = 4}, {.rule = "sum", .horizon = 4}};
  std::printf("%d stages x %d microbatches, contiguous, one core\n", stages, microbatches);
  std::printf("%-12s %5s %-10s %10s %10s %10s %10s %10s %14s %8s\n", "rule", "ranks", "schedule", "actions", "make s",
              "check s", "simulate s", "peak MiB", "step (units)", "idle");
  bool held = true;
  for (const std::string schedule : {"wavefront", "gpipe"}) {
    for (const int share : {1, 16}) {
      if (stages % share != 0) continue;
      const PlanShape shape{.stages = stages, .ranks = stages / share, .microbatches = microbatches};
      for (const RuleRequest& rule : rules) held = measure(rule, shape, schedule) && held;
    }
  }
  std::printf("%s: make + simulate under %.0f s and %.0f MiB in every case\n", held ? "held" : "BROKEN", most_seconds,
              most_mib);
  return held ? 0 : 1;
}
