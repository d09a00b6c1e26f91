#include "launch/comparison/tables.h"

#include <algorithm>
#include <cmath>

#include "launch/comparison/answer.h"
#include "launch/comparison/targets.h"
#include "launch/page/markup.h"
#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

std::string shown(const std::optional<double>& value, std::string (*text)(double)) {
  return value ? text(*value) : "-";
}
std::string loss(double value) { return fixed(value, 4); }
std::string three(double value) { return significant(value); }
std::string mib(double value) { return significant(value) + " MiB"; }
std::string flop(double value) {
  const std::string text = significant(value);
  return text.find(' ') == std::string::npos ? text + " FLOP" : text + "FLOP";
}

std::string range(const std::optional<Interval>& interval) {
  return interval ? message(" [", loss(interval->low), ", ", loss(interval->high), "]") : "";
}

// A mean over the arms that are done.
template <class Value>
std::string mean_text(const GroupOutcome& group, Value value, std::string (*text)(double)) {
  return shown(group.mean_of(value), text);
}

double peak_of(const ArmOutcome& arm) { return arm.run->largest_peak_mib().value_or(0); }
double bytes_of_boundary(const ArmOutcome& arm) {
  return arm.bytes_sent / std::max(1, arm.arm.boundaries) / static_cast<double>(std::max<int64_t>(1, arm.arm.steps));
}

std::string name_of(const GroupOutcome& group) {
  const size_t done = group.done().size();
  std::string name = group.group.label();
  return done < group.arms.size() ? name + message(" (", done, " of ", group.arms.size(), " seeds)") : name;
}

std::string class_of(const GroupOutcome& group) {
  return group.done().empty() ? "failed" : group.group.is_global() ? "reference" : "";
}

// The loss whose time stands in the first table: where global is after three quarters of its steps.
std::optional<double> told_target(const Outcome& outcome, int stages) {
  const auto targets = targets_at(outcome, stages);
  return targets.size() > 1 ? std::optional(targets[targets.size() - 2]) : std::nullopt;
}

std::vector<std::string> quality_row(const Outcome& outcome, const GroupOutcome& group,
                                     const SeedStatistics& statistics) {
  std::string time = "-", measured_time = "-";
  for (const TargetRow& row : target_rows(outcome))
    if (&outcome.groups[row.group] == &group && row.target == told_target(outcome, group.group.stages)) {
      time = row.reached == 0 ? "never" : shown(row.simulated_seconds, duration);
      measured_time = row.reached == 0 ? "never" : shown(row.measured_seconds, duration);
    }
  const bool reference = statistics.verdict == SeedVerdict::reference;
  return {name_of(group),
          shown(statistics.mean, loss) + range(statistics.interval),
          reference ? "-" : shown(statistics.difference, loss) + range(statistics.difference_interval),
          p_text(statistics.p_adjusted),
          verdict_words(statistics.verdict),
          group.cost ? duration(group.simulated_step()) : "-",
          group.done().empty() ? "-" : duration(measured_step(group)),
          time,
          measured_time};
}

std::string speed_text(const GroupOutcome& group) {
  const std::string mean = mean_text(
      group, [](const ArmOutcome& arm) { return arm.run->tokens_per_second(); }, three);
  return group.done().empty() ? mean : mean + " " + group.done().front()->run->unit() + "/s";
}

std::vector<std::string> cost_row(const GroupOutcome& group) {
  return {name_of(group),
          speed_text(group),
          group.cost ? percent(group.cost->idle_share) : "-",
          mean_text(
              group, [](const ArmOutcome& arm) { return arm.run->idle_share(); }, percent),
          group.cost ? mib(group.cost->peak_mib) : "-",
          mean_text(group, peak_of, mib),
          mean_text(group, bytes_of_boundary, bytes),
          flop(group.flops_of_step)};
}

std::string break_even(double at, int most) {
  if (at < 0) return message("none up to ", most);
  return at == 0 ? "from the first on" : fixed(std::ceil(at - 1e-9), 0);
}

