#include "launch/comparison/pictures.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>

#include "launch/comparison/targets.h"
#include "launch/page/bar_picture.h"
#include "launch/page/chart.h"
#include "launch/page/markup.h"
#include "launch/page/page.h"
#include "launch/run_report/curves.h"
#include "launch/run_report/measured_trace.h"
#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

// A rule with its head looks the same at every number of stages.
int look_of(const Outcome& outcome, const GroupOutcome& group) {
  std::vector<std::string> labels;
  for (const GroupOutcome& each : outcome.groups)
    if (std::ranges::find(labels, each.group.label()) == labels.end()) labels.push_back(each.group.label());
  return static_cast<int>(std::ranges::find(labels, group.group.label()) - labels.begin());
}

// Every group's mean validation curve, its steps made into something else.
Chart curves(const Outcome& outcome, int stages, const std::string& title, const std::string& x_label,
             double (*per_step)(const GroupOutcome&)) {
  Chart chart{title, x_label, "validation loss, nats per target", {}};
  for (const GroupOutcome& group : outcome.groups) {
    if (group.group.stages != stages || group.done().empty() || per_step(group) <= 0) continue;
    std::vector<std::vector<ChartPoint>> seeds;
    for (const ArmOutcome* arm : group.done()) {
      auto& points = seeds.emplace_back();
      for (const CurvePoint& point : arm->curve())
        points.push_back({point.step * per_step(group), point.loss, 1, 0, ""});
    }
    chart.series.push_back({group.group.label(), look_of(outcome, group), thinned(mean_curve(seeds), 60)});
  }
  return chart;
}

Chart scatter(const Outcome& outcome, int stages, const std::string& title, const std::string& x_label,
              double (*cost)(const GroupOutcome&)) {
  Chart chart{title, x_label, "test loss, nats per target", {}};
  std::vector<std::string> unbettered;
  Series front{"none is better in both", looks - 1, {}, true, false};
  for (const CostAndLoss& point : group_front(outcome, stages, cost)) {
    unbettered.push_back(outcome.groups[point.index].group.label());
    front.points.push_back({point.cost, point.loss, 1, 0, ""});
  }
  chart.note = "Left and low is better; by their means none is better in both: " + join(unbettered) +
               ". Bars are 95 % intervals over seeds.";
  if (front.points.size() > 1) chart.series.push_back(std::move(front));
  const std::vector<SeedStatistics> all = outcome.statistics();
  for (size_t i = 0; i < all.size(); ++i) {
    const GroupOutcome& group = outcome.groups[i];
    if (group.group.stages != stages || !all[i].mean || cost(group) <= 0) continue;
    ChartPoint point{cost(group), *all[i].mean, 1, 0, ""};
    if (all[i].interval) {
      point.low = all[i].interval->low;
      point.high = all[i].interval->high;
    }
    chart.series.push_back({group.group.label(), look_of(outcome, group), {point}, false});
  }
  return chart;
}

double simulated(const GroupOutcome& group) { return group.simulated_step(); }

std::string rank_bars(const GroupOutcome& group) {
  const auto done = group.done();
  std::string why;
  if (done.empty()) return "";
  const auto trace = read_trace((std::filesystem::path(done.front()->arm.folder) / "trace.json").string(), why);
  if (!trace) return "";
  BarPicture bars{group.group.label() + ": what ranks did, measured", {"computing", "waiting", "other"}, {}};
  const std::vector<RankShares> shares = shares_of(*trace);
  std::string sending = "Messages were on their way, beside that: ";
  for (size_t rank = 0; rank < shares.size(); ++rank) {
    bars.rows.push_back({message("rank ", rank), {shares[rank].computing, shares[rank].waiting, shares[rank].other}});
    sending += message(rank > 0 ? ", " : "", "rank ", rank, " ", percent(shares[rank].sending));
  }
  bars.note = sending + " of the time.";
  return figure_of(bars);
}

}  // namespace

std::string learning_curves(const Outcome& outcome, int stages) {
  return figures(figure_of(curves(outcome, stages, "By steps", "step", [](const GroupOutcome&) { return 1.0; })) +
                 figure_of(curves(outcome, stages, "By operations", "operations (FLOP)",
                                  [](const GroupOutcome& group) { return group.flops_of_step; })) +
                 figure_of(curves(outcome, stages, "By time, simulated: a core or GPU for every rank",
                                  "seconds, simulated", simulated)) +
                 figure_of(curves(outcome, stages, "By time, measured on " + outcome.computed_on(), "seconds, measured",
                                  measured_step)));
}

std::string quality_and_cost(const Outcome& outcome, int stages) {
  return figures(
      figure_of(scatter(outcome, stages, "Quality and time of a step", "seconds per step, simulated", simulated)) +
      figure_of(
          scatter(outcome, stages, "Quality and memory", "MiB of the largest rank, tensors as planned", planned_mib)));
}

std::string steps_in_time(const Outcome& outcome, int stages) {
  constexpr size_t most_drawn = 12;  // each some hundred bars
  std::string out, bars;
  size_t drawn = 0;
  for (const GroupOutcome& group : outcome.groups) {
    if (group.group.stages != stages || !group.timeline || ++drawn > most_drawn) continue;
    out += figure_of(*group.timeline) + paragraph(group.timeline->words);
    bars += rank_bars(group);
  }
  if (drawn > most_drawn) out += paragraph(message("The steps of ", drawn - most_drawn, " more groups are not drawn."));
  return out + figures(bars);
}

