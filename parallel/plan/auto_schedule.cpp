#include "parallel/plan/auto_schedule.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "parallel/plan/lower.h"
#include "parallel/plan/peak_memory.h"
#include "parallel/plan/schedule.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

// Forwards (stages x microbatches) up to which candidates are simulated as they are: a quarter of a second each.
constexpr int64_t most_judged_forwards = int64_t{1} << 17;
constexpr double rounding = 1 + 1e-9;  // of sums of costs
constexpr double mib = 1 << 20;

int64_t actions_of(const Plan& plan) {
  int64_t actions = 0;
  for (const auto& rank : plan.ranks) actions += static_cast<int64_t>(rank.size());
  return actions;
}

// What a simulation says of a candidate, and its place among equals.
struct Judged {
  Candidate candidate;
  std::vector<double> peak_of_rank;
  int most_in_flight = 0;
  int64_t actions = 0;
};

class Choice {
 public:
  Choice(const PlanRequest& request, const SimulationCosts& costs, const MemoryLimit& memory)
      : request_(request), costs_(costs), memory_(memory) {
    const int64_t most = std::max<int64_t>(2, most_judged_forwards / request.shape.stages);
    judged_microbatches_ = static_cast<int>(std::min<int64_t>(request.shape.microbatches, most));
  }

  ScheduleChoice choose() {
    request_.shape.check();
    check_schedule(request_.shape, request_.schedule, request_.in_flight);
    ScheduleChoice choice;
    choice.judged_microbatches = judged_microbatches_;
    for (const std::string& name : names()) {
      const auto schedule = Schedules::instance().create("schedule", name);
      std::string refusal = schedule->refusal(request_.shape);
      if (refusal.empty()) {
        judged_.push_back(judge(name, *schedule));
      } else {
        choice.refused.push_back(std::move(refusal));
      }
    }
    while (true) {
      order_by_merit();
      if (!judged_.front().candidate.fits) refuse();
      choice.plan = make_plan(request_of(judged_.front().candidate));
      if (judged_microbatches_ == request_.shape.microbatches || holds(judged_.front(), choice.plan)) break;
    }
    for (const Judged& each : judged_) choice.candidates.push_back(each.candidate);
    return choice;
  }

 private:
  // The plainest first, and last the one that is found by trying: of equals the first is taken.
  std::vector<std::string> names() const {
    if (request_.schedule != auto_schedule) return {request_.schedule};
    std::vector<std::string> names = Schedules::instance().names();
    std::ranges::stable_partition(names, [](const std::string& name) { return name == "wavefront"; });
    std::ranges::stable_partition(names, [](const std::string& name) { return name != "steady"; });
    return names;
  }

  PlanRequest request_of(const Candidate& candidate) const {
    PlanRequest request = request_;
    request.schedule = candidate.schedule;
    request.in_flight = candidate.in_flight;
    return request;
  }

  Judged judge(const std::string& name, const Schedule& schedule) const {
    const bool is_limited = schedule.takes_in_flight();
    Judged judged = judge(name, schedule, is_limited ? request_.in_flight : 0);
    if (judged.candidate.fits || !is_limited || request_.in_flight > 0) return judged;
    // The most in flight for which there is room; with 1, whether it fits or not.
    int room = 0;
    for (int too_many = judged.most_in_flight; too_many - room > 1;) {
      const int middle = std::midpoint(room, too_many);
      Judged fewer = judge(name, schedule, middle);
      (fewer.candidate.fits ? room : too_many) = middle;
      judged = std::move(fewer);
    }
    return judge(name, schedule, std::max(1, room));
  }

  Judged judge(const std::string& name, const Schedule& schedule, int in_flight) const {
    const Judged all = simulated(name, schedule, in_flight, judged_microbatches_);
    const int more = request_.shape.microbatches - judged_microbatches_;
    if (more == 0) return with_limits(all);
    const int half = judged_microbatches_ / 2;
    const Judged fewer = simulated(name, schedule, in_flight, half);
    const double times = static_cast<double>(more) / (judged_microbatches_ - half);
    Judged judged = all;
    judged.candidate.step += times * (all.candidate.step - fewer.candidate.step);
    for (size_t rank = 0; rank < all.peak_of_rank.size(); ++rank)
      judged.peak_of_rank[rank] += times * (all.peak_of_rank[rank] - fewer.peak_of_rank[rank]);
    judged.most_in_flight += static_cast<int>(times * (all.most_in_flight - fewer.most_in_flight));
    // Compute grows with the microbatches, and so its share is known.
    const double busy = (1 - all.candidate.idle_share) * all.candidate.step,
                 busy_before = (1 - fewer.candidate.idle_share) * fewer.candidate.step;
    if (judged.candidate.step > 0)
      judged.candidate.idle_share = 1 - (busy + times * (busy - busy_before)) / judged.candidate.step;
    return with_limits(judged);
  }

