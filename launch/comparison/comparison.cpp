#include "launch/comparison/comparison.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "launch/comparison/base_config.h"
#include "launch/comparison/controls.h"
#include "launch/comparison/cosines.h"
#include "launch/comparison/folder.h"
#include "launch/comparison/machine.h"
#include "launch/comparison/runner.h"
#include "launch/comparison/step_timeline.h"
#include "launch/page/markup.h"
#include "launch/run/data_identity.h"
#include "launch/settings/parts.h"
#include "launch/terminal/amount_progress.h"
#include "runtime/core/calendar.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/core/nearest_name.h"
#include "runtime/core/printable.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

constexpr int64_t diagnosed_samples = 256;     // of gradients: their sum, not their noise
constexpr uint64_t tuning_seed_offset = 1000;  // far from the seeds that are compared

// What times of this comparison are not what a quiet machine gives.
void note_conditions(Outcome& outcome) {
  if (outcome.at_once > 1)
    outcome.notes.push_back(message(
        "Up to ", outcome.at_once,
        " arms ran at a time: how long they took is not what one takes alone. Runs that measure costs ran alone."));
  // A tenth of the cores is what a desktop and its services take.
  constexpr double disturbed = 0.1;
  std::vector<std::string> groups;
  double most = 0;
  for (const GroupOutcome& group : outcome.groups) {
    if (!group.cost || group.others_cpu < disturbed) continue;
    groups.push_back(group.group.label());
    most = std::max(most, group.others_cpu);
  }
  if (!groups.empty())
    outcome.notes.push_back(message("While the costs of ", join(groups), " were measured, other programs took up to ",
                                    std::llround(100 * most),
                                    " % of this machine's cores: simulated times of these may be too long."));
}

}  // namespace

std::string settings_words_of(const RunSettings& settings) {
  const char* recompute = settings.recompute == Recompute::none    ? "nothing recomputed"
                          : settings.recompute == Recompute::block ? "blocks recomputed"
                                                                   : "stages recomputed";
  return message(settings.parallel.shape.microbatches, " microbatches of ", settings.parallel.batch.microbatch_size,
                 ", ", recompute);
}

Comparison::Comparison(ComparisonRequest request)
    : request_(std::move(request)), base_(base_config(request_)), settings_(settings_of(base_, {})), groups_() {
  check_base(settings_, request_);
  groups_ = make_groups(settings_, request_.rules, heads_of(request_, settings_), stages_of(request_, settings_));
  if (request_.controls)
    add_controls(
        groups_, settings_, request_.rules, heads_of(request_, settings_), stages_of(request_, settings_),
        [&](const std::vector<std::string>& overrides) { return flops_of_step(settings_of(base_, overrides)); });
  base_values_ = values_of(settings_);
  ComparisonFolder::check(request_.output, base_values_);
  for (const RuleGroup& group : groups_.all) {  // refuses what does not fit
    seed_arms(group, learning_rate_of(settings_));
    link_arms(group);
    try {
      microbatch_arms(group);
    } catch (const Error& error) {
      throw Error(error.code(), message("--microbatches: ", error.what()));
    }
  }
  note_idle_sweeps();
}

std::vector<double> Comparison::grid() const {
  std::vector<double> rates;
  const double given = learning_rate_of(settings_);
  for (int i = 0; i < request_.tune; ++i) rates.push_back(given * std::pow(2.0, i - request_.tune / 2));
  return rates;
}

Arm Comparison::costs_arm(const RuleGroup& group, const std::string& what, const std::vector<std::string>& more) const {
  std::vector<std::string> overrides = more;
  for (const std::string& one :
       {message("run.steps=", costing_steps()), std::string("run.evaluate_every=0"), std::string("checkpoint.every=0"),
        std::string("parallel.ranks=1"), std::string("parallel.placement=contiguous"),
        std::string("parallel.transport=loopback"), std::string("parallel.schedule=wavefront"),
        std::string("parallel.replicas=1"), std::string("parallel.memory_mib=0"), std::string("parallel.in_flight=0"),
        std::string("run.patience=0"), std::string("run.keep_best=none")})
    overrides.push_back(one);
  return make_arm(base_, group, what, settings_.seed, learning_rate_of(settings_), request_.output, overrides);
}