std::string break_even(const MeasuredBreakEven& measured) {
  if (!measured.at_most) return "none up to " + fixed(*measured.above, 0);
  return (measured.above ? "above " + fixed(*measured.above, 0) + ", at most " : "at most ") +
         fixed(*measured.at_most, 0);
}

std::string stages_of(const GroupOutcome& group) { return std::to_string(group.group.stages); }

}  // namespace

Table rules_table(const Outcome& outcome, int stages) {
  const auto target = told_target(outcome, stages);
  const std::string to = "to loss " + (target ? fixed(*target, 3) : std::string("?"));
  Table table{message("Quality and time: ", stages, stages == 1 ? " stage, " : " stages, ", outcome.steps, " steps"),
              {"rule", "test loss, mean [95 %]", "difference to global [95 %]", "p, corrected", "verdict",
               "step, simulated", "step, measured", to + ", simulated", to + ", measured"},
              {}};
  const std::vector<SeedStatistics> all = outcome.statistics();
  for (size_t i = 0; i < outcome.groups.size(); ++i) {
    if (outcome.groups[i].group.stages != stages) continue;
    table.rows.push_back(quality_row(outcome, outcome.groups[i], all[i]));
    table.row_classes.push_back(class_of(outcome.groups[i]));
  }
  return table;
}

Table costs_table(const Outcome& outcome, int stages) {
  Table table{message("What it costs: ", stages, stages == 1 ? " stage" : " stages"),
              {"rule", "speed, measured", "idle share, simulated", "idle share, measured", "tensors of a rank, planned",
               "process of a rank, measured", "sent over a boundary per step", "operations per step"},
              {}};
  for (const GroupOutcome& group : outcome.groups) {
    if (group.group.stages != stages) continue;
    table.rows.push_back(cost_row(group));
    table.row_classes.push_back(class_of(group));
  }
  return table;
}

Table frames_table(const Outcome& outcome) {
  Table table{"Validation loss at equal budgets: what the cheapest rule of as many stages spends in all its steps",
              {"rule", "stages", "equal steps", "equal operations", "equal time, simulated", "equal time, measured",
               "tensors of a rank, planned"},
              {}};
  for (const FrameRow& row : frame_rows(outcome)) {
    const GroupOutcome& group = outcome.groups[row.group];
    table.rows.push_back({group.group.label(), stages_of(group), shown(row.at_steps, loss), shown(row.at_flops, loss),
                          shown(row.at_simulated_time, loss), shown(row.at_measured_time, loss),
                          group.cost ? mib(group.cost->peak_mib) : "-"});
  }
  return table;
}

Table memory_table(const Outcome& outcome) {
  Table table{"Test loss at equal memory: with as much for a rank, the best mean among the rules that fit",
              {"tensors of a rank, planned", "stages", "best rule", "its test loss", "its step, simulated"},
              {}};
  for (const int stages : outcome.stage_counts())
    for (const CostAndLoss& best : group_front(outcome, stages, planned_mib)) {
      const GroupOutcome& group = outcome.groups[best.index];
      table.rows.push_back({"from " + mib(best.cost) + " on", stages_of(group), group.group.label(), loss(best.loss),
                            duration(group.simulated_step())});
    }
  return table;
}

Table targets_table(const Outcome& outcome) {
  Table table{
      "What it takes to validation losses that global has after half, three quarters and all of its steps",
      {"rule", "stages", "loss", "seeds that reach it", "steps", "time, simulated", "time, measured", "operations"},
      {}};
  for (const TargetRow& row : target_rows(outcome)) {
    const GroupOutcome& group = outcome.groups[row.group];
    table.rows.push_back({group.group.label(), stages_of(group), loss(row.target),
                          message(row.reached, " of ", row.seeds), shown(row.steps, three),
                          shown(row.simulated_seconds, duration), shown(row.measured_seconds, duration),
                          row.flops ? flop(*row.flops) : "-"});
  }
  return table;
}

