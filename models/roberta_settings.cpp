// Owns RoBERTa's settings and what it refuses.
#include "models/roberta_settings.h"

#include "runtime/core/error.h"

namespace interlock {

std::string RobertaSettings::root() const { return pre_norm() ? "roberta_prelayernorm" : "roberta"; }
std::string RobertaSettings::layer_path(int64_t layer) const {
  return root() + ".encoder.layer." + std::to_string(layer);
}
std::string RobertaSettings::word_table() const { return root() + ".embeddings.word_embeddings.weight"; }

RobertaSettings RobertaSettings::from(const ModelSettings& given) {
  if (given.objective == Objective::causal)
    given.model.refuse("name",
                       "\"roberta\" sees what stands behind a token, so it would see what it has to predict; "
                       "objective.name = \"causal\" is for the model \"gpt\"");
  RobertaSettings settings;
  settings.read(given, [](int64_t) { return 256; });
  settings.block.design =
      given.model.one_of("norm", "post", {"post", "pre"}) == "pre" ? &pre_norm_block : &post_norm_block;
  settings.token_types = given.model.integer("token_types", 1, 1, 1 << 16);
  settings.block.joining_deviation = joining_deviation_of(*settings.block.design, settings.layers);
  return settings;
}

}  // namespace interlock
