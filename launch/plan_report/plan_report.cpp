// The report of a plan as text. (plan_report_json.cpp: as JSON.)

#include "launch/plan_report/plan_report.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <iterator>
#include <numeric>
#include <sstream>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

// Beyond these a table is longer than a person reads; --json has all.
constexpr int most_matrix_rows = 16, most_boundary_rows = 16, most_timeline_rows = 64;

std::string plural(int64_t count, const std::string& thing, const std::string& ending = "s") {
  return message(count, " ", thing, count == 1 ? "" : ending);
}

// "4 3 2 1", or "4 x 255, 1" when there are many.
std::string series(const std::vector<int>& values) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < values.size();) {
    const size_t end =
        std::find_if(values.begin() + static_cast<long>(i), values.end(), [&](int v) { return v != values[i]; }) -
        values.begin();
    if (end - i < 6 || values.size() <= most_matrix_rows) {
      parts.insert(parts.end(), end - i, std::to_string(values[i]));
    } else {
      parts.push_back(message(values[i], " (", end - i, " times)"));
    }
    i = end;
  }
  return join(parts, " ");
}

std::string losses_text(const Stream& stream) {
  std::vector<std::string> parts;
  for (const int loss : stream.losses) parts.push_back(std::to_string(loss));
  return join(parts, "+");
}

std::string with_commas(int64_t number) {
  std::string digits = std::to_string(number);
  for (int64_t at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<size_t>(at), ",");
  return digits;
}

std::string heading(const PlanReport& report) {
  const PlanShape& shape = report.plan.shape;
  std::string text = message("Plan: ", report.plan.rule.name, ", ", plural(shape.stages, "stage"), " on ",
                             plural(shape.ranks, "rank"), ", ", plural(shape.replicas, "replica"), ", ",
                             plural(shape.microbatches, "microbatch", "es"), " per step, schedule ",
                             report.plan.schedule, report.choice.candidates.size() > 1 ? " (chosen)" : "", "\n");
  if (!report.blocks.empty())
    text +=
        message(report.cut_unit == Unit::block ? "Blocks" : "Half blocks", " per stage: ", series(report.blocks), "\n");
  if (report.parameters > 0) {
    text += "Parameters: " + with_commas(report.parameters) +
            (report.plan.tied ? ", the tied embedding counted once" : "") +
            (report.trained_parameters < report.parameters
                 ? ", of which " + with_commas(report.trained_parameters) + " train"
                 : "") +
            "\n";
  }
  if (report.layers)
    text += message("Layers: of ", report.layers->count, " a microbatch passes ", std::setprecision(4),
                    report.layers->expected, " in the long run, as costs count; memory holds all of them, since some ",
                    "microbatches pass all\n");
  return text + "Costs: " + report.costs + "\n";
}

std::string matrix_text(const LearningRule& rule) {
  const int stages = rule.stages();
  if (stages > most_matrix_rows)
    return message("\nThe matrix of the rule is ", stages, " x ", stages, "; --json prints it.\n");
  std::vector<std::vector<std::string>> cells;
  size_t width = 1;
  for (const auto& row : rule.weights) {
    auto& line = cells.emplace_back();
    for (const double weight : row) {
      std::ostringstream cell;
      if (weight == 0) {
        cell << '.';
      } else {
        cell << weight;
      }
      line.push_back(cell.str());
      width = std::max(width, line.back().size());
    }
  }
  width = std::max(width, std::to_string(stages - 1).size());
  std::ostringstream out;
  out << "\nWhich loss teaches which stage (a row is a stage that learns, a column a stage's loss, the number its "
         "weight)\n";
  out << std::setw(14) << "loss";
  for (int loss = 0; loss < stages; ++loss) out << "  " << std::setw(static_cast<int>(width)) << loss;
  for (int stage = 0; stage < stages; ++stage) {
    out << "\n" << std::setw(12) << "stage " << std::setw(2) << stage;
    for (const auto& cell : cells[stage]) out << "  " << std::setw(static_cast<int>(width)) << cell;
  }
  return out.str() + "\n";
}

std::string heads_text(const Plan& plan) {
  std::vector<int> local, silent;
  const auto teaching = plan.flows.heads();
  for (int stage = 0; stage + 1 < plan.shape.stages; ++stage) {
    if (!plan.flows.stages[stage].has_loss) continue;
    (std::find(teaching.begin(), teaching.end(), stage) != teaching.end() ? local : silent).push_back(stage);
  }
  std::string text = local.empty()
                         ? "No stage needs a head of its own; the loss is that of the last stage."
                         : "Stages with a head of their own: " + series(local) + "; the last stage has the model's.";
  if (!silent.empty()) text += " Heads that teach no stage but themselves: " + series(silent) + ".";
  return text + "\n";
}

