#pragma once
// The runs of a fine-tuning as configs.

#include <cstdint>
#include <string>
#include <vector>

#include "launch/settings/run_settings.h"
#include "launch/stored_model/model_source.h"

namespace interlock {

struct FinetuneRequest {
  std::string path;                            // of the model to start from
  std::vector<std::string> train, validation;  // tables; without validation a share of train is held out
  std::string text = "text", pair, label = "label";
  Objective objective = Objective::classification;
  std::string metric;  // the score that chooses weights; "": accuracy, or spearman of scores
  double epochs = 3;
  int64_t seeds = 5;
  std::vector<std::string> overrides;  // of the configs
  std::string to;                      // the folder of configs and runs
};

// The first line of a config: a comment with the SHA-256 of the tables and the weights that it was made for.
inline constexpr const char* input_mark = "# for tables and weights ";

struct FinetunePlan {
  std::string metric;
  struct Run {
    int64_t seed = 1;
    std::string config_file, config, folder;
  };
  std::vector<Run> runs;
  int64_t trained_parameters = 0;
  std::vector<std::string> labels;
  int64_t training_samples = 0, held_out_samples = 0, steps = 0;
  std::vector<std::string> notes;  // about the data
};

// Opens the model and the data, so that everything that can be refused is refused here. The config of each seed is
// whole: every key with its value. Error(usage, config, bad_input).
FinetunePlan plan_finetuning(const FinetuneRequest& request);

}  // namespace interlock