std::vector<Arm> Comparison::trial_arms(const RuleGroup& group) const {
  std::vector<Arm> arms;
  if (request_.tune < 2) return arms;
  for (const double rate : grid())
    arms.push_back(make_arm(base_, group, message("tune-", arms.size() + 1), settings_.seed + tuning_seed_offset, rate,
                            request_.output));
  return arms;
}

std::vector<Arm> Comparison::seed_arms(const RuleGroup& group, double learning_rate) const {
  std::vector<Arm> arms;
  for (int i = 0; i < request_.seeds; ++i) {
    const uint64_t seed = settings_.seed + static_cast<uint64_t>(i);
    arms.push_back(make_arm(base_, group, message("seed-", seed), seed, learning_rate, request_.output));
  }
  return arms;
}

void Comparison::cost(ArmRunner& runner, Outcome& outcome) {
  for (GroupOutcome& group : outcome.groups) {
    if (group.group.is_global()) continue;
    const Arm arm = costs_arm(group.group, "costs", {});
    group.costs_folder = arm.folder;
    group.no_cost = "the run that measures its costs failed";
    if (runner.perform(arm) == ArmStatus::done)
      group.cost = replayed(settings_of(base_, group.group.overrides), arm.folder, group.no_cost);
    group.others_cpu = conditions_of(arm).others_cpu;
  }
  for (GroupOutcome& group : outcome.groups)
    if (group.group.is_global()) choose_global(runner, group, outcome.groups, outcome.notes);
}

void Comparison::tune(ArmRunner& runner, std::vector<GroupOutcome>& groups) {
  std::vector<Arm> all;
  for (const GroupOutcome& group : groups)
    for (Arm& arm : trial_arms(group.group)) all.push_back(std::move(arm));
  const std::vector<ArmStatus> statuses = runner.perform(all);
  size_t next = 0;
  for (GroupOutcome& group : groups) {
    for (int i = 0; request_.tune > 1 && i < request_.tune; ++i, ++next)
      group.trials.push_back({all[next].learning_rate, statuses[next], {}, all[next].folder});
    choose_rate(group);
  }
}

void Comparison::choose_rate(GroupOutcome& group) const {
  group.learning_rate = learning_rate_of(settings_);
  const Trial* best = nullptr;
  for (Trial& trial : group.trials) {
    if (trial.status != ArmStatus::done) continue;
    trial.validation_loss = read_run(trial.folder).last_validation();
    if (trial.validation_loss && (best == nullptr || *trial.validation_loss < *best->validation_loss)) best = &trial;
  }
  if (best == nullptr) return;
  group.learning_rate = best->learning_rate;
  group.at_edge = best == &group.trials.front() || best == &group.trials.back();
}

// Each is scored as soon as nothing else runs: what ends the comparison later takes no score from it.
void Comparison::train(ArmRunner& runner, std::vector<GroupOutcome>& groups, const TestRequest& test) {
  std::vector<Arm> all;
  for (const GroupOutcome& group : groups)
    for (Arm& arm : seed_arms(group.group, group.learning_rate)) all.push_back(std::move(arm));
  const auto score = [&](const Arm& arm, const std::function<void()>& still) {
    try {
      score_once(arm.folder, read_run(arm.folder).result.at("digest"), test, still);
    } catch (const Error&) {  // told in the end, of the arm: the others go on
    }
  };
  const std::vector<ArmStatus> statuses = runner.perform(all, score);
  size_t next = 0;
  for (GroupOutcome& group : groups)
    for (int i = 0; i < request_.seeds; ++i, ++next) {
      ArmOutcome& outcome = group.arms.emplace_back();
      outcome.status = statuses[next];
      outcome.reason = reason_of(all[next]);
      outcome.arm = std::move(all[next]);
    }
}

