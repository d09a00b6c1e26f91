// Owns the settings of Transformers and what they refuse.
#include "models/transformer_settings.h"

#include <algorithm>

#include "models/blocks/layers.h"
#include "models/sizes.h"
#include "runtime/core/error.h"

namespace interlock {

double read_dropout(const Section& model, const std::string& key, double fallback) {
  const double rate = model.number(key, fallback, 0.0, 1.0);
  if (rate == 1.0) model.refuse(key, "must be below 1: with 1 everything would be dropped");
  return rate;
}

namespace {

void check_against_data(const ModelSettings& given, const TransformerSettings& settings) {
  const int64_t tokens = predicts_tokens(given.objective) ? given.classes : given.features;
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
  if (predicts_tokens(given.objective)) return vocabulary;
  return given.objective == Objective::regression ? 1 : std::max<int64_t>(2, given.classes);
}

}  // namespace

Part TransformerSettings::part_of(int64_t number) const {
  if (unit == Unit::block) return Part::whole;
  return number % 2 == 0 ? Part::attention : Part::feed_forward;
}

void TransformerSettings::read(const ModelSettings& given, const std::function<int64_t(int64_t width)>& feed_forward) {
  const Section& model = given.model;
  layers = model.integer("layers", 8, 1, most_layers);
  block.width = model.integer("width", 64, 1, most_width);
  block.heads = model.integer("heads", 4, 1, most_heads);
  block.feed_forward = model.integer("feed_forward", feed_forward(block.width), 1, most_feed_forward);
  vocabulary = model.integer("vocabulary", 261, 2, most_vocabulary);  // token 1 is padding
  max_length = model.integer("max_length", 64, 1, most_length);
  block.dropout = read_dropout(model, "dropout", 0.1);
  block.attention_dropout = read_dropout(model, "attention_dropout", block.dropout);
  block.norm_epsilon = model.number("layer_norm_epsilon", norm_epsilon, 1e-30, 1.0);
  block.numbers = numbers_of(given.precision);
  tied = model.flag("tie_embeddings", false);
  length = given.sample_length > 0 ? given.sample_length : max_length;
  predicted_share = given.predicted_share;
  seed = given.seed;
  unit = given.unit;
  objective = given.objective;
  classes = scored_classes(given, vocabulary);
  if (block.width % block.heads != 0) {
    model.refuse("heads", message("the width ", block.width, " cannot be divided by ", block.heads,
                                  " heads; choose a number that divides it"));
  }
  check_against_data(given, *this);
}

}  // namespace interlock
