#pragma once
// The training loop of one rank: steps one after another under the plan of the rule in force, evaluations between them,
// and on rank 0 what a run leaves behind.

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "parallel/engine.h"
#include "parallel/report.h"
#include "runtime/observe/metrics.h"
#include "runtime/optimization/learning_rate.h"

namespace interlock {

struct TrainerSettings {
  struct RulePlan {
    int64_t at_step = 1;
    Plan plan;
  };
  std::vector<RulePlan> plans;  // by at_step, the first at 1
  LearningRate learning_rate{LearningRate::Config{}};
  double clip = 0;
  uint64_t seed = 1;
  int64_t steps = 0, evaluate_every = 0, evaluate_sequences = 0;
  uint64_t run = 0;
  std::vector<std::pair<std::string, std::string>> aliases;  // Model::aliases
  std::map<std::string, std::string> metadata;               // into the weights file
};

// Where results go; all may be empty. The path is the same on every rank, steps are told on rank 0.
struct TrainerOutlets {
  std::string weights_path;
  std::function<void(const StepMetrics&)> on_step;
};

struct RankSummary {
  int rank = 0;
  std::string host;
  double seconds = 0, waited = 0, peak_rss_mib = 0;  // seconds: in training steps, evaluation apart
  EngineCounters counters;
  std::map<int, std::array<MeasuredCost, num_kinds>> costs;  // per stage
  RankTrace trace;
};

struct RunSummary {  // on rank 0
  int64_t steps = 0;
  double loss = 0;  // of the last step
  std::optional<double> validation_loss;
  double tokens_per_second = 0, idle_share = 0, seconds = 0;
  double first_step_seconds = 0;  // from the start of the trainer to the end of step 1
  std::vector<RankSummary> ranks;
};

class Trainer {
 public:
  Trainer(Engine& engine, std::shared_ptr<const Loader> loader, TrainerSettings settings, TrainerOutlets outlets);
  // Every rank; the summary is filled on rank 0.
  RunSummary run();

 private:
  const Plan& plan_at(int64_t step) const;
  bool evaluates_after(int64_t step) const;
  void publish(std::vector<std::vector<StepReport>> complete, std::optional<double> validation_loss);
  double evaluate(int64_t step);
  void save();
  void check_finite();
  std::vector<RankSummary> gather_summaries();

  Engine& engine_;
  std::shared_ptr<const Loader> loader_;
  TrainerSettings settings_;
  TrainerOutlets outlets_;
  Group world_;
  ReportExchange reports_;
  RunSummary summary_;
  double seconds_ = 0, waited_ = 0, clock_offset_ = 0, clock_error_ = 0;
};

// Highest resident memory of this process so far, MiB.
double peak_rss_mib();

}  // namespace interlock
