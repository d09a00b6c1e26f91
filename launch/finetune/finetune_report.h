#pragma once
// What the runs of a fine-tuning come to.

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "launch/finetune/finetune_config.h"
#include "runtime/observe/scores.h"

namespace interlock {

struct SeedResult {
  int64_t seed = 1;
  double value = 0;  // by the metric, of the weights that were kept
  int64_t step = 0;  // theirs
  Scores scores;     // all of them, at that step
  double seconds = 0;
  std::string path;  // of the run
};

// Of a run that is done. Error(bad_input) when its folder does not say what it kept.
SeedResult seed_result(const FinetunePlan::Run& run, const nlohmann::json& result);

double mean_of(const std::vector<double>& values);
double spread_of(const std::vector<double>& values);  // the standard deviation of a sample, n - 1; of one value 0

nlohmann::ordered_json report_json(const FinetunePlan& plan, const std::vector<SeedResult>& seeds);
std::string report_text(const FinetunePlan& plan, const std::vector<SeedResult>& seeds);

}  // namespace interlock
