#pragma once
// The keys of [model] that all Transformers have, checked against the data.

#include "models/blocks/transformer.h"
#include "models/model.h"

namespace interlock {

struct TransformerSettings {
  TransformerShape block;
  int64_t layers = 8, vocabulary = 261, max_length = 64;
  Objective objective = Objective::masked;
  int64_t classes = 261;       // that readout and heads score: the vocabulary, the labels, or 1 of a score
  bool tied = false;           // the decoder's weight is the word table
  int64_t length = 64;         // tokens per sample, and
  double predicted_share = 1;  // how many of them are predicted: for costs
  uint64_t seed = 1;
  Unit unit = Unit::block;

  int64_t units_of_a_block() const { return unit == Unit::block ? 1 : 2; }
  int64_t units() const { return layers * units_of_a_block(); }
  // What a unit is of its block, which has the number `number` / units_of_a_block().
  Part part_of(int64_t number) const;
  double predicted_rows(int64_t samples) const { return predicted_share * static_cast<double>(samples * length); }
  // All of them but the design. `feed_forward`: its default by the width.
  void read(const ModelSettings& given, const std::function<int64_t(int64_t width)>& feed_forward);
};

// A key of [model] from 0 to below 1.
double read_dropout(const Section& model, const std::string& key, double fallback);

}  // namespace interlock