std::string timeline_part(const PlanReport& report, int columns) {
  const PlanShape& shape = report.plan.shape;
  if (shape.ranks > most_timeline_rows)
    return message("\nThe timeline of ", shape.ranks, " ranks is not printed; --svg FILE draws it.\n");
  std::string text = "\nTimeline, simulated from a standing start over " + plural(report.picture_steps, "step");
  text += !shape.placement.is_one_each() ? " (stage where there is room, kind, microbatch:" : " (kind, microbatch:";
  text +=
      " F forward, L head and loss,\nI input gradient only, W weight gradient, B both gradients at once, U update; '.' "
      "is waiting)\n";
  return text + timeline_text(report.plan, report.picture, report.unit, columns);
}

std::string messages_text(const Plan& plan) {
  const auto forward = plan.forward_messages(), backward = plan.backward_messages();
  std::ostringstream out;
  out << "\nMessages per step and replica: " << std::accumulate(forward.begin(), forward.end(), int64_t{0}) << " up, "
      << std::accumulate(backward.begin(), backward.end(), int64_t{0}) << " down\n";
  for (size_t i = 0; i < forward.size();) {
    // Many boundaries: those with equal counts are one line.
    size_t end = i + 1;
    if (forward.size() > most_boundary_rows)
      while (end < forward.size() && forward[end] == forward[i] && backward[end] == backward[i]) ++end;
    out << "  between stages " << i << " and " << i + 1;
    if (end > i + 1) out << " ... " << end - 1 << " and " << end << ", each";
    out << ": " << forward[i] << " activations up, ";
    if (backward[i] == 0) {
      out << "no gradients down";
    } else {
      out << backward[i] << " gradients down";
      if (end == i + 1) {
        std::vector<std::string> streams;
        for (const Stream& stream : plan.flows.incoming(static_cast<int>(i))) streams.push_back(losses_text(stream));
        out << " (of loss " << join(streams, ", ") << ")";
      }
    }
    out << "\n";
    i = end;
  }
  return out.str();
}

std::string readout_text(const PlanReport& report) {
  if (!report.readout) return "";
  const auto& readout = *report.readout;
  return message("Copies of the readout: ", plural(readout.ranks, "rank"), " hold ", size_text(readout.bytes),
                 " and are sent as much every ", plural(readout.refresh_every, "step"),
                 "; they use it one such period later.\n");
}

std::string waiting_text(const Plan& plan, bool looks_together) {
  const int chain = plan.flows.longest_backward_chain;
  std::string text = chain == 0 ? "No gradient crosses a stage boundary.\n"
                                : message("Longest backward chain: ", plural(chain, "hop"), " of ",
                                          plan.shape.stages - 1, " possible.\n");
  text += "Microbatches in flight at most, per stage: " + series(plan.in_flight()) + "\n";
  if (plan.tied)
    return text +
           "Every step waits for the whole pipeline, because first and last stage share the embedding and sum its "
           "gradients\n(model.tie_embeddings).\n";
  if (couples_all_stages(plan.rule))
    return text + "Every step waits for the whole pipeline, because the last loss teaches stage 0.\n";
  if (plan.norm_over_model)
    return text +
           "Every step waits for the whole pipeline, because clipping needs the norm of all stages "
           "(optimizer.clip_scope).\n";
  if (looks_together)
    return text +
           "Every step waits for the whole pipeline, because no rank updates anything before all have found the step "
           "finite\n(run.on_divergence). The times below do not count that.\n";
  text += "No step waits for the whole pipeline: a stage goes on to the next step while later stages are busy.\n";
  return text;
}

// `before`: the plan of the phase before.
std::string change_text(const PlanReport::Change& change, const Plan& before, const TimeUnit& unit) {
  const Plan& plan = change.plan;
  const bool same_rule = plan.rule.name == before.rule.name && plan.rule.weights == before.rule.weights;
  const std::string batch = plan.shape.microbatches == before.shape.microbatches
                                ? ""
                                : plural(plan.shape.microbatches, "microbatch", "es") + " per step";
  const auto backward = plan.backward_messages();
  const auto heads = plan.flows.heads();
  return message("\nFrom step ", change.at_step, " on: ", same_rule ? "" : plan.rule.name,
                 same_rule || batch.empty() ? "" : ", ", batch, "\n", same_rule ? "" : matrix_text(plan.rule),
                 same_rule ? "" : heads_text(plan), "  a step takes ", unit.text(change.simulation.step),
                 ", idle share ", percent_text(change.simulation.idle_share), ", ",
                 std::accumulate(backward.begin(), backward.end(), int64_t{0}),
                 " messages down, longest backward chain ", plan.flows.longest_backward_chain, "\n");
}

}  // namespace

std::string report_text(const PlanReport& report, int columns) {
  std::string text = heading(report) + matrix_text(report.plan.rule) + heads_text(report.plan) +
                     timeline_part(report, columns) + messages_text(report.plan) + readout_text(report) +
                     waiting_text(report.plan, report.looks_together) + candidates_text(report) +
                     comparison_text(report) + memory_text(report) + break_even_text(report);
  const Plan* before = &report.plan;
  for (const auto& change : report.changes) {
    text += change_text(change, *before, report.unit);
    before = &change.plan;
  }
  if (report.advice) text += advice_text(*report.advice, report.plan.shape.stages);
  return text;
}

}  // namespace interlock
