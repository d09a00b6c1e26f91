// Owns the numbers of the presets.
#include "runtime/optimization/presets.h"

#include <map>
#include <vector>

#include "runtime/core/error.h"

namespace interlock {
namespace {

struct Preset {
  std::string optimizer;  // that it is a recipe for
  std::map<std::string, double> numbers;
};

using Numbers = std::map<std::string, double>;

// Liu et al., 2019, table 9: 500K steps of 8K sequences of 512 tokens (and fairseq's own small recipe: 125K steps of 2K
// sequences), linear decay, no clipping.
Preset roberta(double learning_rate, double warmup_steps) {
  return {"adamw", Numbers{{"learning_rate", learning_rate},
                           {"warmup_steps", warmup_steps},
                           {"beta1", 0.9},
                           {"beta2", 0.98},
                           {"epsilon", 1e-6},
                           {"weight_decay", 0.01},
                           {"clip", 0.0}}};
}

const std::map<std::string, Preset>& presets() {
  static const std::map<std::string, Preset> all = {
      {"roberta_base", roberta(6e-4, 24000)},
      {"roberta_large", roberta(4e-4, 30000)},
      {"roberta_small", roberta(5e-4, 10000)},
      // The first phase of NVIDIA's BERT-large: 7038 steps of 65,536 sequences of 128 tokens, warm-up 0.2843 of them;
      // gradients are divided by their norm where it is above 1.
      {"lamb",
       {"lamb", Numbers{{"learning_rate", 6e-3},
                        {"warmup_steps", 2000},
                        {"beta1", 0.9},
                        {"beta2", 0.999},
                        {"epsilon", 1e-6},
                        {"weight_decay", 0.01},
                        {"clip", 1.0}}}},
  };
  return all;
}

}  // namespace

double preset_number(const Section& optimizer, const std::string& key, double fallback) {
  std::vector<std::string> names = {"none"};
  for (const auto& [name, preset] : presets()) names.push_back(name);
  const std::string chosen = optimizer.one_of("preset", "none", names);
  if (chosen == "none") return fallback;
  const Preset& preset = presets().at(chosen);
  if (const std::string name = optimizer.text("name", "adamw"); name != preset.optimizer) {
    optimizer.refuse("preset", message("\"", chosen, "\" is a recipe for name = \"", preset.optimizer,
                                       "\", and the name is \"", name, "\""));
  }
  const auto found = preset.numbers.find(key);
  return found == preset.numbers.end() ? fallback : found->second;
}

}  // namespace interlock
