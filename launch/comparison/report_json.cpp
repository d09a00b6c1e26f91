#include "launch/comparison/report_json.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "launch/comparison/targets.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using json = nlohmann::ordered_json;

json number(const std::optional<double>& value) { return value && std::isfinite(*value) ? json(*value) : json(); }
json pair_of(const std::optional<Interval>& interval) {
  return interval ? json{interval->low, interval->high} : json();
}

std::string text_of(SeedVerdict verdict) {
  switch (verdict) {
    case SeedVerdict::reference:
      return "reference";
    case SeedVerdict::better:
      return "better";
    case SeedVerdict::worse:
      return "worse";
    case SeedVerdict::within_noise:
      return "within noise";
    default:
      return "untested";
  }
}

json arm_json(const ArmOutcome& arm) {
  const bool has_run = arm.run && !arm.run->rows.empty();
  json one = {{"rule", arm.arm.group.rule.word},
              {"head", arm.arm.group.head},
              {"seed", arm.arm.seed},
              {"stages", arm.arm.group.stages},
              {"learning_rate", arm.arm.learning_rate},
              {"folder", arm.arm.folder},
              {"digest", json()},
              {"test_loss", arm.test ? json(arm.test->loss) : json()},
              {"validation_loss", has_run ? number(arm.run->last_validation()) : json()},
              {"steps", has_run ? arm.run->rows.back().step : 0},
              {"seconds", has_run ? json(arm.run->seconds()) : json()},
              {"tokens_per_second", has_run ? json(arm.run->tokens_per_second()) : json()},
              {"idle_share", has_run ? json(arm.run->idle_share()) : json()},
              {"peak_mib", arm.run ? number(arm.run->largest_peak_mib()) : json()},
              {"bytes_sent", arm.status == ArmStatus::done ? json(arm.bytes_sent) : json()},
              {"flops", arm.flops},
              {"status", text_of(arm.status)},
              {"reason", arm.reason},
              {"config_digest", arm.arm.config_digest}};
  if (arm.run && arm.run->result.is_object() && arm.run->result.contains("digest"))
    one["digest"] = arm.run->result["digest"].is_string() ? json(arm.run->result["digest"].get<std::string>()) : json();
  json exits = json::object();
  if (arm.test)
    for (const auto& [stage, loss] : arm.test->exits) exits[std::to_string(stage)] = loss;
  one["exits"] = exits;
  json cosines = json::object();
  for (const auto& [stage, cosine] : arm.cosines) cosines[std::to_string(stage)] = cosine;
  one["gradient_cosines"] = cosines;
  return one;
}

json rule_json(const GroupOutcome& group, const SeedStatistics& statistics) {
  json one = {{"rule", group.group.rule.word},
              {"head", group.group.head},
              {"stages", group.group.stages},
              {"learning_rate", group.learning_rate},
              {"mean", number(statistics.mean)},
              {"interval", pair_of(statistics.interval)},
              {"difference_to_global", number(statistics.difference)},
              {"difference_interval", pair_of(statistics.difference_interval)},
              {"p_value", number(statistics.p_value)},
              {"p_adjusted", number(statistics.p_adjusted)},
              {"sign_flip_p", number(statistics.sign_flip_p)},
              {"verdict", text_of(statistics.verdict)},
              {"flops_of_step", group.flops_of_step},
              {"simulated", json()},
              {"break_even", json()},
              {"slowed_links", json::array()},
              {"by_microbatches", json::array()}};
  for (const auto& [bandwidth, step] : group.by_slowed_link)
    one["slowed_links"].push_back({{"bandwidth", bandwidth}, {"step", step}});
  std::map<double, std::pair<std::optional<double>, std::optional<double>>> steps;
  for (const auto& [microbatches, step] : group.simulated_by_microbatches) steps[microbatches].first = step;
  for (const auto& [microbatches, step] : group.measured_by_microbatches) steps[microbatches].second = step;
  for (const auto& [microbatches, step] : steps)
    one["by_microbatches"].push_back({{"microbatches", static_cast<int64_t>(microbatches)},
                                      {"simulated", number(step.first)},
                                      {"measured", number(step.second)}});
  if (group.cost)
    one["simulated"] = {{"step", group.cost->step},
                        {"idle_share", group.cost->idle_share},
                        {"calibration", group.cost->calibration},
                        {"peak_mib", group.cost->peak_mib},
                        {"schedule", group.cost->schedule}};
  if (group.break_even)
    one["break_even"] = {{"counted", group.break_even->counted},
                         {"replayed", group.break_even->replayed},
                         {"tried_up_to", group.break_even->most}};
  return one;
}

json tuning_json(const GroupOutcome& group) {
  json trials = json::array();
  for (const Trial& trial : group.trials)
    trials.push_back({{"learning_rate", trial.learning_rate},
                      {"validation_loss", number(trial.validation_loss)},
                      {"status", text_of(trial.status)},
                      {"folder", trial.folder}});
  return {{"rule", group.group.rule.word}, {"head", group.group.head}, {"stages", group.group.stages},
          {"chosen", group.learning_rate}, {"at_edge", group.at_edge}, {"trials", trials}};
}

json targets_json(const Outcome& outcome) {
  json all = json::array();
  for (const TargetRow& row : target_rows(outcome)) {
    const GroupOutcome& group = outcome.groups[row.group];
    all.push_back({{"rule", group.group.rule.word},
                   {"head", group.group.head},
                   {"stages", group.group.stages},
                   {"target", row.target},
                   {"reached", row.reached},
                   {"seeds", row.seeds},
                   {"steps", number(row.steps)},
                   {"measured_seconds", number(row.measured_seconds)},
                   {"simulated_seconds", number(row.simulated_seconds)},
                   {"flops", number(row.flops)}});
  }
  return all;
}

}  // namespace

json report_json(const Outcome& outcome) {
  const std::vector<SeedStatistics> statistics = outcome.statistics();
  json arms = json::array(), rules = json::array(), tuning = json::array(), shared = json::array();
  for (size_t i = 0; i < outcome.groups.size(); ++i) {
    for (const ArmOutcome& arm : outcome.groups[i].arms) arms.push_back(arm_json(arm));
    rules.push_back(rule_json(outcome.groups[i], statistics[i]));
    if (!outcome.groups[i].trials.empty()) tuning.push_back(tuning_json(outcome.groups[i]));
  }
  for (const auto& [key, parts] : outcome.shared)
    shared.push_back({{"seed", key.first},
                      {"stages", key.second},
                      {"start_values", parts.start_values},
                      {"samples", parts.samples},
                      {"cut", parts.cut}});
  return {{"arms", arms},
          {"rules", rules},
          {"targets", targets_json(outcome)},
          {"tuning", tuning},
          {"shared", shared},
          {"method",
           {{"config", outcome.config_file},
            {"command", outcome.command},
            {"seeds", outcome.seeds},
            {"steps", outcome.steps},
            {"samples_per_step", outcome.samples_per_step},
            {"tokens_per_step", outcome.tokens_per_step},
            {"tune", outcome.tune},
            {"tuning_seed", outcome.tuning_seed},
            {"test", outcome.test_words},
            {"began", outcome.began},
            {"ended", outcome.ended},
            {"host", outcome.host},
            {"processor", outcome.processor},
            {"cores", outcome.cores},
            {"device", outcome.device},
            {"load_before", outcome.load_before},
            {"interlock", outcome.version},
            {"libtorch", outcome.libtorch},
            {"notes", outcome.notes}}}};
}

}  // namespace interlock
