#pragma once
// What weights and checkpoints say about the run that made them, for `inspect`.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/storage/safetensors.h"
#include "runtime/storage/weights_set.h"

namespace interlock {

struct StoredRun {
  bool is_checkpoint = false;
  std::optional<int64_t> step;                // after which the weights were written; weights files may not tell
  std::string rule;                           // in force at that step, or at the end: `furthest, horizon 2`; "" unknown
  std::map<std::string, std::string> config;  // "section.key" to the value as TOML; empty: none stored
  std::string config_problem;                 // why the stored config cannot be read
  std::map<std::string, std::string> state;   // of a checkpoint
  // Of a checkpoint: what is no weight (the optimizer's state, copies of the readout).
  std::vector<TensorEntry> other_tensors;
  uint64_t other_bytes = 0;
};

StoredRun read_stored_run(const WeightsSet& weights);

// What weights say about their model, for another file of it: [model], [data], [objective] and [tokenizer] of their
// config, run.seed and run.precision, with `changes` ("section.key" to a value as TOML). What was asked of its training
// stays behind.
std::string model_config(const WeightsSet& weights, const std::map<std::string, std::string>& changes);

// Every value of a config under its path "section.key", as TOML. Error(bad_input) names `file` and the line.
std::map<std::string, std::string> config_values(const std::string& toml, const std::string& file);

struct ConfigDifference {
  std::string key;
  std::optional<std::string> here, other;  // none: not set there
};
std::vector<ConfigDifference> compare_configs(const StoredRun& run, const StoredRun& other);

}  // namespace interlock