std::string exits_of(const Outcome& outcome, int stages) {
  Chart losses{"Test loss of every head", "stage", "nats per target", {}};
  const bool local =
      std::ranges::any_of(outcome.groups, [](const GroupOutcome& group) { return group.group.rule.word == "local"; });
  losses.note = "A rule without local losses has the last head alone.";
  if (local)
    losses.note +=
        " Under local, the first head is that of the shallow model that the first stage is by itself: nothing reaches "
        "it "
        "from above.";
  Chart cosines{"Cosine of each stage's gradient with the global one", "stage", "cosine", {}};
  cosines.note = "On held-out samples of the validation half, at the trained weights; 1 under global learning.";
  for (const GroupOutcome& group : outcome.groups) {
    if (group.group.stages != stages) continue;
    const auto series = [&](auto values_of) {
      std::map<int, std::pair<double, int>> sums;
      for (const ArmOutcome* arm : group.done())
        for (const auto& [stage, value] : values_of(*arm)) {
          sums[stage].first += value;
          ++sums[stage].second;
        }
      std::vector<ChartPoint> points;
      for (const auto& [stage, sum] : sums)
        points.push_back({static_cast<double>(stage), sum.first / sum.second, 1, 0, ""});
      return Series{group.group.label(), look_of(outcome, group), points};
    };
    losses.series.push_back(
        series([](const ArmOutcome& arm) { return arm.test ? arm.test->exits : std::map<int, double>(); }));
    if (!group.group.is_global()) cosines.series.push_back(series([](const ArmOutcome& arm) { return arm.cosines; }));
  }
  return figures(figure_of(losses) + figure_of(cosines));
}

std::string over_stages(const Outcome& outcome) {
  if (outcome.stage_counts().size() < 2) return "";
  const std::vector<SeedStatistics> all = outcome.statistics();
  Chart time{"A step by stages, simulated", "stages", "seconds per step", {}},
      quality{"Test loss by stages", "stages", "nats per target", {}};
  std::map<std::string, std::pair<Series, Series>> rules;
  for (size_t i = 0; i < all.size(); ++i) {
    const GroupOutcome& group = outcome.groups[i];
    auto& [step, loss] = rules
                             .try_emplace(group.group.label(), Series{group.group.label(), look_of(outcome, group), {}},
                                          Series{group.group.label(), look_of(outcome, group), {}})
                             .first->second;
    const double stages = group.group.stages;
    if (group.cost) step.points.push_back({stages, group.simulated_step(), 1, 0, ""});
    if (!all[i].mean) continue;
    ChartPoint point{stages, *all[i].mean, 1, 0, ""};
    if (all[i].interval) {
      point.low = all[i].interval->low;
      point.high = all[i].interval->high;
    }
    loss.points.push_back(point);
  }
  for (const auto& [label, series] : rules) {
    time.series.push_back(series.first);
    quality.series.push_back(series.second);
  }
  return figures(figure_of(time) + figure_of(quality));
}

namespace {

// One curve for each rule that has points; what a point tells of a step's seconds is up to `value`.
std::vector<Series> curves_of(const Outcome& outcome, int stages, StepsBy GroupOutcome::*steps,
                              const std::function<double(double varied, double step)>& value) {
  std::vector<Series> curves;
  for (const GroupOutcome& group : outcome.groups) {
    if (group.group.stages != stages || (group.*steps).empty()) continue;
    Series series{group.group.label(), look_of(outcome, group), {}};
    for (const auto& [varied, step] : group.*steps) series.points.push_back({varied, value(varied, step), 1, 0, ""});
    std::ranges::sort(series.points, {}, &ChartPoint::x);  // they stand in the order in which they were asked for
    curves.push_back(std::move(series));
  }
  return curves;
}

// What was simulated beside what was measured, on the same axes.
std::string swept(const Outcome& outcome, int stages, Chart chart, StepsBy GroupOutcome::*simulated,
                  const std::string& simulated_note, StepsBy GroupOutcome::*measured, const std::string& measured_note,
                  const std::function<double(double varied, double step)>& value) {
  chart.log_x = true;
  Chart here = chart;
  chart.title += ", simulated";
  chart.note = simulated_note;
  chart.series = curves_of(outcome, stages, simulated, value);
  here.title += ", measured on " + outcome.computed_on();
  here.note = measured_note;
  here.series = curves_of(outcome, stages, measured, value);
  return figure_of(chart) + figure_of(here);
}

std::string over_bandwidth(const Outcome& outcome, int stages) {
  return swept(outcome, stages, {"A step by the bandwidth between ranks", "bytes per second", "seconds per step", {}},
               &GroupOutcome::by_bandwidth,
               "Simulated: measured costs of every stage, messages slowed down. No link was slowed down for it.",
               &GroupOutcome::by_slowed_link,
               "A delay was put into the transport (parallel.link_bandwidth) of a short run for every point.",
               [](double, double step) { return step; });
}

std::string over_microbatches(const Outcome& outcome, int stages) {
  return swept(
      outcome, stages,
      {"A microbatch's share of a step by their number", "microbatches per step", "seconds per microbatch", {}},
      &GroupOutcome::simulated_by_microbatches,
      "Simulated: measured costs of every stage, a core or GPU for every rank. Global as the config has it, "
      "not at its best.",
      &GroupOutcome::measured_by_microbatches,
      message("A short run for every point", outcome.oversubscribed(stages) ? ", whose ranks shared cores." : "."),
      [](double number, double step) { return step / number; });
}

}  // namespace

std::string sweeps(const Outcome& outcome, int stages) {
  return figures(over_microbatches(outcome, stages) + over_bandwidth(outcome, stages));
}

}  // namespace interlock
