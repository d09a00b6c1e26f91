// A plan written by hand. What is accepted prints and reads back to the same, and can be proved or refuted.
#include "parallel/plan/plan.h"

#include <tuple>

#include "parallel/plan/plan_check.h"
#include "tests/fuzz/target.h"

using namespace interlock;

namespace {

auto everything_of(const Plan& plan) {
  const PlanShape& shape = plan.shape;
  return std::tuple(shape.stages, shape.ranks, shape.replicas, shape.microbatches, shape.placement, plan.rule.name,
                    plan.rule.weights, plan.rule.frozen, plan.heads, plan.schedule, plan.norm_over_model, plan.tied,
                    plan.evaluation, plan.ranks);
}

void check(const Plan& plan) {
  const std::string printed = print_plan(plan);
  std::optional<Plan> again;
  fuzz::require(fuzz::accepts(ExitCode::bad_input, [&] { again = parse_plan(printed, "printed.plan"); }),
                "a printed plan reads back");
  fuzz::require(print_plan(*again) == printed, "a printed plan reads back to the same");
  fuzz::require(everything_of(*again) == everything_of(plan), "nothing is lost in print");
  if (const std::optional<PlanFault> fault = find_fault(plan)) {
    fuzz::require(fault->rank >= 0 && fault->rank < plan.shape.ranks, "a fault is at a rank");
    fuzz::require(fault->index >= 0 && fault->index <= std::ssize(plan.ranks[static_cast<size_t>(fault->rank)]),
                  "a fault is at an action or at the end");
    fuzz::require(!show_fault(plan, *fault).empty(), "a fault can be shown");
  } else {
    plan.forward_messages();
    plan.backward_messages();
    plan.in_flight();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(fuzz::text_of(data, size));
  fuzz::accepts(ExitCode::bad_input, [&] { check(parse_plan(text, "input.plan")); });
  return 0;
}
