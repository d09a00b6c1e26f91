#pragma once
// A comparison from its request to its outcome: which arms there are, in which order they are performed, and what is
// made of them. Arms are ordinary runs in DIR/arms; whatever is done already is taken as it is.

#include <algorithm>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launch/comparison/outcome.h"
#include "launch/comparison/request.h"

namespace interlock {

class ArmRunner;
class Dataset;

// "8 microbatches of 4, nothing recomputed"
std::string settings_words_of(const RunSettings& settings);

class Comparison {
 public:
  // Reads and checks everything that can be refused before the first arm: config, rules, heads, folder, data.
  explicit Comparison(ComparisonRequest request);

  // What would be done, and how long it may take. Opens the data, as whatever it lacks would stop the comparison;
  // performs and writes nothing.
  void list(std::ostream& out) const;
  // All arms that are not done yet; of those that cannot be done the outcome says why.
  Outcome perform();

 private:
  Arm costs_arm(const RuleGroup& group, const std::string& what, const std::vector<std::string>& more) const;
  std::vector<std::vector<std::string>> ways_of_global() const;
  std::vector<double> grid() const;
  std::vector<Arm> trial_arms(const RuleGroup& group) const;
  std::vector<Arm> seed_arms(const RuleGroup& group, double learning_rate) const;
  Arm short_arm(const RuleGroup& group, const std::string& what, const std::string& varied) const;
  bool has_boundaries(const RuleGroup& group) const;
  void note_idle_sweeps();
  std::vector<Arm> link_arms(const RuleGroup& group) const;
  std::vector<Arm> microbatch_arms(const RuleGroup& group) const;
  // Of the runs that only measure costs: the first step is in no cost, the others average out.
  int64_t costing_steps() const { return std::min<int64_t>(24, std::max<int64_t>(4, settings_.steps)); }
  std::vector<Arm> runs_at_known_rates(const RuleGroup& group) const;
  std::optional<double> timed_step(const RuleGroup& group) const;
  int64_t planned_costs(const RuleGroup& group) const;
  int64_t planned_arms() const;
  int64_t planned_steps() const;

  void cost(ArmRunner& runner, Outcome& outcome);
  void choose_global(ArmRunner& runner, GroupOutcome& global, const std::vector<GroupOutcome>& groups,
                     std::vector<std::string>& notes);
  std::optional<double> measured_step(ArmRunner& runner, const Arm& arm, const std::string& where,
                                      std::vector<std::string>& notes) const;
  void sweep_links(ArmRunner& runner, GroupOutcome& group, std::vector<std::string>& notes) const;
  // `as_configured`: the group before global's best was chosen, whose microbatches have another size.
  void sweep_microbatches(ArmRunner& runner, const RuleGroup& as_configured, GroupOutcome& group,
                          std::vector<std::string>& notes) const;
  void simulate_microbatches(const RuleGroup& as_configured, GroupOutcome& group) const;
  void tune(ArmRunner& runner, std::vector<GroupOutcome>& groups);
  void choose_rate(GroupOutcome& group) const;
  void train(ArmRunner& runner, std::vector<GroupOutcome>& groups, const TestRequest& test);
  void complete(GroupOutcome& group) const;
  void complete(ArmOutcome& arm, const GroupOutcome& group, const TestRequest& test) const;
  Outcome begin() const;
  std::shared_ptr<Dataset> open_data(const RunSettings& settings, const RuleGroup& group) const;
  void add_shared_parts(Outcome& outcome) const;
  std::map<std::string, std::string> data_now() const;
  void check_memory_at_once() const;
  void open_test_split(const RunSettings& settings, const RuleGroup& group) const;

  ComparisonRequest request_;
  BaseConfig base_;
  RunSettings settings_;  // of the base
  Groups groups_;
  std::map<std::string, std::string> base_values_;
};

}  // namespace interlock
