#pragma once
// What a run folder tells: its config, its metrics step by step, its result and manifest.

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace interlock {

struct MetricsRow {
  int64_t step = 0;
  double loss = 0;               // not a number where the file has none
  std::map<int, double> losses;  // by stage
  double learning_rate = 0, gradient_norm = 0, tokens_per_second = 0, idle_share = 0;
  std::optional<double> validation_loss;
  double seconds = 0;  // that all steps up to this one took, evaluations and checkpoints apart
};

struct RunRecord {
  std::string folder, name;                   // name: the last part of the folder
  std::map<std::string, std::string> config;  // "section.key" to the value as TOML
  std::vector<MetricsRow> rows;               // by step
  nlohmann::json result, manifest;            // null where there is none
  std::vector<std::string> notes;             // sentences: what is missing or cut short

  std::string text(const std::string& key, const std::string& fallback = "") const;  // of the config, without quotes
  double number(const std::string& key, double fallback) const;
  int64_t tokens_per_step() const;  // at the full number of microbatches
  std::string unit() const;         // what those are, for people: "tokens" or "samples"
  std::optional<double> result_number(const std::string& key) const;
  double seconds() const { return rows.empty() ? 0 : rows.back().seconds; }
  double idle_share() const;                       // mean over steps, weighted by their time
  double tokens_per_second() const;                // of all steps together
  std::optional<double> last_validation() const;   // of the last evaluation
  std::optional<double> largest_peak_mib() const;  // of the ranks' processes
};

// "sum(2)", "local", ...: the rule that the run begins with.
std::string rule_label(const RunRecord& run);

// Error(bad_input) names the folder that is none of a run, and the line of a file that is damaged. A last line that was
// cut short is left out, with a note.
RunRecord read_run(const std::string& folder);

}  // namespace interlock
