#pragma once
// The keys of [model] for "roberta", checked against the data.

#include "models/blocks/transformer.h"
#include "models/model.h"

namespace interlock {

inline const std::string decoder_weight = "lm_head.decoder.weight";

struct RobertaSettings {
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
  bool pre_norm() const { return block.design->pre_norm; }
  // What Hugging Face call the encoder, and the tensors that others speak of.
  std::string root() const;
  std::string layer_path(int64_t layer) const;
  std::string word_table() const;
  static RobertaSettings from(const ModelSettings& given);
};

}  // namespace interlock
