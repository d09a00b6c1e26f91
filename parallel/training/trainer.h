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

#include "parallel/engine/engine.h"
#include "parallel/keeping/best_weights.h"
#include "parallel/keeping/checkpointer.h"
#include "parallel/keeping/readout_copies.h"
#include "parallel/training/report.h"
#include "parallel/training/run_summary.h"
#include "parallel/training/stop_agreement.h"
#include "parallel/training/technique_metrics.h"
#include "runtime/observe/metrics.h"
#include "runtime/observe/trace_part.h"
#include "runtime/optimization/learning_rate.h"

namespace interlock {

struct TrainerSettings {
  struct RulePlan {
    int64_t at_step = 1;
    Plan plan;
  };
  using RulePlans = std::vector<RulePlan>;
  // By at_step, the first at 1: one for every change of the rule or of the batch. Ranks that are threads share them: a
  // plan grows with the ranks, and so would each of as many copies.
  std::shared_ptr<const RulePlans> plans;
  LearningRate learning_rate{LearningRate::Config{}};
  double clip = 0;
  uint64_t seed = 1;
  int64_t steps = 0, evaluate_every = 0, evaluate_sequences = 0;
  int64_t refresh_every = 10;    // steps between copies of the readout
  std::optional<int64_t> until;  // stop after this step, with a checkpoint
  // Of an evaluation's guesses, what is told of them; empty: nothing.
  std::function<std::map<std::string, double>(const std::vector<Guess>&)> score;
  TechniqueList techniques;
  std::vector<LayerPlace> layers;  // that may be left out
  BestSettings best;
  DivergenceRecord divergences;  // what is done about steps that are not finite, and what was so far
  CheckpointSettings checkpoint;
  std::string traced;  // the run folder in which each rank writes its part of the trace behind every step; "": nowhere
  // Go on from here; its weights are in the stages already. Let go when the rest is restored: a mapped file keeps its
  // place on the disk after it is removed.
  std::shared_ptr<const Checkpoint> resume;
  std::vector<std::pair<std::string, std::string>> aliases;  // Model::aliases
  std::map<std::string, std::string> metadata;               // into the weights file, beside its step
};

// Where results go; all may be empty. The path is the same on every rank, steps are told on rank 0.
struct TrainerCallbacks {
  std::string weights_path;
  std::function<void(const StepMetrics&)> on_step;
  std::function<bool()> stop_wanted;                          // asked on rank 0 after every step
  std::function<void(const Divergence&)> on_divergence = {};  // that the run survives so far; on rank 0
  // On rank 0, before the first step under another rule or batch; the plans of the step before and of this one.
  std::function<void(int64_t step, const Plan& before, const Plan& now)> on_change = {};
};

class Trainer {
 public:
  Trainer(RankContext& context, Engine& engine, std::shared_ptr<const Loader> loader, TrainerSettings settings,
          TrainerCallbacks callbacks);
  // Every rank; the summary is filled on rank 0.
  RunSummary run();

 private:
  const Plan& plan_at(int64_t step) const;
  void take_up_best(const std::map<std::string, std::string>& state);
  bool goes_on() const { return summary_.ending == Ending::completed && !summary_.ended_early; }
  bool evaluates_after(int64_t step) const;
  void after_step(int64_t step, const std::vector<StepReport>& reports);
  void take(const std::vector<StepReport>& reports);
  bool survives(int64_t step);
  Ending ending_after(int64_t step);
  void conclude(Ending ending);
  // What was found out after a step, beside what the step itself tells.
  struct Findings {
    std::optional<double> loss;    // held out
    std::map<int, double> losses;  // held out, of every head
    std::map<std::string, double> scores;
    TechniqueNumbers techniques;
  };
  void publish(std::vector<std::vector<StepReport>> complete, const Findings& after_last = {});
  void note_techniques(const TechniqueNumbers& of_step, const TechniqueNumbers& measured);
  TechniqueNumbers measure();
  void evaluate(int64_t step);
  void keep_best(int64_t step, double loss, const std::map<std::string, double>& scores);
  void save(const std::string& path, int64_t step);
  void save_last(int64_t step);
  void check_finite();
  std::map<std::string, std::string> state() const;
  std::vector<RankSummary> gather_summaries();

  RankContext& context_;
  Engine& engine_;
  std::shared_ptr<const Loader> loader_;
  TrainerSettings settings_;
  TrainerCallbacks callbacks_;
  ReportExchange reports_;
  ReadoutCopies copies_;
  BestWeights best_;
  Checkpointer checkpointer_;
  StopAgreement stop_;
  TechniqueMetrics techniques_;
  int64_t published_ = 0;  // steps of this process, on rank 0
  RunSummary summary_;
  std::optional<TracePart> trace_;
  double tokens_ = 0;
  double seconds_ = 0, waited_ = 0, loading_ = 0, clock_offset_ = 0, clock_error_ = 0;
};

}  // namespace interlock