Table break_even_table(const Outcome& outcome) {
  Table table{"Microbatches per step from which on global is at least as fast, each under its best schedule",
              {"rule", "stages", "by operation counts", "replayed from measured costs"},
              {}};
  const bool measured = std::ranges::any_of(
      outcome.groups, [&](const GroupOutcome& group) { return outcome.measured_break_even_of(group).has_value(); });
  if (measured)
    table.columns.push_back(message("measured on ", outcome.computed_on(),
                                    outcome.oversubscribed() ? ", which ranks shared," : ",",
                                    " as configured, within 5 %"));
  for (const GroupOutcome& group : outcome.groups) {
    if (!group.break_even) continue;
    table.rows.push_back({group.group.label(), stages_of(group),
                          break_even(group.break_even->counted, group.break_even->most),
                          break_even(group.break_even->replayed, group.break_even->most)});
    if (!measured) continue;
    const auto between = outcome.measured_break_even_of(group);
    table.rows.back().push_back(between ? break_even(*between) : "-");
  }
  return table;
}

Table search_table(const Outcome& outcome) {
  Table table{"Validation loss by learning rate", {"rule", "stages"}, {}};
  for (const double rate : outcome.grid) table.columns.push_back(significant(rate));
  table.columns.emplace_back("chosen");
  for (const GroupOutcome& group : outcome.groups) {
    if (group.trials.empty()) continue;
    std::vector<std::string> row{group.group.label(), stages_of(group)};
    for (const Trial& trial : group.trials)
      row.push_back(trial.status == ArmStatus::done ? shown(trial.validation_loss, loss) : text_of(trial.status));
    row.push_back(significant(group.learning_rate) + (group.at_edge ? ", at the edge" : ""));
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table arms_table(const Outcome& outcome) {
  Table table{"Every arm",
              {"rule", "stages", "seed", "learning rate", "status", "test loss", "validation loss", "steps",
               "time, measured", "speed", "idle share", "peak of a rank", "sent", "weights"},
              {}};
  for (const GroupOutcome& group : outcome.groups)
    for (const ArmOutcome& arm : group.arms) {
      const bool has_run = arm.run && !arm.run->rows.empty(), done = arm.status == ArmStatus::done;
      const auto of_run = [&](auto text) { return has_run ? text() : std::string("-"); };
      table.rows.push_back(
          {group.group.label(), stages_of(group), std::to_string(arm.arm.seed), significant(arm.arm.learning_rate),
           arm.reason.empty() ? text_of(arm.status) : text_of(arm.status) + ": " + arm.reason,
           arm.test ? loss(arm.test->loss) : "-", of_run([&] { return shown(arm.run->last_validation(), loss); }),
           of_run([&] { return std::to_string(arm.run->rows.back().step); }),
           of_run([&] { return duration(arm.run->seconds()); }),
           of_run([&] { return significant(arm.run->tokens_per_second()) + " " + arm.run->unit() + "/s"; }),
           of_run([&] { return percent(arm.run->idle_share()); }),
           of_run([&] { return shown(arm.run->largest_peak_mib(), mib); }), done ? bytes(arm.bytes_sent) : "-",
           done ? arm.run->result.at("digest").get<std::string>().substr(0, 12) : "-"});
      table.row_classes.push_back(done ? "" : "failed");
    }
  return table;
}

Table shared_table(const Outcome& outcome) {
  Table table{"What arms of one seed share, as digests",
              {"seed", "stages", "start values", "samples and their order", "units per stage"},
              {}};
  for (const auto& [key, parts] : outcome.shared) {
    std::vector<std::string> cut;
    for (const int units : parts.cut) cut.push_back(std::to_string(units));
    table.rows.push_back({std::to_string(key.first), std::to_string(key.second), parts.start_values.substr(0, 12),
                          parts.samples.substr(0, 12), join(cut, " ")});
  }
  return table;
}

}  // namespace interlock
