// How large plans may grow: 256 stages x 2048 microbatches of several rules under every schedule and "auto", on 256
// ranks and on 16 (several stages each; on 128 in a V), are lowered, checked and simulated on one core. Prints per case
// the actions, the seconds of each part (make_plan includes a check; the check alone is timed once more) and the peak
// memory so far; ends with code 1 when a case breaks the bound.

#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "parallel/plan/plan_check.h"
#include "parallel/plan/schedule.h"
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
  std::printf("%-12s %5d %-12s %10zu %10.2f %10.2f %10.2f %10.0f %14.0f %8.3f\n", request.rule.name.c_str(),
              shape.ranks, plan.schedule == schedule ? schedule.c_str() : (schedule + " " + plan.schedule).c_str(),
              actions, make, check, run, peak_mib(), simulation.step, simulation.idle_share);
  return make + run < most_seconds && peak_mib() < most_mib;
}

std::vector<PlanShape> shapes(int stages, int microbatches) {
  std::vector<PlanShape> all;
  const auto add = [&](int share, const std::string& placement) {
    if (stages % share != 0) return;
    PlanShape shape{.stages = stages, .ranks = stages / share, .microbatches = microbatches};
    shape.placement = Placement::named(placement, stages, shape.ranks);
    all.push_back(shape);
  };
  add(1, "contiguous");
  add(16, "contiguous");
  add(16, "interleaved");
  add(2, "v");
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  const int stages = argc > 1 ? std::atoi(argv[1]) : 256;
  const int microbatches = argc > 2 ? std::atoi(argv[2]) : 2048;
  const std::vector<RuleRequest> rules = {{.rule = "local"},
                                          {.rule = "global"},
                                          {.rule = "furthest", .horizon = 4},
                                          {.rule = "sum", .horizon = 4},
                                          {.rule = "chunked", .window = 4},
                                          {.rule = "deep_supervision"}};
  std::printf("%d stages x %d microbatches, one core\n", stages, microbatches);
  std::printf("%-12s %5s %-12s %10s %10s %10s %10s %10s %14s %8s\n", "rule", "ranks", "schedule", "actions", "make s",
              "check s", "simulate s", "peak MiB", "step (units)", "idle");
  bool held = true;
  for (const std::string& schedule : schedule_names()) {
    for (const PlanShape& shape : shapes(stages, microbatches)) {
      if (schedule != auto_schedule && !Schedules::instance().create("schedule", schedule)->refusal(shape).empty())
        continue;
      for (const RuleRequest& rule : rules) held = measure(rule, shape, schedule) && held;
    }
  }
  std::printf("%s: make + simulate under %.0f s and %.0f MiB in every case\n", held ? "held" : "BROKEN", most_seconds,
              most_mib);
  return held ? 0 : 1;
}
