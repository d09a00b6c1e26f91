#include "launch/comparison/statistics_over_seeds.h"

#include <algorithm>

#include "runtime/statistics/bootstrap.h"
#include "runtime/statistics/holm.h"
#include "runtime/statistics/paired_tests.h"

namespace interlock {
namespace {

std::vector<double> values_in(const std::map<uint64_t, double>& losses) {
  std::vector<double> values;
  for (const auto& [seed, loss] : losses) values.push_back(loss);
  return values;
}

std::vector<double> differences_of(const SeedLosses& group, const SeedLosses& global) {
  std::vector<double> differences;
  for (const auto& [seed, loss] : group.losses)
    if (const auto other = global.losses.find(seed); other != global.losses.end())
      differences.push_back(loss - other->second);
  return differences;
}

void set_apart(SeedStatistics& statistics, const std::vector<double>& differences) {
  if (differences.empty()) return;
  statistics.difference = mean(differences);
  statistics.difference_interval = student_interval(differences);
  statistics.sign_flip_p = sign_flip_p(differences);
  if (const auto t = paired_t(differences)) {
    statistics.p_value = t->p_value;
  } else if (differences.size() > 1) {
    statistics.p_value = 0;  // every seed differs by the same number: t has no bound
  }
}

void correct(const std::vector<SeedStatistics*>& family) {
  std::vector<double> tested;
  for (const SeedStatistics* one : family)
    if (!is_global_itself(*one)) tested.push_back(*one->p_value);
  const std::vector<double> adjusted = holm_adjusted(tested);
  size_t next = 0;
  for (SeedStatistics* one : family) {
    one->p_adjusted = is_global_itself(*one) ? 1 : adjusted[next++];
    const bool apart = *one->p_adjusted < significance;
    one->verdict = !apart ? SeedVerdict::within_noise : *one->difference < 0 ? SeedVerdict::better : SeedVerdict::worse;
  }
}

}  // namespace

bool is_global_itself(const SeedStatistics& statistics) {
  const auto& interval = statistics.difference_interval;
  return statistics.difference == 0.0 && interval && interval->low == 0 && interval->high == 0;
}

std::vector<SeedStatistics> statistics_over_seeds(const std::vector<SeedLosses>& groups) {
  std::vector<SeedStatistics> all;
  for (const SeedLosses& group : groups) {
    SeedStatistics& statistics = all.emplace_back();
    const std::vector<double> values = values_in(group.losses);
    if (!values.empty()) statistics.mean = mean(values);
    statistics.interval = bootstrap_interval(values);
    const auto global = std::ranges::find_if(
        groups, [&](const SeedLosses& other) { return other.is_global && other.stages == group.stages; });
    if (group.is_global) {
      statistics.verdict = SeedVerdict::reference;
    } else if (global != groups.end()) {
      set_apart(statistics, differences_of(group, *global));
    }
  }
  for (const bool controls : {false, true}) {
    std::vector<SeedStatistics*> family;
    for (size_t i = 0; i < groups.size(); ++i)
      if (groups[i].control == controls && all[i].p_value) family.push_back(&all[i]);
    correct(family);
  }
  return all;
}

}  // namespace interlock
