// Owns RoBERTa's settings and what it refuses.
#include "models/roberta_settings.h"

#include <algorithm>

#include "runtime/core/error.h"

namespace interlock {
namespace {

double read_rate(const Section& model, const std::string& key, double fallback) {
  const double rate = model.number(key, fallback, 0.0, 1.0);
  if (rate == 1.0) model.refuse(key, "must be below 1: with 1 everything would be dropped");
  return rate;
}

void check_against_data(const ModelSettings& given, const RobertaSettings& settings) {
  const int64_t tokens = given.objective == Objective::masked ? given.classes : given.features;
  if (tokens > 0 && settings.vocabulary < tokens) {
    given.model.refuse("vocabulary", message("vocabulary too small for the data: the model has ", settings.vocabulary,
                                             " entries, the data set ", tokens, "; set it to ", tokens, " or more"));
  }
  if (given.sample_length > settings.max_length) {
    given.model.refuse("max_length", message("is ", settings.max_length, ", but samples have up to ",
                                             given.sample_length, " tokens; raise it or shorten data.sequence_length"));
  }
}

// Where the classes are shown by a file that nobody has read yet, the fewest that can be.
int64_t scored_classes(const ModelSettings& given, int64_t vocabulary) {
  if (given.objective == Objective::masked) return vocabulary;
  return given.objective == Objective::regression ? 1 : std::max<int64_t>(2, given.classes);
}

}  // namespace

Part RobertaSettings::part_of(int64_t number) const {
  if (unit == Unit::block) return Part::whole;
  return number % 2 == 0 ? Part::attention : Part::feed_forward;
}

std::string RobertaSettings::root() const { return pre_norm() ? "roberta_prelayernorm" : "roberta"; }
std::string RobertaSettings::layer_path(int64_t layer) const {
  return root() + ".encoder.layer." + std::to_string(layer);
}
std::string RobertaSettings::word_table() const { return root() + ".embeddings.word_embeddings.weight"; }

RobertaSettings RobertaSettings::from(const ModelSettings& given) {
  const Section& model = given.model;
  RobertaSettings settings;
  settings.layers = model.integer("layers", 8, 1);
  settings.block.width = model.integer("width", 64, 1);
  settings.block.heads = model.integer("heads", 4, 1);
  settings.block.feed_forward = model.integer("feed_forward", 256, 1);
  settings.vocabulary = model.integer("vocabulary", 261, 2);  // token 1 is padding
  settings.max_length = model.integer("max_length", 64, 1);
  settings.block.dropout = read_rate(model, "dropout", 0.1);
  settings.block.attention_dropout = read_rate(model, "attention_dropout", settings.block.dropout);
  settings.block.design = model.one_of("norm", "post", {"post", "pre"}) == "pre" ? &pre_norm_block : &post_norm_block;
  settings.block.joining_deviation = joining_deviation_of(*settings.block.design, settings.layers);
  settings.block.numbers = numbers_of(given.precision);
  settings.tied = model.flag("tie_embeddings", false);
  settings.length = given.sample_length > 0 ? given.sample_length : settings.max_length;
  settings.predicted_share = given.predicted_share;
  settings.seed = given.seed;
  settings.unit = given.unit;
  settings.objective = given.objective;
  settings.classes = scored_classes(given, settings.vocabulary);
  if (settings.block.width % settings.block.heads != 0) {
    model.refuse("heads", message("the width ", settings.block.width, " cannot be divided by ", settings.block.heads,
                                  " heads; choose a number that divides it"));
  }
  check_against_data(given, settings);
  return settings;
}

}  // namespace interlock
