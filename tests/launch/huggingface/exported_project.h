#pragma once
// A trained model of tokens, and what `export` and `import` make of it.

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/launch/commands/token_project.h"

namespace interlock {

class HuggingFace : public TokenProject {
 protected:
  void train_model(const Words& overrides = {}) const {
    if (overrides.empty()) {
      train_once();
    } else {
      expect_done(train(overrides));
    }
  }
  void export_model(const std::string& from = "run", const std::string& to = "hf") const {
    expect_done(interlock({"export", from, "--to", to}));
  }
  nlohmann::json inspect(const std::string& what) const {
    const CommandResult result = interlock({"inspect", what, "--json"});
    expect_done(result);
    return last_object(result);
  }
  // Exports, and changes config.json.
  void change_config(const std::function<void(nlohmann::json&)>& change) const {
    nlohmann::json config = nlohmann::json::parse(read("hf/config.json"));
    change(config);
    write("hf/config.json", config.dump());
  }
  CommandResult import_model(const Words& options = {}) const {
    Words words{"import", "hf", "--to", "in"};
    words.insert(words.end(), options.begin(), options.end());
    return interlock(words);
  }
};

}  // namespace interlock