Outcome Comparison::perform() {
  check_memory_at_once();
  Outcome outcome = begin();
  add_shared_parts(outcome);  // opens the data: what is missing is said before a folder is made
  const ComparisonFolder folder(request_.output, base_values_, data_now());
  for (const std::string& sentence : groups_.left_out) log_info("left out: " + sentence);
  const TestRequest test{test_paths_of(settings_), request_.test_sequences, machine_cores()};
  {
    ArmRunner runner(request_.config, planned_arms(), planned_steps(), request_.at_once);
    cost(runner, outcome);
    for (GroupOutcome& group : outcome.groups) sweep_links(runner, group, outcome.notes);
    for (size_t i = 0; i < outcome.groups.size(); ++i)
      sweep_microbatches(runner, groups_.all[i], outcome.groups[i], outcome.notes);
    tune(runner, outcome.groups);
    train(runner, outcome.groups, test);
  }
  log_info("looking at what the arms have learned");  // diagnostics of large models take minutes
  AmountProgress progress("arms", request_.seeds * std::ssize(outcome.groups), false);
  int64_t scored = 0;
  for (size_t i = 0; i < outcome.groups.size(); ++i) {
    GroupOutcome& group = outcome.groups[i];
    complete(group);
    simulate_microbatches(groups_.all[i], group);
    for (ArmOutcome& arm : group.arms) {
      complete(arm, group, test);
      if (outcome.device.empty()) outcome.device = arm.device();
      outcome.at_once = std::max(outcome.at_once, conditions_of(arm.arm).at_once);
      progress.show(++scored);
    }
    group.timeline = timeline_of(group, settings_of(base_, group.group.overrides));
  }
  progress.finish();
  note_conditions(outcome);
  outcome.ended = now_utc();
  return outcome;
}

Outcome Comparison::begin() const {
  Outcome outcome;
  outcome.config_file = request_.config;
  outcome.folder = request_.output;
  outcome.command = request_.command;
  outcome.began = now_utc();
  describe_machine(outcome);
  outcome.notes = groups_.left_out;
  if (const std::string note = note_on_cut(request_); !note.empty()) outcome.notes.push_back(note);
  for (int i = 0; i < request_.seeds; ++i) outcome.seeds.push_back(settings_.seed + static_cast<uint64_t>(i));
  outcome.tune = request_.tune;
  outcome.tuning_seed = settings_.seed + tuning_seed_offset;
  outcome.given_rate = learning_rate_of(settings_);
  outcome.grid = grid();
  outcome.steps = settings_.steps;
  outcome.samples_per_step = settings_.parallel.batch_shape().samples_per_step();
  outcome.validation_sequences = settings_.evaluation.sequences;
  const std::vector<std::string> paths = test_paths_of(settings_);
  outcome.test_words = paths.empty()
                           ? "the half of the held-out samples whose hash says so (data.held_out_part = \"test\")"
                           : "data.test_paths: " + join(paths);
  for (const RuleGroup& group : groups_.all) {
    GroupOutcome& made = outcome.groups.emplace_back();
    made.group = group;
  }
  return outcome;
}

// What is scored at the end is looked at before anything is trained.
void Comparison::open_test_split(const RunSettings& settings, const RuleGroup& group) const {
  const std::vector<std::string> paths = test_paths_of(settings);
  if (paths.empty()) return;
  std::vector<std::string> overrides = group.overrides;
  overrides.push_back("data.validation_paths=" + toml_quoted(paths, "the test file"));
  const auto test = make_dataset(settings_of(base_, overrides));
  try {
    test->open();
  } catch (const Error& error) {
    throw Error(error.code(), message("data.test_paths: ", error.what()));
  }
}

