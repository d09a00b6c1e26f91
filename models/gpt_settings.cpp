// Owns the settings of "gpt" and what it refuses.
#include "models/gpt_settings.h"

#include "runtime/core/error.h"

namespace interlock {

GptSettings GptSettings::from(const ModelSettings& given) {
  if (given.objective != Objective::causal)
    given.model.refuse("name", message("\"gpt\" continues texts, and objective.name is \"", name_of(given.objective),
                                       "\"; write objective.name = \"causal\", which data \"text\" and \"tokens\" "
                                       "have, or take the model \"roberta\""));
  GptSettings settings;
  settings.read(given, [](int64_t width) { return 4 * width; });
  settings.block.design = &gpt_block;
  settings.block.joining_deviation = joining_deviation_of(gpt_block, settings.layers);
  settings.embedding_dropout = read_dropout(given.model, "embedding_dropout", settings.block.dropout);
  return settings;
}

}  // namespace interlock
