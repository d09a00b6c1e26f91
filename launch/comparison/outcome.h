#pragma once
// Everything that a comparison has found out: what its report is made of.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launch/comparison/arms.h"
#include "launch/comparison/costing.h"
#include "launch/comparison/frames.h"
#include "launch/comparison/scoring.h"
#include "launch/comparison/statistics_over_seeds.h"
#include "launch/page/timeline_picture.h"
#include "launch/run_report/run_record.h"

namespace interlock {

struct ArmOutcome {
  Arm arm;
  ArmStatus status = ArmStatus::waiting;
  std::string reason;            // of one that is not done
  std::optional<RunRecord> run;  // where its folder holds metrics
  std::optional<TestScore> test;
  std::map<int, double> cosines;     // by stage, of --diagnostics
  double bytes_sent = 0, flops = 0;  // over all its steps

  LossCurve curve() const;     // of validation losses
  std::string device() const;  // as its manifest says; "" where it does not
};

struct Trial {  // of the search for a learning rate
  double learning_rate = 0;
  ArmStatus status = ArmStatus::waiting;
  std::optional<double> validation_loss;
  std::string folder;
};

struct GroupOutcome {
  RuleGroup group;
  double learning_rate = 0;
  std::vector<Trial> trials;
  bool at_edge = false;          // the best trial is the lowest or highest rate of the grid
  std::vector<ArmOutcome> arms;  // by seed
  double flops_of_step = 0;
  std::optional<StepCost> cost;
  std::string no_cost;  // why there is none
  std::string costs_folder;
  double others_cpu = 0;  // share of the machine's cores that other programs took while these costs were measured
  std::optional<BreakEven> break_even;
  // Steps in seconds: by bytes per second between ranks, and by microbatches of the config's size.
  StepsBy by_bandwidth, by_slowed_link;                         // simulated; measured with a delay in the transport
  StepsBy simulated_by_microbatches, measured_by_microbatches;  // of global as the config has it, not at its best
  std::optional<TimelinePicture> timeline;                      // of a step, measured above simulated
  std::vector<std::string> ways_tried;  // of global: settings, the step that its costs make, tensors of a rank
  std::string settings_words;           // "8 microbatches of 4, zero_bubble, recomputation: none"

  std::vector<const ArmOutcome*> done() const;
  // Means over the arms that are done; none without one.
  std::optional<double> mean_of(double (*value)(const ArmOutcome&)) const;
  double simulated_step() const { return cost ? cost->step * cost->calibration : 0; }
};

struct Outcome {
  std::string title, config_file, folder, command, began, ended, version, libtorch, host, processor;
  int cores = 0;
  std::string device;      // what the arms computed on, as they say; of several kinds the first
  int at_once = 1;         // arms that ran at a time
  double load_before = 0;  // of the machine, before the first arm
  std::vector<GroupOutcome> groups;
  std::vector<std::string> notes;  // what was left out, and why
  std::vector<uint64_t> seeds;
  int tune = 1;
  uint64_t tuning_seed = 0;
  double given_rate = 0;
  std::vector<double> grid;
  int64_t steps = 0, samples_per_step = 0, tokens_per_step = 0, validation_sequences = 0;
  std::string test_words;                                  // what the test split is
  std::map<std::pair<uint64_t, int>, SharedParts> shared;  // by seed and stages

  std::vector<SeedStatistics> statistics() const;  // by group
  const GroupOutcome* global_at(int stages) const;
  // Of a rule beside global of the same cut; nothing where not both were measured (--microbatches).
  std::optional<MeasuredBreakEven> measured_break_even_of(const GroupOutcome& group) const;
  std::vector<int> stage_counts() const;
  std::string computed_on() const;  // "the 2 cores of this machine", "GPU 0, NVIDIA H200"
  bool oversubscribed() const;      // some group has more ranks than the machine has cores
  bool oversubscribed(int stages) const;
  bool any_done() const;            // else no arm of any group
  std::string last_reason() const;  // of the last arm that is not done
};

}  // namespace interlock
