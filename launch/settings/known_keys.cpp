#include "launch/settings/known_keys.h"

#include <set>

#include "launch/settings/parts.h"
#include "models/model.h"
#include "runtime/core/error.h"
#include "runtime/data/dataset.h"
#include "runtime/optimization/optimizer.h"

namespace interlock {
namespace {

// What a config with these lines is asked for, up to where it is refused: a part that refuses has asked by then.
void ask(const std::string& toml, std::set<std::string>& keys) {
  const Config config = Config::from_text(toml);
  try {
    check_settings(read_settings(config));
  } catch (const Error&) {
  }
  for (const auto& [key, value] : config.resolved_values()) keys.insert(key.substr(0, key.find('[')));
}

std::string named(const std::string& section, const std::string& name) {
  return "[" + section + "]\nname = \"" + name + "\"\n";
}

}  // namespace

std::vector<std::string> known_keys() {
  std::set<std::string> keys;
  // Sizes that some models refuse to be without, and others do not know.
  const std::string sizes =
      "layers = 4\nwidth = 8\nheads = 1\nfeed_forward = 8\nvocabulary = 300\nmax_length = 64\ntie_embeddings = false\n";
  // Keys that whoever knows them asks for only where they stand.
  const std::string rare = "held_out_part = \"all\"\ntest_paths = []\nheader = true\n";
  for (const std::string& model : Models::instance().names())
    for (const std::string& dataset : Datasets::instance().names())
      for (const char* objective : {"masked", "causal", "classification"})
        for (const std::string& given : {std::string(), sizes})
          ask(named("model", model) + given + named("data", dataset) + rare + named("objective", objective), keys);
  // Lists of tables: of these the list alone is a key that a line can set.
  ask("[[learning.change]]\nat_step = 2\n[[parallel.batch_change]]\nat_step = 2\n[[technique]]\nname = \"ema\"\n",
      keys);
  for (const std::string& optimizer : Optimizers::instance().names())
    for (const char* decay : {"linear", "polynomial", "cosine", "steps"})
      ask(named("model", "mlp") + named("data", "spirals") + named("optimizer", optimizer) + "decay = \"" + decay +
              "\"\n",
          keys);
  return {keys.begin(), keys.end()};
}

}  // namespace interlock