// Opened, with something held out, and a test split that can be read.
std::shared_ptr<Dataset> Comparison::open_data(const RunSettings& settings, const RuleGroup& group) const {
  std::shared_ptr<Dataset> dataset = make_dataset(settings);
  dataset->open();
  if (dataset->samples(Split::held_out) == 0)
    settings.config.section("data").refuse("held_out",
                                           "holds nothing out: a comparison needs samples to choose and to test by");
  open_test_split(settings, group);
  return dataset;
}

// What identifies the data of training and of the test, as it is now.
std::map<std::string, std::string> Comparison::data_now() const {
  const auto dataset = make_dataset(settings_);
  dataset->open();
  std::map<std::string, std::string> all = data_identity(*dataset);
  all["held out"] = digest_of_samples(*dataset, Split::held_out);
  if (const std::vector<std::string> paths = test_paths_of(settings_); !paths.empty()) {
    const auto test =
        make_dataset(settings_of(base_, {"data.validation_paths=" + toml_quoted(paths, "the test file")}));
    test->open();
    all["test"] = message(test->samples(Split::held_out), " samples, ", digest_of_samples(*test, Split::held_out));
  }
  return all;
}

void Comparison::add_shared_parts(Outcome& outcome) const {
  const auto weights = settings_.weights.empty() ? nullptr : WeightsSet::open(settings_.weights);
  for (const uint64_t seed : outcome.seeds) {
    std::shared_ptr<Dataset> dataset;
    for (const int stages : outcome.stage_counts()) {
      const auto group = std::ranges::find(groups_.all, stages, &RuleGroup::stages);
      std::vector<std::string> overrides = group->overrides;
      overrides.push_back(message("run.seed=", seed));
      const RunSettings settings = settings_of(base_, overrides);
      if (!dataset) {
        dataset = open_data(settings, *group);
        outcome.tokens_per_step = outcome.samples_per_step * dataset->sample_length();
      }
      outcome.shared[{seed, stages}] = shared_parts(settings, *dataset, weights.get());
    }
  }
}

void Comparison::complete(GroupOutcome& group) const {
  const RunSettings settings = settings_of(base_, group.group.overrides);
  group.flops_of_step = flops_of_step(settings);
  group.settings_words = settings_words_of(settings);
  if (group.cost) {
    group.settings_words += ", schedule " + group.cost->schedule;
    if (!group.group.is_global()) group.break_even = break_even_of(settings, group.costs_folder);
    for (const double speed : {1e6, 1e7, 1e8, 1e9, 1e10})
      group.by_bandwidth.emplace_back(speed,
                                      simulated_step(settings, group.costs_folder, speed) * group.cost->calibration);
  }
}

void Comparison::complete(ArmOutcome& arm, const GroupOutcome& group, const TestRequest& test) const {
  std::error_code absent;
  if (!fs::exists(fs::path(arm.arm.folder) / "config.toml", absent)) return;
  arm.run = read_run(arm.arm.folder);
  arm.flops = group.flops_of_step * static_cast<double>(arm.run->rows.size());
  if (arm.status != ArmStatus::done) return;
  const double steps = arm.run->result.value("steps", 0.0), performed = arm.run->result.value("performed", steps);
  // An arm that went on from a checkpoint has counted the bytes of its last part; every step sends as many.
  arm.bytes_sent = arm.run->result.value("bytes_sent", 0.0) * (performed > 0 ? steps / performed : 1);
  if (request_.diagnostics && group.group.stages > 1)
    arm.cosines = gradient_cosines_once(arm.arm.folder, arm.run->result.at("digest"), diagnosed_samples);
  try {
    arm.test = score_once(arm.arm.folder, arm.run->result.at("digest"), test);
  } catch (const Error& error) {
    arm.status = ArmStatus::failed;
    arm.reason = message("could not be scored: ", error.what());
  }
}

}  // namespace interlock
