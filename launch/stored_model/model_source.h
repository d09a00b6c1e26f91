#pragma once
// From a path that a user names (weights file, run folder, checkpoint, imported model) to a model that reads text: its
// settings, its tokenizer, its weights.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "launch/settings/run_settings.h"
#include "models/model.h"
#include "runtime/data/tokenizer.h"
#include "runtime/storage/weights_set.h"

namespace interlock {

// The settings that weights carry. What is wrong with them is wrong with the file: Error(bad_input) names it.
RunSettings stored_settings(const WeightsSet& weights);

struct TextModel {
  std::shared_ptr<const WeightsSet> weights;
  RunSettings settings;
  std::shared_ptr<const Tokenizer> tokenizer;  // null: the model reads bytes
  std::string tokenizer_path;
  std::shared_ptr<const Model> model;
  int64_t vocabulary = 0, max_length = 0;
  Objective objective = Objective::masked;
  std::vector<std::string> labels = {};  // of a classification, by number
  bool reads_tables = false;             // its data is rows of tables; else texts, or token files

  bool reads_bytes() const { return tokenizer == nullptr; }
};

// Refuses a model of another objective, and says which command asks such a one. Error(config).
void require_objective(const TextModel& source, const std::vector<Objective>& wanted, const std::string& command);

// Opens everything but the tensors. `command` stands in messages. The tokenizer is <folder>/tokenizer of the weights,
// for a checkpoint that of its run, else tokenizer.path of the settings. Error(config) for a model of no text,
// Error(bad_input) for what is missing, and for a tokenizer of another vocabulary than the model (with both numbers) or
// other than the one the weights name.
TextModel open_text_model(const std::shared_ptr<const WeightsSet>& weights, const std::string& command);
TextModel open_text_model(const std::string& path, const std::string& command);  // of what lies there

struct LoadedModel {
  std::shared_ptr<Body> body;  // all blocks
  std::shared_ptr<Head> readout;
  int64_t layers = 0;
};

// The whole model with its weights. Error(bad_input) names what is missing, has another shape, or belongs to no part of
// the model; local heads (heads.*) are passed over.
LoadedModel load_model(const TextModel& source);
// Error(bad_input) where the weights hold fewer numbers than a large model has: before memory for it is taken.
void check_size(const Model& model, const WeightsSet& weights);
LoadedModel load_model(const Model& model, const WeightsSet& weights);

}  // namespace interlock
