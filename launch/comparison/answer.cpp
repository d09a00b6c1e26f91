#include "launch/comparison/answer.h"

#include <algorithm>
#include <cmath>

#include "launch/comparison/targets.h"
#include "launch/page/markup.h"
#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

std::string with_interval(const SeedStatistics& statistics) {
  if (!statistics.mean) return "none";
  std::string text = fixed(*statistics.mean, 4);
  if (statistics.interval)
    text += message(" (95 % interval ", fixed(statistics.interval->low, 4), " to ", fixed(statistics.interval->high, 4),
                    ")");
  return text;
}

// Of the rules at these stages, but global: the one with the lowest mean.
std::optional<size_t> best_other(const Outcome& outcome, const std::vector<SeedStatistics>& all, int stages) {
  std::optional<size_t> best;
  for (size_t i = 0; i < outcome.groups.size(); ++i) {
    const RuleGroup& group = outcome.groups[i].group;
    if (group.stages != stages || group.is_global() || group.control || !all[i].mean || is_global_itself(all[i]))
      continue;
    if (!best || *all[i].mean < *all[*best].mean) best = i;
  }
  return best;
}

// Behind a sentence about the best of them.
std::string counts_of(const Outcome& outcome, const std::vector<SeedStatistics>& all, int stages) {
  int better = 0, worse = 0, noise = 0, same = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (outcome.groups[i].group.stages != stages || outcome.groups[i].group.control) continue;
    if (is_global_itself(all[i])) {
      ++same;
      continue;
    }
    better += all[i].verdict == SeedVerdict::better;
    worse += all[i].verdict == SeedVerdict::worse;
    noise += all[i].verdict == SeedVerdict::within_noise;
  }
  const std::string again =
      same == 0 ? "" : message(same, same == 1 ? " more is" : " more are", " global learning by another name.");
  const int others = better + worse + noise;
  if (others == 1) return again.empty() ? "" : " " + again;  // of the one it was said before
  return message(" Of the ", others, " others ", better, better == 1 ? " is" : " are", " better, ", worse,
                 " worse and ", noise, " within the noise of the seeds", again.empty() ? "." : "; " + again);
}

std::string quality(const Outcome& outcome, const std::vector<SeedStatistics>& all, int stages) {
  const GroupOutcome* global = outcome.global_at(stages);
  const auto best = best_other(outcome, all, stages);
  const std::string when =
      message("After ", outcome.steps, " steps on ", stages, stages == 1 ? " stage" : " stages", " ");
  if (global == nullptr || global->done().empty()) {
    if (!best) return when + "no arm was done.";
    return message(when, "the lowest test loss is that of ", outcome.groups[*best].group.label(), ": ",
                   with_interval(all[*best]), "; ",
                   global == nullptr ? "there is no global learning to compare it with."
                                     : "no arm of global learning was done, to compare it with.");
  }
  const auto& reference = all[static_cast<size_t>(global - outcome.groups.data())];
  std::string text = message(when, "global learning has a test loss of ", with_interval(reference));
  if (!best) return text + "; there is nothing else to compare it with.";
  const SeedStatistics& other = all[*best];
  text += message(", and the best of the others, ", outcome.groups[*best].group.label(), ", ", with_interval(other));
  if (!other.difference) return text + ".";
  text += message(": ", fixed(std::abs(*other.difference), 4), *other.difference > 0 ? " more" : " less");
  if (!other.p_adjusted) return text + ", from one seed, which allows neither an interval nor a test.";
  return message(text, " (paired 95 % interval ", fixed(other.difference_interval->low, 4), " to ",
                 fixed(other.difference_interval->high, 4), ", corrected p ", p_text(other.p_adjusted), "), which is ",
                 verdict_words(other.verdict), ".", counts_of(outcome, all, stages));
}