  Judged simulated(const std::string& name, const Schedule& schedule, int in_flight, int microbatches) const {
    Candidate candidate{.schedule = name, .in_flight = in_flight};
    PlanRequest request = request_of(candidate);
    request.shape.microbatches = microbatches;
    Plan plan = without_actions(request);
    lower(plan, schedule.order(plan, in_flight));
    const Simulation simulation = simulate(plan, costs_);
    candidate.step = simulation.step;
    candidate.idle_share = simulation.idle_share;
    return {candidate, simulation.peak_bytes, std::ranges::max(plan.in_flight()), actions_of(plan)};
  }

  Judged with_limits(Judged judged) const {
    Candidate& candidate = judged.candidate;
    candidate.peak_bytes = std::ranges::max(judged.peak_of_rank);
    candidate.fits = memory_.bytes == 0 || needed(judged.peak_of_rank) <= memory_.bytes;
    if (request_.in_flight > 0 && judged.most_in_flight > request_.in_flight) candidate.fits = false;
    return judged;
  }

  // By the rank that needs most.
  double needed(const std::vector<double>& peaks) const {
    double most = 0;
    for (size_t rank = 0; rank < peaks.size(); ++rank)
      most = std::max(most, peaks[rank] + (memory_.besides.empty() ? 0 : memory_.besides[rank]));
    return most;
  }

  // What fits first, then by time; of the fastest the one with the least memory, then with the fewest actions.
  void order_by_merit() {
    std::ranges::stable_sort(judged_, [](const Judged& a, const Judged& b) {
      if (a.candidate.fits != b.candidate.fits) return a.candidate.fits;
      return a.candidate.step < b.candidate.step;
    });
    const double fastest = judged_.front().candidate.step * rounding;
    const bool fits = judged_.front().candidate.fits;
    const auto equals = std::ranges::find_if(
        judged_, [&](const Judged& each) { return each.candidate.step > fastest || each.candidate.fits != fits; });
    const auto order_of_names = names();
    std::sort(judged_.begin(), equals, [&](const Judged& a, const Judged& b) {
      const double least = std::min(a.candidate.peak_bytes, b.candidate.peak_bytes);
      if (std::abs(a.candidate.peak_bytes - b.candidate.peak_bytes) > least * (rounding - 1))
        return a.candidate.peak_bytes < b.candidate.peak_bytes;
      if (a.most_in_flight != b.most_in_flight) return a.most_in_flight < b.most_in_flight;
      if (a.actions != b.actions) return a.actions < b.actions;
      return std::ranges::find(order_of_names, a.candidate.schedule) <
             std::ranges::find(order_of_names, b.candidate.schedule);
    });
  }

  // Of a plan that was judged by fewer microbatches: does it fit as a whole?
  bool holds(Judged& judged, const Plan& plan) const {
    if (memory_.bytes == 0) return true;
    for (int rank = 0; rank < plan.shape.ranks; ++rank) judged.peak_of_rank[rank] = peak_bytes(plan, costs_, rank);
    judged = with_limits(judged);
    return judged.candidate.fits;
  }

  [[noreturn]] void refuse() const {
    if (request_.in_flight > 0 && memory_.bytes == 0)
      throw Error(ExitCode::config, message("parallel.in_flight = ", request_.in_flight,
                                            ": no schedule that fits the placement keeps so few alive"));
    const Judged* least = nullptr;
    for (const Judged& each : judged_)
      if (least == nullptr || needed(each.peak_of_rank) < needed(least->peak_of_rank)) least = &each;
    throw Error(ExitCode::config,
                message("parallel.memory_mib = ", std::floor(memory_.bytes / mib), ": the least that works here is ",
                        std::ceil(needed(least->peak_of_rank) / mib), " on the fullest rank (schedule \"",
                        least->candidate.schedule, "\", ", least->most_in_flight,
                        least->most_in_flight == 1 ? " microbatch" : " microbatches",
                        " in flight); fewer sequences per microbatch or more ranks need less"));
  }

  const PlanRequest& request_;
  const SimulationCosts& costs_;
  const MemoryLimit& memory_;
  int judged_microbatches_ = 1;
  std::vector<Judged> judged_;
};

}  // namespace

ScheduleChoice choose_schedule(const PlanRequest& request, const SimulationCosts& costs, const MemoryLimit& memory) {
  return Choice(request, costs, memory).choose();
}

}  // namespace interlock
