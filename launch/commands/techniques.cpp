// `interlock techniques`: what [[technique]] tables of a config may name, with options and defaults.

#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "launch/command.h"
#include "launch/terminal/json_line.h"
#include "parallel/technique/technique.h"

namespace interlock {
namespace {

using nlohmann::ordered_json;

// The options that a technique asks for when its table holds its name alone, with the values it gets: as TOML, which
// for numbers, words, flags and lists of these is JSON too.
std::vector<std::pair<std::string, std::string>> options_of(const std::string& name) {
  const Config config = Config::from_text("[[technique]]\nname = \"" + name + "\"\n");
  read_techniques(config);
  std::vector<std::pair<std::string, std::string>> options;
  const std::string table = "technique[0].";
  for (const auto& [key, value] : config.resolved_values())
    if (key.starts_with(table) && key != table + "name") options.emplace_back(key.substr(table.size()), value);
  return options;
}

std::unique_ptr<const Technique> with_defaults(const std::string& name) {
  return Techniques::instance().create("technique", name, Config::from_text("").section("technique"));
}

class TechniquesCommand final : public Command {
 public:
  std::string summary() const override { return "list the techniques that a config may name, with their options"; }
  void declare(CLI::App& app) override { app.add_flag("--json", json_, "one JSON list on stdout"); }

  int run() override {
    ordered_json all = ordered_json::array();
    for (const std::string& name : Techniques::instance().names()) {
      const auto technique = with_defaults(name);
      ordered_json options = ordered_json::object();
      for (const auto& [option, value] : options_of(name)) options[option] = ordered_json::parse(value);
      all.push_back({{"name", technique->name()},
                     {"summary", technique->summary()},
                     {"paper", technique->paper()},
                     {"options", std::move(options)}});
      if (const auto needs = technique->needs(); !needs.empty()) all.back()["needs"] = needs;
      if (!json_) print(all.back());
    }
    if (json_) std::cout << json_line(all) << std::flush;
    return static_cast<int>(ExitCode::done);
  }

 private:
  static void print(const ordered_json& technique) {
    std::cout << technique["name"].get<std::string>() << ": " << technique["summary"].get<std::string>() << "\n  "
              << technique["paper"].get<std::string>() << "\n";
    for (const auto& [option, value] : technique["options"].items())
      std::cout << "  " << option << " = " << value.dump() << "\n";
    if (technique.contains("needs"))
      for (const auto& need : technique["needs"]) std::cout << "  needs " << need.get<std::string>() << "\n";
    std::cout << "\n";
  }

  bool json_ = false;
};

const Registration<Command> registered("techniques", [] { return std::make_unique<TechniquesCommand>(); });

}  // namespace
}  // namespace interlock