std::string step_time(const Outcome& outcome, int stages) {
  const GroupOutcome* global = outcome.global_at(stages);
  const GroupOutcome* fastest = nullptr;
  for (const GroupOutcome& group : outcome.groups)
    if (group.group.stages == stages && !group.group.is_global() && !group.group.control && group.cost &&
        (fastest == nullptr || group.simulated_step() < fastest->simulated_step()))
      fastest = &group;
  if (fastest == nullptr) return "The time of a step is not known: no run measured its costs.";
  std::string text = message("With a core or GPU for every rank, a step of ", fastest->group.label(), " takes ",
                             duration(fastest->simulated_step()));
  if (global == nullptr || !global->cost) return text + " (simulated from measured costs).";
  const double ratio = fastest->simulated_step() / global->simulated_step();
  text += message(" and one of global at its best (", global->settings_words, ") ", duration(global->simulated_step()),
                  ": ", fixed(ratio, 2),
                  " times as long (simulated from the costs of one short run each: a few per cent are noise)");
  const double own = measured_step(*fastest), its = measured_step(*global);
  if (own > 0 && its > 0)
    text += message("; on ", outcome.computed_on(), " they took ", duration(own), " and ", duration(its),
                    outcome.at_once > 1 ? message(" (measured, up to ", outcome.at_once, " arms at a time)")
                                        : std::string(" (measured)"));
  return text + ".";
}

std::string time_to_loss(const Outcome& outcome, int stages) {
  const std::vector<double> targets = targets_at(outcome, stages);
  const GroupOutcome* reference = outcome.global_at(stages);
  if (reference != nullptr && reference->done().empty())
    return "No arm of global learning was done, so that no loss of its is there to be reached.";
  if (targets.size() < 2) return "No run was evaluated often enough to say how long it takes to a loss.";
  const double target = targets[targets.size() - 2];
  std::vector<TargetRow> reached;
  std::vector<std::string> never;
  std::optional<TargetRow> global;
  for (const TargetRow& row : target_rows(outcome)) {
    const RuleGroup& group = outcome.groups[row.group].group;
    if (row.target != target || group.stages != stages || group.control || row.seeds == 0) continue;
    if (group.is_global()) {
      global = row;
    } else if (row.reached == 0) {
      never.push_back(group.label());
    } else {
      reached.push_back(row);
    }
  }
  std::ranges::sort(reached, {}, [](const TargetRow& row) {
    return row.simulated_seconds.value_or(row.measured_seconds.value_or(0));
  });
  const auto words = [&](const TargetRow& row) {
    std::string text = outcome.groups[row.group].group.label() + " ";
    text += row.simulated_seconds ? duration(*row.simulated_seconds) + " simulated" : "";
    if (row.measured_seconds)
      text += message(row.simulated_seconds ? " (" : "", duration(*row.measured_seconds), " measured",
                      row.simulated_seconds ? ")" : "");
    return row.reached < row.seeds ? text + message(" in ", row.reached, " of ", row.seeds, " seeds") : text;
  };
  std::string text =
      message("To a validation loss of ", fixed(target, 3), ", where global is after three quarters of its steps, ");
  if (!global) text = message("To a validation loss of ", fixed(target, 3), " ");
  std::vector<std::string> times;
  if (global) times.push_back(words(*global));
  if (!reached.empty()) times.push_back(words(reached.front()));
  text += times.empty() ? "no rule gets" : "it takes " + join(times, ", and the fastest of the others, ");
  if (!never.empty()) text += message("; never within these steps: ", join(never));
  return text + ".";
}

}  // namespace

std::string verdict_words(SeedVerdict verdict) {
  switch (verdict) {
    case SeedVerdict::reference:
      return "the reference";
    case SeedVerdict::better:
      return "better beyond noise";
    case SeedVerdict::worse:
      return "worse beyond noise";
    case SeedVerdict::within_noise:
      return "within noise";
    default:
      return "not tested";
  }
}

std::string p_text(const std::optional<double>& p) {
  if (!p) return "-";
  return *p < 1e-4 ? "< 0.0001" : significant(*p, 2);
}

std::string question_of(const Outcome& outcome) {
  std::vector<std::string> rules, stages;
  for (const GroupOutcome& group : outcome.groups)
    if (std::ranges::find(rules, group.group.rule.word) == rules.end()) rules.push_back(group.group.rule.word);
  for (const int count : outcome.stage_counts()) stages.push_back(std::to_string(count));
  return message("Which way of learning is worth its cost on ", outcome.config_file, ": ", join(rules), ", cut into ",
                 join(stages, " or "), " stages, with ", outcome.seeds.size(),
                 outcome.seeds.size() == 1 ? " seed" : " seeds", " each?");
}

std::vector<std::string> answer_of(const Outcome& outcome) {
  const std::vector<SeedStatistics> all = outcome.statistics();
  const int stages = outcome.stage_counts().back();
  return {quality(outcome, all, stages), step_time(outcome, stages), time_to_loss(outcome, stages)};
}

}  // namespace interlock
