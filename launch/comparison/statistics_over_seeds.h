#pragma once
// What the losses of several seeds say of each group: mean, interval, and the paired difference to global learning.

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "runtime/statistics/sample.h"

namespace interlock {

struct SeedLosses {
  int stages = 0;  // groups are compared with the global one of as many stages
  bool is_global = false;
  std::map<uint64_t, double> losses;  // by seed, of arms that are done
  bool control = false;               // corrected among the controls: who asks for them asks another question
};

enum class SeedVerdict { reference, better, worse, within_noise, untested };

struct SeedStatistics {
  std::optional<double> mean;
  std::optional<Interval> interval;             // bootstrap, 95 %
  std::optional<double> difference;             // to global, mean over the seeds that both have
  std::optional<Interval> difference_interval;  // Student's, 95 %
  std::optional<double> p_value;                // Student's paired t test
  std::optional<double> sign_flip_p;            // exact
  // Holm's, over all groups that were tested, or over all controls. Of a group whose every loss is global's to the bit
  // it is 1: such a group is global by construction, and no test of the family.
  std::optional<double> p_adjusted;
  SeedVerdict verdict = SeedVerdict::untested;
};

// Another name for global learning: at two stages furthest:2 has its weights to the last bit, in every seed.
bool is_global_itself(const SeedStatistics& statistics);

inline constexpr double significance = 0.05;

// In the order of `groups`. Untested: one seed in common with global, or none.
std::vector<SeedStatistics> statistics_over_seeds(const std::vector<SeedLosses>& groups);

}  // namespace interlock
